"""Whether a run fits, and how its passes are cut then."""

from __future__ import annotations

import pytest
import torch

from theobot.config import TrainSettings
from theobot.data.tokens import TokenRow
from theobot.errors import ModelError
from theobot.model.memory import GIB
from theobot.model.shape import QWEN25
from theobot.training.budget import (
    RowLengths,
    expected_seconds,
    judge,
    matmul_rate,
    refuse_if_too_large,
    rows_of,
    training_flops,
    tuned,
)

SEED = TrainSettings()
ROWS = RowLengths(longest=250, step=1600, total=20_000, scored=15_000)
SEVEN = QWEN25["7B"]


def settings(**training):
    return TrainSettings.model_validate({"training": training})


def verdict(gib, asked=SEED, shape=SEVEN, rows=ROWS, device="cuda"):
    return judge(shape, asked, rows, gib * GIB, device)


def test_lengths_count_the_longest_rows_of_a_step():
    rows = [TokenRow([1] * length, 3, "x") for length in (5, 9, 7, 8)]
    assert RowLengths.of(rows, 2) == RowLengths(9, 17, 29, 29 - 12)


def test_the_seeds_recipe_fits_a_24_gib_card_as_it_is():
    found = verdict(24)
    assert (found.fits, found.changes, found.plan.every_n_layers) == (True, [], 0)
    assert found.plan.pass_tokens == ROWS.step
    assert found.sentence.startswith("Fits: needs ")
    assert found.sentence.endswith(" GiB of 24.00 GiB.")
    assert found.memory.total < 22 * GIB


def test_less_memory_means_smaller_passes_first_and_recomputing_next():
    budgets, layers = [], []
    for gib in (24, 20, 18.5, 17.5, 16):
        found = verdict(gib)
        assert found.fits
        assert found.memory.total <= gib * GIB
        budgets.append(found.plan.pass_tokens)
        layers.append(found.plan.every_n_layers)
    assert layers == sorted(layers, key=lambda every: 1 / every if every else 0)
    assert layers[0] == 0
    assert layers[-1] == 1
    assert min(budgets[:2]) >= 512
    assert "layer computed twice" in verdict(16).sentence


def test_what_does_not_fit_names_the_nearest_that_does_with_its_number():
    found = verdict(12)
    assert not found.fits
    assert "needs 15." in found.sentence
    assert "--load-in-4bit" in found.sentence
    small = verdict(4)
    assert "--model Qwen/Qwen2.5-" in small.sentence
    name = small.nearest.split("Qwen2.5-")[1].split("-Instruct")[0]
    assert verdict(4, shape=QWEN25[name]).fits
    assert "No Qwen2.5 model fits" in verdict(0.5).sentence


def test_a_long_row_needs_recomputing_where_short_ones_do_not():
    long = ROWS._replace(longest=4000, step=30_000)
    found = verdict(24, rows=long)
    assert found.fits
    assert found.plan.pass_tokens >= 4000
    assert found.plan.every_n_layers > 0


def test_what_the_person_set_is_kept_to():
    assert verdict(80, settings(pass_tokens=400)).plan.pass_tokens == 400
    assert verdict(80, settings(pass_tokens=16)).plan.pass_tokens == ROWS.longest
    assert verdict(80, settings(checkpoint_every_n_layers=2)).plan.every_n_layers == 2
    never = settings(checkpoint_every_n_layers=0)
    assert not verdict(15.6, never).fits
    assert "--training.checkpoint-every-n-layers 1" in verdict(15.6, never).sentence


def test_a_cpu_takes_smaller_passes_because_of_its_cache():
    assert verdict(64, device="cpu").plan.pass_tokens == 640


def test_a_run_that_does_not_fit_stops_unless_the_person_insists():
    with pytest.raises(ModelError, match=r"Does not fit: needs .* set --training\.pass-tokens"):
        refuse_if_too_large(verdict(12), SEED)
    refuse_if_too_large(verdict(12), settings(pass_tokens=256))
    refuse_if_too_large(verdict(24), SEED)


def test_the_parts_add_up():
    facts = verdict(24).facts()
    parts = {name: value for name, value in facts["gib"].items() if name != "total"}
    assert sum(parts.values()) == pytest.approx(facts["gib"]["total"], abs=0.01)


def test_work_is_4_operations_for_each_weight_and_2_more_where_recomputed():
    plain = 4 * SEVEN.linear_parameters * ROWS.total + 4 * SEVEN.head_parameters * ROWS.scored
    assert training_flops(SEVEN, ROWS, 0) == plain
    assert training_flops(SEVEN, ROWS, 1) - plain == 2 * SEVEN.linear_parameters * ROWS.total
    plan = ROWS.plan(1600, 0)
    once = expected_seconds(SEVEN, settings(num_train_epochs=1), ROWS, plan, 1e12)
    assert expected_seconds(SEVEN, SEED, ROWS, plan, 1e12) == pytest.approx(3 * once)
    assert once == pytest.approx(plain / 0.75e12)


def test_this_machines_speed_is_measured():
    assert matmul_rate(torch.device("cpu"), torch.float32) > 1e8


def test_two_measured_passes_set_the_budget_by_the_line_through_them():
    points = [(200, 1000.0), (700, 2000.0)]
    assert tuned(points, 3000.0, 50, 4096) == 1200
    assert tuned(points, 30_000.0, 50, 4096) == 4096
    assert tuned(points, 900.0, 180, 4096) == 180
    assert tuned([(200, 1000.0), (700, 1000.0)], 900.0, 180, 4096) == 4096


def test_probe_rows_are_as_many_as_the_tokens_ask_for():
    rows = [TokenRow([1] * length, 3, "x") for length in (5, 9, 7, 8)]
    assert rows_of(rows, 6) == rows[:2]
    assert rows_of(rows, 5) == rows[:1]
    assert rows_of(rows, 100) == rows


def test_several_processes_hold_their_gradients_twice_more():
    alone = judge(SEVEN, SEED, ROWS, 80 * GIB, "cuda").memory
    several = judge(SEVEN, SEED, ROWS, 80 * GIB, "cuda", processes=2).memory
    assert several.total - alone.total == 8 * 10_092_544
