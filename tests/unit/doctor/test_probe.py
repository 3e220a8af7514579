"""The child, on this machine: for real where torch is needed."""

import json
import math

import pytest
import torch

from theobot.doctor import probe
from theobot.doctor.facts import Torch, Trial


def told(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_every_stage_says_a_line_that_the_facts_take(capsys):
    assert probe.main([]) == 0
    stages = told(capsys)
    assert [stage.pop("stage") for stage in stages] == list(probe.STAGES)
    found = Torch.model_validate({name: value for stage in stages for name, value in stage.items()})
    assert found.version == torch.__version__
    assert found.available == torch.cuda.is_available()
    assert found.error is None


def test_a_stage_that_fails_is_told_and_the_last(capsys):
    def fails():
        raise RuntimeError("HIP error: invalid device function\nsecond line")

    assert probe.main([], dict.fromkeys(probe.STAGES, fails) | {"import": dict}) == 1
    stages = told(capsys)
    assert len(stages) == 2
    assert stages[1]["error"] == "RuntimeError: HIP error: invalid device function"


def test_only_the_stages_that_were_asked_for(capsys):
    assert probe.main(["import"]) == 0
    assert [stage["stage"] for stage in told(capsys)] == ["import"]


@pytest.mark.parametrize(
    ("difference", "verdict", "told"),
    [(0.004, "works", 0.004), (0.5, "wrong", 0.5), (math.nan, "wrong", None)],
)
def test_a_trial_that_is_far_off_or_not_finite_is_wrong(difference, verdict, told):
    found = probe.trial("bf16", difference, 0.02)
    assert (found["verdict"], found["difference"]) == (verdict, told)


def test_an_error_without_words_is_named_by_its_kind():
    assert probe.first_line(ValueError()) == "ValueError"


def test_a_product_in_bfloat16_is_held_against_float32():
    found = Trial.model_validate(probe.product(torch.device("cpu")))
    assert found.verdict == "works"
    assert 0 < found.difference < 0.02


def test_the_trials_of_attention_are_facts():
    found = [
        Trial.model_validate(one) for one in probe.attentions(torch.device("cpu"), torch.float32)
    ]
    verdicts = {one.name: one.verdict for one in found}
    assert verdicts["math"] == "works"
    assert verdicts["varlen"] == "unavailable"
    assert all(one.reason for one in found if one.verdict == "unavailable")
