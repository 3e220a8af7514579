from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import log_softmax

from theobot.bench.probes.likelihood import Likelihood, compare_likelihood, score_references
from theobot.bench.questions import Question
from theobot.data.prompt import Turn
from theobot.errors import DataError

QUESTIONS = [
    Question("a", "in_domain", "What is sin?", 1, "Turning away from God.", {}),
    Question("b", "in_domain", "Why?", None, None, {}),
    Question("c", "in_domain", "Explain forgiveness and peace.", 4, "Letting go. " * 6, {}),
    Question("d", "in_domain", "Who?", 1, "I", {}),
]


def by_hand(generator, question, arm, prompt_format) -> float:
    """One row, unpadded, every logit, position by position."""
    tokenizer = generator.tokenizer
    prompt = tokenizer.encode(
        generator.render([Turn("user", question.text)], arm, prompt_format),
        add_special_tokens=False,
    )
    answer = tokenizer.encode(question.reference, add_special_tokens=False)
    ids = [*prompt, *answer, tokenizer.eos_token_id]
    with torch.no_grad(), generator.using(arm):
        logs = log_softmax(generator.network(torch.tensor([ids])).logits[0].double(), dim=-1)
    return -sum(float(logs[i - 1, ids[i]]) for i in range(len(prompt), len(ids)))


@pytest.mark.parametrize("arm", ["base", "theobot"])
@pytest.mark.parametrize("prompt_format", ["seed", "chat"])
@pytest.mark.parametrize("pass_tokens", [1, 4096])
def test_padded_batches_give_the_sums_of_single_rows(
    tiny_generator, arm, prompt_format, pass_tokens
):
    scored = score_references(tiny_generator, QUESTIONS, arm, prompt_format, pass_tokens)
    assert [row.id for row in scored] == ["a", "c", "d"]
    for row in scored:
        question = next(q for q in QUESTIONS if q.id == row.id)
        encoded = tiny_generator.tokenizer.encode(question.reference, add_special_tokens=False)
        assert row.tokens == len(encoded) + 1
        assert row.nats == pytest.approx(by_hand(tiny_generator, question, arm, prompt_format))
    assert tiny_generator.model.get_model_status().enabled is True


def test_the_base_is_compared_in_its_better_format(tiny_generator):
    result = compare_likelihood(tiny_generator, QUESTIONS)
    means = {}
    for chosen in ("seed", "chat"):
        rows = score_references(tiny_generator, QUESTIONS, "base", chosen)
        means[chosen] = sum(row.per_token for row in rows) / 3
    assert result.base_mean == pytest.approx(min(means.values()))
    assert result.base_other_mean == pytest.approx(max(means.values()))
    assert means[result.base_format] == result.base_mean
    assert result.theobot_format == "seed"
    assert result.difference.n == 3
    assert result.difference.mean == pytest.approx(result.theobot_mean - result.base_mean)


def test_a_row_longer_than_the_window_is_refused_and_not_cut(tiny_generator):
    long = QUESTIONS[0]._replace(reference="word " * 600)
    with pytest.raises(DataError, match=r"a: .* at most 512"):
        score_references(tiny_generator, [long], "base", "seed")


def test_nothing_to_score_is_said(tiny_generator):
    with pytest.raises(DataError, match="None of these questions"):
        compare_likelihood(tiny_generator, QUESTIONS[1:2])


def test_per_token_is_the_mean():
    assert Likelihood("a", 6 * math.log(2), 6).per_token == pytest.approx(math.log(2))
