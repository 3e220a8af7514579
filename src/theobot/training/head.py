"""The loss inside the model's forward: scored positions only, and never the full logits.

The LM head is frozen, so the gradient of the hidden states can be formed in the forward pass:
loss = sum over positions of logsumexp(W h) - (W h)[target], whose gradient is
softmax(W h) W - W[target]. The vocabulary is walked through in tiles, with the running maximum of
"Online normalizer calculation for softmax" (Milakov and Gimelshein, 2018): each tile's logits are
used for both the sum and the gradient while they are in the cache, and then forgotten. The largest
tensor is (scored positions, tile).
"""

from __future__ import annotations

import types
from typing import Any

import torch
from torch.distributed.fsdp import FSDPModule
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from theobot.data.batches import FlatPass
from theobot.model.memory import tile_width
from theobot.model.shape import KNOWN_FAMILIES
from theobot.training.attention import lay_out


class FrozenHeadCrossEntropy(torch.autograd.Function):
    """Summed cross-entropy of a frozen linear head."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, tile: int
    ) -> torch.Tensor:
        """Loss, and the gradient of `hidden` on the way.

        Args:
            ctx: autograd's context.
            hidden: (N, H), in the format of `weight`.
            weight: (V, H), frozen.
            targets: (N,) ids.
            tile: columns of the vocabulary at one time.

        Returns:
            () float32, the sum over the N positions.
        """
        wants_gradient = ctx.needs_input_grad[0]
        rows = hidden.shape[0]
        highest = hidden.new_full((rows, 1), -torch.inf, dtype=torch.float32)
        total = torch.zeros_like(highest)
        gradient = torch.zeros_like(hidden, dtype=torch.float32) if wants_gradient else None
        # Used again by every tile: fresh memory of this size costs a CPU as much as the products.
        narrow = hidden.new_empty(rows * min(tile, weight.shape[0]))
        wide = torch.empty_like(narrow, dtype=torch.float32)
        part = torch.empty_like(hidden)
        for piece in weight.split(tile):
            logits = narrow[: rows * piece.shape[0]].view(rows, -1)
            weights = wide[: rows * piece.shape[0]].view(rows, -1)
            torch.mm(hidden, piece.T, out=logits)
            before = highest
            highest = torch.maximum(highest, logits.amax(dim=1, keepdim=True).float())
            rescale = (before - highest).exp_()
            weights.copy_(logits).sub_(highest).exp_()
            total.mul_(rescale).add_(weights.sum(dim=1, keepdim=True))
            if gradient is not None:
                torch.mm(logits.copy_(weights), piece, out=part)
                gradient.mul_(rescale).add_(part)
        right = weight[targets]
        target_logits = torch.linalg.vecdot(hidden.float(), right.float())
        if gradient is not None:
            gradient.div_(total).sub_(right)
            ctx.save_for_backward(gradient.to(hidden.dtype))
        loss: torch.Tensor = (highest + total.log()).sum() - target_logits.sum()
        return loss

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        """Scale the gradient formed in `forward`."""
        (gradient,) = ctx.saved_tensors
        return gradient * grad_outputs[0].to(gradient.dtype), None, None, None


def _loss_of_frozen_head(
    head: torch.nn.Linear, hidden: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    loss: torch.Tensor = FrozenHeadCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden.to(head.weight.dtype),
        head.weight,
        targets,
        tile_width(hidden.shape[0], head.weight.shape[0], hidden.device.type),
    )
    return loss


def summed_loss(model: PreTrainedModel, hidden: torch.Tensor, targets: torch.Tensor) -> Any:
    """Cross-entropy of the head over hidden states (N, H), summed: () float32."""
    head = model.get_output_embeddings()
    frozen = not head.weight.requires_grad and head.bias is None
    if not frozen or model.config.model_type not in KNOWN_FAMILIES or not _is_plain(head):
        return torch.nn.functional.cross_entropy(head(hidden).float(), targets, reduction="sum")
    if isinstance(head, FSDPModule):
        return _call_sharded(head, hidden, targets)
    return _loss_of_frozen_head(head, hidden, targets)


def _call_sharded(head: Any, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """FSDP brings the weight's parts together when the module is called, and not before."""
    head.forward = types.MethodType(_loss_of_frozen_head, head)
    try:
        loss: torch.Tensor = head(hidden, targets)
    finally:
        del head.forward
    return loss


def _is_plain(head: torch.nn.Module) -> bool:
    """Whether the head is torch's own linear layer, with or without FSDP, and nothing more."""
    # fully_shard replaces a module's class by one that derives from FSDPModule and it.
    kind = type(head).__bases__[-1] if isinstance(head, FSDPModule) else type(head)
    return kind is torch.nn.Linear


def _forward_flat(
    model: PreTrainedModel, flat: FlatPass, *, varlen: bool, trimmed: bool
) -> CausalLMOutputWithPast:
    hidden = model.get_decoder()(
        input_ids=flat.input_ids,
        position_ids=flat.position_ids,
        use_cache=False,
        layout=lay_out(flat.segments, flat.input_ids.device, varlen=varlen),
        scored=flat.scored,
    ).last_hidden_state[0]
    scored = hidden if trimmed else hidden[flat.scored]
    return CausalLMOutputWithPast(loss=summed_loss(model, scored, flat.targets), logits=None)


def _trim_last_layer(model: PreTrainedModel) -> bool:
    """Let the last layer's MLP see scored positions alone: nobody reads what others give there.

    Returns:
        Whether the layer has the plain form that this needs.
    """
    last = model.get_decoder().layers[-1]
    parts = {name for name, _ in last.named_children()}
    if parts != {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}:
        return False
    kind = type(last)

    def forward(
        self: Any, hidden_states: torch.Tensor, *, scored: torch.Tensor | None = None, **kwargs: Any
    ) -> Any:
        if scored is None:
            return kind.forward(self, hidden_states, **kwargs)
        attended, _ = self.self_attn(hidden_states=self.input_layernorm(hidden_states), **kwargs)
        hidden = (hidden_states + attended).index_select(1, scored)
        return hidden + self.mlp(self.post_attention_layernorm(hidden))

    # A class of its own, since transformers wraps checkpointing around a class's forward. The name
    # stays, by which FSDP finds the layers.
    last.__class__ = type(kind.__name__, (kind,), {"forward": forward})
    return True


def install_flat_forward(model: PreTrainedModel, *, varlen: bool = False) -> None:
    """Give a causal LM's `forward` a second way in: `flat=FlatPass` returns the summed loss.

    It must be the model's own forward, not a function beside it, so that every pass goes through
    whatever wraps the model (autocast, DDP, FSDP).

    Args:
        model: the causal LM, its attention set to `SEGMENTED`.
        varlen: see `lay_out`.
    """
    original = model.forward
    trimmed = model.config.model_type in KNOWN_FAMILIES and _trim_last_layer(model)

    def forward(self: PreTrainedModel, *args: Any, **kwargs: Any) -> Any:
        flat = kwargs.get("flat")
        if flat is not None:
            return _forward_flat(self, flat, varlen=varlen, trimmed=trimmed)
        return original(*args, **kwargs)

    model.forward = types.MethodType(forward, model)
