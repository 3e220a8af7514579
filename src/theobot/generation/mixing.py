"""Base and tuned rows in one batch: the adapter layers leave the first rows to the base.

Or, where two adapters are compared, to the other one.

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
    """Which rows are whose.

    `base_rows` is how many, from the first on, are the base's; `of_base` the adapter with which it
    computes them, None for none.
    """

    of_base: str | None
    base_rows: int = 0


def can_mix(layers: Sequence[Module]) -> bool:
    """Whether every adapter layer adds a plain product to its base layer's.

    Not so with DoRA and other variants, merged adapters, several in one row, embeddings, 4-bit
    layers, `modules_to_save`, or where something else has taken the place of a layer's forward.
    """
    return all(_is_plain(layer) for layer in layers)


@contextmanager
def mixed(layers: Sequence[Module], of_base: str | None = None) -> Iterator[Mixture]:
    """Inside the block the layers obey the mixture; they are as before whatever ends it."""
    mixture = Mixture(of_base)
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
    """What PEFT's own forward computes, in the same order, for the rows of each adapter.

    Args:
        layer: a plain LoRA layer.
        mixture: which rows are the base's.
        x: (B, T, in).

    Returns:
        (B, T, out) in the base layer's format.
    """
    result: Tensor = layer.base_layer(x)
    (tuned,) = layer.active_adapters
    shares = ((mixture.of_base, slice(mixture.base_rows)), (tuned, slice(mixture.base_rows, None)))
    for name, rows in shares:
        if name in layer.lora_A and len(x[rows]):
            down, up = layer.lora_A[name], layer.lora_B[name]
            part = up(down(x[rows].to(down.weight.dtype))) * layer.scaling[name]
            # The sum is formed in the wider of both formats and rounded once, as PEFT does for one.
            result[rows] += part
    return result
