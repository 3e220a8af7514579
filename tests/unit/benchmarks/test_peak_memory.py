"""The tracker of peak memory, on tensors of known size."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

MODULE = Path(__file__).parents[3] / "benchmarks" / "peak_memory.py"
peak_bytes: Callable[..., int] = runpy.run_path(str(MODULE))["peak_bytes"]
KIB = 1024


def block(kib: int) -> torch.Tensor:
    return torch.empty(kib * KIB, dtype=torch.uint8)


def test_the_highest_sum_counts_not_the_last_and_not_the_total():
    def run() -> None:
        first = block(300)
        second = block(500)
        del first
        third = block(200)
        del second, third
        _ = block(600)

    assert peak_bytes(run) == 800 * KIB


def test_nothing_allocated_is_nothing():
    assert peak_bytes(lambda: None) == 0


def test_what_was_alive_before_and_is_released_inside_lowers_the_sum():
    held = [block(400), block(100)]

    def run() -> None:
        held.pop(0)
        _ = block(300)  # 100 KiB below the start
        _ = [block(300), block(250)]

    # After `_` is bound again its 300 are gone only once the list exists: -400 + 300 + 550.
    assert peak_bytes(run) == 450 * KIB


def test_a_released_part_of_the_start_leaves_room_without_a_peak():
    held = [block(400)]

    def run() -> None:
        held.clear()
        _ = block(300)

    assert peak_bytes(run) == 0


def test_values_and_sharing_of_live_tensors_stay_as_they_were():
    whole = torch.arange(12.0)
    view = whole[3:6]
    array = torch.ones(5)
    shared = array.numpy()
    assert peak_bytes(lambda: None) == 0
    view += 100
    array += 1
    assert whole.tolist() == [0, 1, 2, 103, 104, 105, 6, 7, 8, 9, 10, 11]
    assert shared.tolist() == [2] * 5


def test_views_and_several_names_of_one_tensor_are_counted_once():
    def run() -> None:
        whole = block(256)
        _ = [whole[: 10 * KIB], whole.view(-1, 2), whole]

    assert peak_bytes(run) == 256 * KIB


def test_temporary_memory_inside_an_operation_is_seen():
    wide = torch.zeros(KIB, KIB)  # 4 MiB, of which logsumexp makes a copy inside
    assert peak_bytes(lambda: torch.logsumexp(wide, 0)) >= 4 * KIB * KIB


def test_a_training_step_keeps_gradients_and_optimiser_state():
    layer = torch.nn.Linear(256, 256, bias=False)  # 256 KiB
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    x = torch.ones(1, 256)

    def run() -> None:
        layer(x).sum().backward()
        optimiser.step()

    # The gradient and the momentum, and 1 KiB or less of activations.
    assert 512 * KIB <= peak_bytes(run) <= 514 * KIB
    # Both are there now: the new gradient is added to the old one.
    assert 256 * KIB <= peak_bytes(run) <= 258 * KIB
    assert peak_bytes(layer.zero_grad) == 0


def test_other_devices_are_refused():
    with pytest.raises(ValueError, match="cpu and cuda only"):
        peak_bytes(lambda: None, "meta")
