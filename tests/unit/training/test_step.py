"""Sharing out a step's rows, its passes, and what counts as out of memory."""

from __future__ import annotations

import torch

from theobot.data.tokens import TokenRow
from theobot.training.step import (
    StepSum,
    my_passes,
    not_finite,
    passes_of_step,
    step_seed,
    unless_out_of_memory,
    worst_passes,
)


def row(length: int, name: str = "") -> TokenRow:
    return TokenRow(list(range(length)), 1, name or f"rows:{length}")


def sizes(passes: list[list[TokenRow]]) -> list[int]:
    return [sum(len(row.input_ids) for row in part) for part in passes]


def test_each_process_packs_its_share_and_no_row_is_lost_or_doubled():
    rows = [row(length) for length in (50, 40, 30, 20, 10)]
    each = passes_of_step(rows, 60, 2)
    assert [sizes(passes) for passes in each] == [[60, 20], [40, 30]]
    names = [r.where for passes in each for part in passes for r in part]
    assert sorted(names) == sorted(r.where for r in rows)


def test_a_process_may_have_nothing_to_do():
    each = passes_of_step([row(9)], 60, 3)
    assert [sizes(passes) for passes in each] == [[9], [], []]
    assert my_passes(each, 2, 0.5, torch.nn.Linear(1, 1)) == []


def test_the_worst_passes_are_the_longest_row_and_the_fullest_pass():
    rows = [row(length) for length in (50, 30, 29, 28, 5)]
    steps = [[[rows[0], rows[4]], [rows[1]]], [[rows[2], rows[3]], []]]
    assert [sizes([part]) for part in worst_passes(rows, steps, 60)] == [[50], [57]]
    assert [sizes([part]) for part in worst_passes(rows, steps, 50)] == [[50]]


def test_each_step_and_process_has_a_seed_of_its_own():
    seeds = {
        step_seed(seed, step, rank) for seed in (1, 42) for step in range(9) for rank in (0, 1)
    }
    assert len(seeds) == 36
    assert step_seed(42, 3, 1) == step_seed(42, 3, 1)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_real_allocation_that_fails_is_out_of_memory():
    assert unless_out_of_memory(lambda: torch.empty(2**58, dtype=torch.uint8)) is None


def test_one_process_alone_sums_without_touching_its_gradients():
    model = torch.nn.Linear(3, 1)
    model(torch.ones(3)).backward()
    before = model.weight.grad
    outcome = StepSum(model, torch.device("cpu"))([torch.tensor(1.5), torch.tensor(2.0)], stop=True)
    assert outcome.loss == 3.5
    assert (outcome.out_of_memory, outcome.stop) == (False, True)
    assert model.weight.grad is before
    assert StepSum(model, torch.device("cpu"))(None, stop=False).out_of_memory


def test_an_error_names_five_rows_at_most():
    error = not_finite(7, "the loss is nan", [f"rows.jsonl:{line}" for line in range(1, 9)])
    assert str(error).startswith("Step 7: the loss is nan with rows.jsonl:1, rows.jsonl:2,")
    assert "rows.jsonl:5 and 3 more." in str(error)
    assert "rows.jsonl:6" not in str(error)
