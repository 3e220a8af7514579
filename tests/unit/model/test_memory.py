"""The memory model against peaks that are measured in the same breath."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from transformers import Qwen2Config

from theobot.config import TrainSettings
from theobot.model.memory import GIB, PassPlan, predict_memory, tile_width
from theobot.model.shape import QWEN25

BENCHMARK = runpy.run_path(str(Path(__file__).parents[3] / "benchmarks" / "memory.py"))
SEED = TrainSettings()


# The others are for `benchmarks/memory.py`: each takes seconds where bfloat16 is emulated.
@pytest.mark.parametrize("case", BENCHMARK["CASES"][4::5], ids=str)
def test_the_prediction_is_within_10_percent_of_the_measured_peak(case, tmp_path):
    config = Qwen2Config(
        vocab_size=4096,
        hidden_size=128,
        intermediate_size=640,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        use_cache=False,
        tie_word_embeddings=True,
    )
    found = BENCHMARK["measure"](case, config, torch.device("cpu"), tmp_path)
    assert found.predicted == pytest.approx(found.measured, rel=0.1)
    assert found.predicted_total == pytest.approx(found.measured_total, rel=0.1)


def test_the_seeds_7b_recipe_fits_24_gib_and_its_parts_are_known():
    plan = PassPlan(pass_tokens=1280, every_n_layers=0, scored=1000, longest=110)
    memory = predict_memory(QWEN25["7B"], SEED, plan, "cuda")
    assert memory.weights == 2 * 7_615_616_512
    assert memory.adapter + memory.optimiser == 16 * 10_092_544
    # By hand, for each token and layer: bfloat16 of the norms' inputs, what q, k and v read, the
    # heads, the attention's result twice, gate and up, four narrow products; the norms' scales and
    # the log-sum-exp in float32. Once more for each token: cosine and sine.
    numbers = 3 * 3584 + 3584 + 2 * 512 + 2 * 3584 + 2 * 18944 + 4 * 16
    by_hand = 28 * (2 * numbers + 8 + 4 * 28) + 2 * 2 * 128
    assert memory.activations == 1280 * by_hand
    assert 19 * GIB < memory.total < 22 * GIB


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({}, {"lora": {"r": 64}}),
        ({}, {"lora": {"lora_dropout": 0.1}}),
        ({}, {"training": {"bf16": False}}),
        ({"load_in_4bit": True}, {}),
    ],
)
def test_what_costs_memory_is_seen_to_cost_it(less, more):
    plan = PassPlan(1024, 0, 800, 100)
    totals = [
        predict_memory(QWEN25["7B"], TrainSettings.model_validate(value), plan, "cuda").total
        for value in (less, more)
    ]
    assert totals[0] < totals[1]


def test_four_bits_hold_7b_in_the_bytes_that_its_layout_says():
    settings = TrainSettings(load_in_4bit=True)
    plan = PassPlan(256, 1, 200, 100)
    weights = predict_memory(QWEN25["7B"], settings, plan, "cuda").weights
    linear = QWEN25["7B"].linear_parameters
    assert weights - 2 * QWEN25["7B"].other_parameters == pytest.approx(0.516 * linear, rel=0.001)


def test_tiles_keep_the_logits_small_whatever_the_number_of_positions():
    assert tile_width(1000, 151_936, "cpu") * 1000 <= 2**22
    assert tile_width(1, 500, "cpu") == 500
    assert tile_width(10**6, 151_936, "cuda") == 1024
