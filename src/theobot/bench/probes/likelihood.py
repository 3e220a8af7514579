"""How likely each arm finds the reference answers: negative log-likelihood per token.

Rows are tokenised exactly as in training: prompt and answer separately, the end-of-sequence token
last. Only the answer's tokens and that last one are scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn.functional import cross_entropy

from theobot.bench.probes.passes import PASS_TOKENS, passes
from theobot.bench.questions import Question
from theobot.bench.statistics import Interval, paired_interval
from theobot.config import PromptFormat, TokenSettings
from theobot.data.examples import Example
from theobot.data.prompt import Turn, render_prompt
from theobot.data.tokens import TokenRow, tokenize_rows
from theobot.errors import DataError
from theobot.generation.generator import Arm
from theobot.generation.local import LocalGenerator


class Likelihood(NamedTuple):
    """One reference answer: its negative log-likelihood in nats, and how many tokens that sums."""

    id: str
    nats: float
    tokens: int

    @property
    def per_token(self) -> float:
        """Nats per token."""
        return self.nats / self.tokens


class LikelihoodComparison(NamedTuple):
    """Theobot in its own format against the base in the better of its two.

    Means are over questions, in nats per token; `difference` is Theobot minus base, paired by
    question, so that below zero Theobot finds the references more likely.
    """

    base_format: PromptFormat
    theobot_format: PromptFormat
    base_mean: float
    base_other_mean: float | None
    theobot_mean: float
    difference: Interval


def score_references(
    generator: LocalGenerator,
    questions: Sequence[Question],
    arm: Arm,
    prompt_format: PromptFormat,
    pass_tokens: int = PASS_TOKENS,
) -> list[Likelihood]:
    """Score the reference answer of every question that has one, in the order given.

    Raises:
        DataError: rows longer than the model's window; none is ever cut.
    """
    known = [question for question in questions if question.reference is not None]
    rows = _tokenise(generator, known, prompt_format)
    scored: dict[str, Likelihood] = {}
    with generator.using(arm):
        for batch in passes(rows, lambda row: len(row.input_ids), pass_tokens):
            for row, nats in zip(batch, _nats(generator, batch), strict=True):
                scored[row.where] = Likelihood(row.where, nats, row.scored)
    return [scored[question.id] for question in known]


def compare_likelihood(
    generator: LocalGenerator, questions: Sequence[Question]
) -> LikelihoodComparison:
    """Compare both arms on the same references, the base in whichever format suits it better.

    Raises:
        DataError: no question has a reference, or a row is longer than the window.
    """
    if not any(question.reference is not None for question in questions):
        raise DataError("None of these questions has a reference answer to score.")
    own = generator.formats["theobot"]
    tuned = [row.per_token for row in score_references(generator, questions, "theobot", own)]
    formats: set[PromptFormat] = {"seed", generator.formats["base"]}
    scores = {
        chosen: [row.per_token for row in score_references(generator, questions, "base", chosen)]
        for chosen in sorted(formats)
    }
    means = {chosen: sum(values) / len(values) for chosen, values in scores.items()}
    best = min(means, key=lambda chosen: means[chosen])
    return LikelihoodComparison(
        best,
        own,
        means[best],
        next((mean for chosen, mean in means.items() if chosen != best), None),
        sum(tuned) / len(tuned),
        paired_interval([t - b for t, b in zip(tuned, scores[best], strict=True)]),
    )


def _tokenise(
    generator: LocalGenerator, questions: Sequence[Question], prompt_format: PromptFormat
) -> list[TokenRow]:
    examples = [
        Example(render_prompt([Turn("user", q.text)], "seed"), q.reference or "", {}, q.id)
        for q in questions
    ]
    settings = TokenSettings(prompt_format=prompt_format, max_length=generator.context_window)
    return tokenize_rows(examples, generator.tokenizer, settings)


@torch.inference_mode()
def _nats(generator: LocalGenerator, batch: Sequence[TokenRow]) -> list[float]:
    """Summed negative log-likelihood of each row's answer, in float32.

    Rows are padded on the left, so that all answers end together and only the logits before
    answer tokens, (B, longest answer + 1, V), are ever computed.
    """
    ids, mask, positions = generator.decoder.pad([row.input_ids for row in batch])
    longest = max(row.scored for row in batch)
    logits = generator.network(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        use_cache=False,
        logits_to_keep=longest + 1,
    ).logits
    return [
        float(
            cross_entropy(
                logits[k, -row.scored - 1 : -1].float(), ids[k, -row.scored :], reduction="sum"
            )
        )
        for k, row in enumerate(batch)
    ]
