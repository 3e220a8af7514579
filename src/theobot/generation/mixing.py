"""Base and tuned rows in one batch: the adapter layers leave the first rows to the base.

PEFT can do this too (`adapter_names=["__base__", ...]`), but hangs hooks on every layer for every
step and leaves them there after an exception, so that the tuned model answers as the base from then
on (peft#3475); and it rounds the adapter's part before adding it, so that in bfloat16 a row would
not get the sum that it gets alone. Here the base's rows come first, and each layer adds its part
to the others by a slice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from peft.tuners.lora.layer import Linear as LoraLinear
from torch import Tensor
from torch.nn import Module


@dataclass
class Mixture:
    """How many rows, from the first on, the base computes alone."""

    base_rows: int = 0


def can_mix(layers: Sequence[Module]) -> bool:
    """Whether every adapter layer adds a plain product to its base layer's.

    Not so with DoRA and other variants, merged adapters, several at once, embeddings, 4-bit
    layers, `modules_to_save`, or where something else has taken the place of a layer's forward.
    """
    return all(_is_plain(layer) for layer in layers)


@contextmanager
def mixed(layers: Sequence[Module]) -> Iterator[Mixture]:
    """Inside the block the layers obey the mixture; they are as before whatever ends it."""
    mixture = Mixture()
    try:
        for layer in layers:
            layer.forward = partial(_forward, layer, mixture)
        yield mixture
    finally:
        restore(layers)


def restore(layers: Sequence[Module]) -> None:
    """Give layers back their own forward; mends what a Ctrl-C at the end of `mixed` left undone."""
    for layer in layers:
        if _is_ours(layer):
            del layer.forward


def _is_ours(layer: Module) -> bool:
    forward = vars(layer).get("forward")
    return isinstance(forward, partial) and forward.func is _forward


def _is_plain(layer: Module) -> bool:
    return (
        type(layer) is LoraLinear
        and ("forward" not in vars(layer) or _is_ours(layer))
        and len(layer.active_adapters) == 1
        and not layer.lora_variant
        and not layer.merged
    )


def _forward(layer: Any, mixture: Mixture, x: Tensor) -> Tensor:
    """What PEFT's own forward computes, in the same order, for all rows but the base's.

    Args:
        layer: a plain LoRA layer.
        mixture: which rows are the base's.
        x: (B, T, in).

    Returns:
        (B, T, out) in the base layer's format.
    """
    result: Tensor = layer.base_layer(x)
    (name,) = layer.active_adapters
    if name in layer.lora_A and mixture.base_rows < len(x):
        down, up = layer.lora_A[name], layer.lora_B[name]
        part = up(down(x[mixture.base_rows :].to(down.weight.dtype))) * layer.scaling[name]
        # The sum is formed in the wider of both formats and rounded once, as PEFT does for one arm.
        result[mixture.base_rows :] += part
    return result
