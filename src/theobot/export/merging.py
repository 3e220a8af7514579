"""Adapter and base as one model: the sum is formed in float32 and rounded once."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from peft.tuners.lora.layer import LoraLayer

from theobot.errors import AdapterError

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


@torch.no_grad()
def merge(model: PeftModel, dtype: torch.dtype) -> PreTrainedModel:
    """Add the adapter to the base's weights, one layer at a time, and take the adapter away.

    PEFT's own `merge_and_unload` rounds twice in bfloat16, and where the update is small against
    the weight it loses a good part of it.

    Args:
        model: the base with its adapter; is used up.
        dtype: number format of the result.

    Raises:
        AdapterError: a sum is not finite.
    """
    for name, layer in model.named_modules():
        if not isinstance(layer, LoraLayer):
            continue
        base = cast(torch.nn.Linear, layer.get_base_layer())
        base.weight.data = base.weight.data.float()
        try:
            layer.merge(safe_merge=True)
        except ValueError:
            raise AdapterError(
                f"{name}: base and adapter add up to numbers that are not finite. The adapter is "
                "damaged; train it again."
            ) from None
        base.weight.data = base.weight.data.to(dtype)
    plain = cast("PreTrainedModel", model.base_model.unload())  # type: ignore[operator]
    _tell_whether_tied(plain)
    torch.nn.Module.to(plain, dtype)
    return plain


def _tell_whether_tied(model: PreTrainedModel) -> None:
    """An adapter that trained the LM head alone (`modules_to_save`) unties it."""
    head, embedding = (
        cast(torch.nn.Linear, model.get_output_embeddings()),
        cast(torch.nn.Embedding, model.get_input_embeddings()),
    )
    if head.weight is not embedding.weight:
        model.config.tie_word_embeddings = False
