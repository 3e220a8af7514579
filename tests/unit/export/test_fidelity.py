"""Is an exported model base + adapter? The comparison itself."""

from __future__ import annotations

import pytest
import torch

from theobot.errors import ModelError
from theobot.export.fidelity import (
    Observed,
    compare,
    observe,
    refuse_other_model,
    sample,
)
from theobot.generation.local import LocalGenerator
from theobot.model.adapter import load_adapter


@pytest.fixture(scope="module")
def generator(plain) -> LocalGenerator:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(plain.model, dtype="float32")
    model = load_adapter(base, plain.adapter)
    return LocalGenerator(model, AutoTokenizer.from_pretrained(plain.model), plain.adapter)


def test_the_sample_is_two_questions_of_each_set():
    assert [question.set for question in sample()] == [
        name for name in ("in_domain", "near_domain", "out_of_domain", "trap") for _ in "12"
    ]


def test_a_model_is_like_itself_and_unlike_its_base(generator):
    questions = sample()[:2]
    tuned = observe(generator, "seed", questions)
    assert [len(row) for row in tuned.logits] == [
        1 + len(generator.tokenizer(question.reference)["input_ids"]) for question in questions
    ]
    same = compare(tuned, observe(generator, "seed", questions))
    assert (same.answers_equal, same.compared) == (2, 2)
    assert (same.same_next_token, same.largest_logit_gap) == (1.0, 0.0)
    refuse_other_model(same)
    base = LocalGenerator(generator.network, generator.tokenizer, None)
    with generator.using("base"):
        other = compare(tuned, observe(base, "seed", questions))
    assert other.largest_logit_gap > 0.1


def test_gaps_are_counted_by_hand():
    before = Observed(["a", "b"], [torch.tensor([[0.0, 1.0], [3.0, 1.0]]), torch.eye(2)])
    after = Observed(["a", "c"], [torch.tensor([[0.0, 1.5], [1.0, 2.0]]), torch.eye(2)])
    found = compare(before, after)
    assert found == (2, 1, 4, 0.75, 2.0)
    assert "1 of 2 answers are equal, 75.00% of 4 next tokens" in found.sentence()
    with pytest.raises(ModelError, match=r"agree on 75%.*Nothing was kept"):
        refuse_other_model(found)


def test_numbers_that_are_none_are_no_agreement():
    broken = Observed(["a"], [torch.full((2, 2), torch.nan)])
    found = compare(Observed(["a"], [torch.tensor([[0.0, 1.0]] * 2)]), broken)
    with pytest.raises(ModelError):
        refuse_other_model(found)
