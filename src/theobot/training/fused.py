"""The decoder's layers with less kept for the backward pass, and fewer operations.

With a frozen base, what transformers and PEFT write keeps far more than the gradients need: the
input of each adapter once more in float32, both products inside the gated MLP, three copies inside
each norm. The autograd functions here keep the inputs alone and form the rest again; the
mathematics is the same. Plain PyTorch, so the same code runs on a CPU, ROCm, CUDA and MPS.

Layers that are not of the plain form (DoRA, a quantised base, a norm or activation of another kind)
keep their own forward.
"""

from __future__ import annotations

import types
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import Tensor
from torch.nn.functional import linear, rms_norm, silu
from transformers.activations import SiLUActivation


class FusedLora(torch.autograd.Function):
    """y = x W^T + bias + scaling (drop(x) A^T) B^T with W frozen; keeps x and the narrow product.

    Dropout keeps one byte for each input (whether it stays), not a dropped copy of the input.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        lora_a: Tensor,
        lora_b: Tensor,
        scaling: float,
        stays: Tensor | None,
    ) -> Tensor:
        """The layer's output.

        Args:
            ctx: autograd's context.
            x: (T, in), in the format of `weight`.
            weight: (out, in), frozen.
            bias: (out,) or None, frozen.
            lora_a: (r, in), as a rule float32.
            lora_b: (out, r), as a rule float32.
            scaling: factor of the adapter's part; with dropout already divided by the share kept.
            stays: (T, in) bool, the inputs that dropout leaves; None without dropout.

        Returns:
            (T, out) in the format of `weight`.
        """
        kept = x if stays is None else x * stays
        narrow = kept @ lora_a.to(x.dtype).T * scaling
        ctx.save_for_backward(x, narrow, weight, lora_a, lora_b, stays)
        ctx.scaling = scaling
        return linear(x, weight, bias).addmm_(narrow, lora_b.to(x.dtype).T)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, A and B."""
        x, narrow, weight, lora_a, lora_b, stays = ctx.saved_tensors
        (grad,) = grad_outputs
        grad_narrow = grad @ lora_b.to(x.dtype) * ctx.scaling
        kept = x if stays is None else x * stays
        grad_a = (grad_narrow.T @ kept).to(lora_a.dtype)
        grad_b = (grad.T @ narrow).to(lora_b.dtype)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = grad @ weight
            if stays is None:
                grad_x.addmm_(grad_narrow, lora_a.to(x.dtype))
            else:
                grad_x.addcmul_(grad_narrow @ lora_a.to(x.dtype), stays)
        return grad_x, None, None, grad_a, grad_b, None, None


class FusedSwiGLU(torch.autograd.Function):
    """silu(gate) * up; keeps gate and up alone."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        """Both (..., I), as the result is."""
        ctx.save_for_backward(gate, up)
        return silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of gate and up."""
        gate, up = ctx.saved_tensors
        (grad,) = grad_outputs
        grad_gate = torch.ops.aten.silu_backward(grad * up, gate)
        return grad_gate, silu(gate).mul_(grad)


class FusedRMSNorm(torch.autograd.Function):
    """weight * x / rms(x), in float32 inside, with the weight frozen; keeps x and 1 / rms(x)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        """Of x (..., H) and weight (H,): (..., H)."""
        wide = x.float()
        inverse = wide.square().mean(dim=-1, keepdim=True).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, inverse, weight)
        return (wide * inverse).to(x.dtype).mul_(weight)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        """Gradient of x: inverse * (g - normal * mean(g * normal)), g = grad * weight."""
        x, inverse, weight = ctx.saved_tensors
        grad = (grad_outputs[0] * weight).float()
        normal = x.float().mul_(inverse)
        share = torch.linalg.vecdot(grad, normal).unsqueeze(-1).div_(x.shape[-1])
        return grad.sub_(normal.mul_(share)).mul_(inverse).to(x.dtype), None, None


def fuse(model: PeftModel) -> None:
    """Give every plain LoRA linear, RMS norm and gated MLP of a model its fused forward."""
    for module in model.modules():
        if _is_plain_lora(module):
            module.forward = types.MethodType(_lora_forward, module)
        elif _is_rms_norm(module):
            module.forward = types.MethodType(_norm_forward, module)
        elif _is_swiglu(module):
            module.forward = types.MethodType(_swiglu_forward, module)


def _is_plain_lora(module: torch.nn.Module) -> bool:
    if type(module) is not LoraLinear or type(module.base_layer) is not torch.nn.Linear:
        return False
    adapters = module.active_adapters
    if len(adapters) != 1 or adapters[0] not in module.lora_A or module.lora_variant:
        return False
    (name,) = adapters
    return (
        not module.merged
        and not module.lora_bias[name]
        and not module.base_layer.weight.requires_grad
    )


def _is_rms_norm(module: torch.nn.Module) -> bool:
    """A norm whose whole state is a frozen weight and `variance_epsilon`, as transformers has it.

    Gemma's, which multiplies by 1 + weight, names its epsilon `eps`.
    """
    return (
        type(module).__name__.endswith("RMSNorm")
        and hasattr(module, "variance_epsilon")
        and [name for name, _ in module.named_parameters()] == ["weight"]
        and not module.weight.requires_grad
    )


def _is_swiglu(module: torch.nn.Module) -> bool:
    parts = [name for name, _ in module.named_children()]
    return sorted(parts) == ["act_fn", "down_proj", "gate_proj", "up_proj"] and isinstance(
        module.act_fn, torch.nn.SiLU | SiLUActivation
    )


def _lora_forward(self: Any, x: Tensor) -> Tensor:
    (name,) = self.active_adapters
    base = self.base_layer
    if self.disable_adapters:
        return base(x)  # type: ignore[no-any-return]
    flat = x.to(base.weight.dtype).flatten(0, -2)
    scaling, stays = self.scaling[name], None
    dropout = getattr(self.lora_dropout[name], "p", 0.0)
    if dropout and self.training:
        stays = torch.empty_like(flat, dtype=torch.bool).bernoulli_(1 - dropout)
        scaling /= 1 - dropout
    matrices = self.lora_A[name].weight, self.lora_B[name].weight
    y = FusedLora.apply(flat, base.weight, base.bias, *matrices, scaling, stays)  # type: ignore[no-untyped-call]
    return y.view(*x.shape[:-1], -1)  # type: ignore[no-any-return]


def _norm_forward(self: Any, hidden_states: Tensor) -> Tensor:
    if hidden_states.is_cuda:  # CUDA and ROCm: PyTorch's own fused kernel keeps as little
        return rms_norm(hidden_states, self.weight.shape, self.weight, self.variance_epsilon)
    return FusedRMSNorm.apply(hidden_states, self.weight, self.variance_epsilon)  # type: ignore[no-any-return, no-untyped-call]


def _swiglu_forward(self: Any, x: Tensor) -> Tensor:
    product = FusedSwiGLU.apply(self.gate_proj(x), self.up_proj(x))  # type: ignore[no-untyped-call]
    return self.down_proj(product)  # type: ignore[no-any-return]
