"""What --dry-run foretells, and how a run decides."""

from __future__ import annotations

import pytest
import torch

from theobot.config import TrainSettings
from theobot.data.examples import read_examples
from theobot.data.tokens import tokenize_rows
from theobot.errors import ModelError
from theobot.model.device import Compute
from theobot.training.forecast import choose_passes, forecast

CPU = Compute(torch.device("cpu"), torch.float32, "a test")


def test_7b_on_a_24_gib_card_is_foretold_without_a_download(rows_file):
    found = forecast(TrainSettings(), read_examples(rows_file), memory_gib=24)
    assert found.verdict.fits
    assert found.verdict.memory.weights == 2 * 7_615_616_512
    assert found.seconds is None
    assert any("nano's" in text for text in found.notes)
    assert found.facts()["memory"]["gib"]["weights"] == 14.185


def test_a_model_at_hand_is_foretold_with_its_time(rows_file, tiny_base_folder):
    found = forecast(TrainSettings(model=str(tiny_base_folder)), read_examples(rows_file))
    assert found.verdict.fits
    assert found.seconds > 0
    (sentence,) = found.notes
    assert sentence.startswith("Computing on ")


def test_targets_of_unknown_size_are_said_to_be_unknown(rows_file, tiny_base_folder):
    settings = TrainSettings.model_validate(
        {"model": str(tiny_base_folder), "lora": {"target_modules": ["q_proj", "lm_head"]}}
    )
    found = forecast(settings, read_examples(rows_file))
    assert found.verdict is None
    assert "lm_head" in found.notes[0]


@pytest.fixture
def rows(rows_file, tiny_tokenizer):
    return tokenize_rows(read_examples(rows_file), tiny_tokenizer, TrainSettings().tokens)


def test_a_run_says_the_verdict_and_takes_its_passes(rows, tiny_base_folder):
    notes: list[str] = []
    settings = TrainSettings(model=str(tiny_base_folder))
    plan = choose_passes(settings, rows, CPU, notes.append)
    assert notes[0].startswith("Fits: needs 0.0")
    assert notes[0].endswith("GiB of this computer's memory are free."), "no graphics card's"
    assert plan.pass_tokens <= 640
    assert plan.every_n_layers == 0


def test_a_run_that_cannot_fit_stops_before_the_weights_load(rows):
    settings = TrainSettings(model="Qwen/Qwen2.5-32B-Instruct")
    notes: list[str] = []
    with pytest.raises(ModelError, match="Does not fit"):
        choose_passes(settings, rows, CPU, notes.append)
    insisting = settings.model_copy(
        update={"training": settings.training.model_copy(update={"pass_tokens": 64})}
    )
    assert choose_passes(insisting, rows, CPU, notes.append).pass_tokens >= 64
