"""The machine's matrix-multiply rate: the yardstick for how much of it training uses."""

from __future__ import annotations

import statistics
import time
from typing import Any, NamedTuple

import torch

from theobot.training.head import tile_width

SQUARES = (2048, 4096)
_SECONDS = 0.3
"""Time spent on one shape in one measurement; at least two products are made."""


class Product(NamedTuple):
    """One matrix product, `left` (m, k) times `right` (k, n)."""

    left: torch.Tensor
    right: torch.Tensor

    @property
    def shape(self) -> str:
        """As a person writes it: m x k x n."""
        return " x ".join(f"{size:,}" for size in (*self.left.shape, self.right.shape[1]))

    def rate(self) -> float:
        """Floating-point operations per second, sustained over some repetitions."""
        (m, k), n = self.left.shape, self.right.shape[1]
        out = self.left.new_empty(m, n)
        on_gpu = self.left.is_cuda
        # A GPU is handed several at once, so that it never waits for the next.
        burst = 20 if on_gpu else 1
        torch.mm(self.left, self.right, out=out)
        begun, repeats = time.perf_counter(), 0
        while repeats < 2 or time.perf_counter() - begun < _SECONDS:
            for _ in range(burst):
                torch.mm(self.left, self.right, out=out)
            if on_gpu:
                torch.cuda.synchronize()
            repeats += 1
        return 2 * m * k * n * burst * repeats / (time.perf_counter() - begun)


class MatmulRate:
    """Best rate over squares and a model's own shapes: of each its median call of `measure`.

    Args:
        model: a causal LM in the number format to measure, with or without an adapter.
        tokens: tokens of one pass.
        scored: those of them that reach the head.
    """

    def __init__(self, model: Any, tokens: int, scored: int) -> None:
        self.products = [*_squares(model), *_shapes_of(model, tokens, scored)]
        self.found: dict[str, list[float]] = {}

    def measure(self) -> None:
        """Time every product once more."""
        for product in self.products:
            self.found.setdefault(product.shape, []).append(product.rate())

    @property
    def shape(self) -> str:
        """The fastest shape."""
        return max(self.found, key=lambda shape: statistics.median(self.found[shape]))

    @property
    def best(self) -> float:
        """Its rate in floating-point operations per second."""
        return statistics.median(self.found[self.shape])


def linear_weights(model: Any) -> list[torch.Tensor]:
    """Weights (out, in) of the decoder's linear layers, adapters and head left out."""
    head = model.get_output_embeddings()
    return [
        module.weight
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head and "lora_" not in name
    ]


def _squares(model: Any) -> list[Product]:
    weight = model.get_output_embeddings().weight.detach()
    form = {"dtype": weight.dtype, "device": weight.device}
    return [
        Product(torch.randn(size, size, **form), torch.randn(size, size, **form))
        for size in SQUARES
    ]


def _shapes_of(model: Any, tokens: int, scored: int) -> list[Product]:
    """Products of the forward pass (x W^T) and of the backward pass (g W), with real weights."""
    head = model.get_output_embeddings().weight.detach()
    tile = head[: tile_width(scored, head.shape[0], head.device.type)]
    weights = {tuple(weight.shape): weight.detach() for weight in linear_weights(model)}
    pairs = [(tokens, weight) for weight in weights.values()] + [(scored, tile)]
    products = []
    for rows, weight in pairs:
        out, inner = weight.shape
        products.append(Product(weight.new_ones(rows, inner).normal_(), weight.T))
        products.append(Product(weight.new_ones(rows, out).normal_(), weight))
    products.append(Product(head.new_ones(scored, head.shape[1]).normal_(), head.T))
    return products
