"""The loss inside the model's forward: scored positions only, and never the full logits.

The LM head is frozen, so the gradient of the hidden states can be formed in the forward pass,
chunk by chunk: loss = sum over positions of logsumexp(W h) - (W h)[target], whose gradient is
(softmax(W h) - onehot(target)) W. The largest tensor is (chunk, vocabulary).
"""

from __future__ import annotations

import types
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from theobot.data.batches import FlatPass

CHUNK = 1024
"""Scored positions whose logits exist at one time."""

PLAIN_HEADS = frozenset({"qwen2", "qwen3", "llama", "mistral"})
"""Model types whose logits are exactly lm_head(hidden): no soft cap, scale or bias of their own."""


class FrozenHeadCrossEntropy(torch.autograd.Function):
    """Summed cross-entropy of a frozen linear head."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, chunk: int
    ) -> torch.Tensor:
        """Loss, and the gradient of `hidden` on the way.

        Args:
            ctx: autograd's context.
            hidden: (N, H).
            weight: (V, H), frozen.
            targets: (N,) ids.
            chunk: positions at one time.

        Returns:
            () float32, the sum over the N positions.
        """
        wants_gradient = ctx.needs_input_grad[0]
        gradient = torch.empty_like(hidden) if wants_gradient else None
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for start in range(0, hidden.shape[0], chunk):
            piece = slice(start, start + chunk)
            target = targets[piece].unsqueeze(1)
            logits = (hidden[piece] @ weight.T).float()
            log_total = logits.logsumexp(dim=1, keepdim=True)
            loss += (log_total - logits.gather(1, target)).sum()
            if gradient is not None:
                probability = logits.sub_(log_total).exp_()
                probability.scatter_add_(1, target, torch.full_like(log_total, -1.0))
                gradient[piece] = probability.to(weight.dtype) @ weight
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        """Scale the gradient formed in `forward`."""
        (gradient,) = ctx.saved_tensors
        return gradient * grad_outputs[0].to(gradient.dtype), None, None, None


def summed_loss(model: PreTrainedModel, hidden: torch.Tensor, targets: torch.Tensor) -> Any:
    """Cross-entropy of the head over hidden states (N, H), summed: () float32."""
    head = model.get_output_embeddings()
    frozen = not head.weight.requires_grad and head.bias is None
    if frozen and model.config.model_type in PLAIN_HEADS and type(head) is torch.nn.Linear:
        return FrozenHeadCrossEntropy.apply(  # type: ignore[no-untyped-call]
            hidden.to(head.weight.dtype), head.weight, targets, CHUNK
        )
    return torch.nn.functional.cross_entropy(head(hidden).float(), targets, reduction="sum")


def _forward_flat(model: PreTrainedModel, flat: FlatPass) -> CausalLMOutputWithPast:
    hidden = model.get_decoder()(
        input_ids=flat.input_ids,
        position_ids=flat.position_ids,
        use_cache=False,
        segments=flat.segments,
    ).last_hidden_state
    return CausalLMOutputWithPast(
        loss=summed_loss(model, hidden[0, flat.scored], flat.targets), logits=None
    )


def install_flat_forward(model: PreTrainedModel) -> None:
    """Give a causal LM's `forward` a second way in: `flat=FlatPass` returns the summed loss.

    It must be the model's own forward, not a function beside it, so that every pass goes through
    whatever wraps the model (autocast, DDP, FSDP).
    """
    original = model.forward

    def forward(self: PreTrainedModel, *args: Any, **kwargs: Any) -> Any:
        flat = kwargs.get("flat")
        if flat is not None:
            return _forward_flat(self, flat)
        return original(*args, **kwargs)

    model.forward = types.MethodType(forward, model)
