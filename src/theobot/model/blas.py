"""Which of AMD's two libraries multiplies matrices: the faster one changes between releases.

On NVIDIA and on a CPU there is nothing to choose. Tunable operations (TunableOp) are never turned
on: each new length of a pass would be tuned for seconds.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from theobot.model.device import Compute
from theobot.model.shape import ModelShape

LIBRARIES = ("hipblas", "hipblaslt")
_VARIABLES = ("TORCH_BLAS_PREFER_HIPBLASLT", "TORCH_BLAS_PREFER_CUBLASLT")
_SECONDS = 0.025
"""Time spent on each library in each of two turns."""


def finish(device: torch.device) -> None:
    """Wait until a device has computed all that it was handed."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class LibraryChoice(NamedTuple):
    """The faster of AMD's libraries for matrix products; seconds by name of those that work."""

    name: str
    seconds: dict[str, float]

    @property
    def sentence(self) -> str:
        """For the person."""
        times = ", ".join(f"{name} {value * 1e3:.1f} ms" for name, value in self.seconds.items())
        return f"Matrix products: {self.name} ({times} for one layer, forward and backward)."


def choose_library(seconds_with: Callable[[str], float | None]) -> LibraryChoice | None:
    """The faster library in two turns each, so that the first does not pay for a slow start.

    Args:
        seconds_with: lets torch use a library, and times it; None if torch refuses it here.

    Returns:
        None unless there is a choice.
    """
    best: dict[str, float] = {}
    for _ in range(2):
        for name in LIBRARIES:
            seconds = seconds_with(name)
            if seconds is not None:
                best[name] = min(seconds, best.get(name, float("inf")))
    if len(best) < len(LIBRARIES):
        return None
    return LibraryChoice(min(best, key=lambda name: best[name]), best)


def settle_library(compute: Compute, shape: ModelShape, tokens: int) -> list[str]:
    """Let torch use the faster library, unless a person has said which.

    Args:
        compute: where to compute.
        shape: the base model's.
        tokens: of a typical pass.

    Returns:
        What was chosen, in a sentence; nothing where there is no choice.
    """
    if not torch.version.hip or any(name in os.environ for name in _VARIABLES):
        return []
    first = torch.backends.cuda.preferred_blas_library()
    products = layer_products(shape, tokens, compute.dtype, compute.device)

    def seconds_with(name: str) -> float | None:
        # torch warns of an architecture that hipBLASLt does not know, and keeps the other one.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted = torch.backends.cuda.preferred_blas_library(name)
        if name == "hipblaslt" and wanted != torch._C._BlasBackend.Cublaslt:
            return None
        return time_products(products, compute.device)

    choice = choose_library(seconds_with)
    if choice is None:
        torch.backends.cuda.preferred_blas_library(first)
        return []
    torch.backends.cuda.preferred_blas_library(choice.name)
    return [choice.sentence]


def layer_products(
    shape: ModelShape, tokens: int, dtype: torch.dtype, device: torch.device
) -> list[tuple[Tensor, Tensor]]:
    """Factors of a layer's products: x W^T forward, g W backward, for each linear layer.

    Layers of one shape share their tensors, and come as often as the model has them.
    """
    weights = {
        sizes: torch.full(sizes[::-1], 0.01, dtype=dtype, device=device)
        for sizes in shape.linears.values()
    }
    products = []
    for inner, outer in shape.linears.values():
        weight = weights[inner, outer]
        products.append((weight.new_full((tokens, inner), 0.01), weight.T))
        products.append((weight.new_full((tokens, outer), 0.01), weight))
    return products


def time_products(products: Sequence[tuple[Tensor, Tensor]], device: torch.device) -> float:
    """Seconds of all products once: the fastest round in about 25 ms, after one to warm up."""
    best, begun = float("inf"), None
    while begun is None or time.perf_counter() - begun < _SECONDS:
        finish(device)
        started = time.perf_counter()
        for left, right in products:
            left @ right
        finish(device)
        if begun is None:
            begun = time.perf_counter()
        else:
            best = min(best, time.perf_counter() - started)
    return best
