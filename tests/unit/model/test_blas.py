"""AMD's libraries for matrix products are timed, and the faster one is used."""

from __future__ import annotations

import torch

from theobot.model.blas import choose_library, layer_products, settle_library, time_products
from theobot.model.device import Compute
from theobot.model.shape import QWEN25, ModelShape

CPU = torch.device("cpu")
TINY = ModelShape("qwen2", 32, 64, 1, 4, 2, 8, 100, True, True, False)


def library(seconds: dict[str, list[float | None]]):
    """Times by library, one for each turn."""
    return lambda name: seconds[name].pop(0)


def test_the_faster_library_is_chosen_by_its_better_turn():
    choice = choose_library(library({"hipblas": [0.9, 0.3], "hipblaslt": [0.5, 0.4]}))
    assert choice is not None
    assert choice.name == "hipblas"
    assert choice.seconds == {"hipblas": 0.3, "hipblaslt": 0.4}
    assert "hipblas (hipblas 300.0 ms, hipblaslt 400.0 ms" in choice.sentence


def test_a_library_that_torch_refuses_leaves_no_choice():
    assert choose_library(library({"hipblas": [1, 1], "hipblaslt": [None, None]})) is None


def test_products_have_the_models_shapes_in_both_layouts():
    shape = QWEN25["0.5B"]
    products = layer_products(shape, 8, torch.float32, CPU)
    assert len(products) == 2 * len(shape.linears)
    found = {(tuple(left.shape), tuple(right.shape)) for left, right in products}
    assert ((8, 896), (896, 4864)) in found  # gate and up, forward
    assert ((8, 4864), (4864, 896)) in found  # their backward, and down forward
    assert all((left @ right).isfinite().all() for left, right in products)


def test_products_are_timed():

    products = layer_products(TINY, 4, torch.float32, CPU)
    assert 0 < time_products(products, CPU) < 0.1


def test_where_there_is_one_library_nothing_is_timed():
    compute = Compute(CPU, torch.float32, "as asked")
    assert settle_library(compute, QWEN25["7B"], 10**9) == []
