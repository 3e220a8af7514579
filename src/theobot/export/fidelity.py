"""Is an exported model the same as base + adapter? Answers and logits on some shipped questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from theobot.bench.questions import Question, read_questions
from theobot.data.prompt import Turn
from theobot.data.tokens import tokenize_prompt
from theobot.errors import ModelError

if TYPE_CHECKING:
    from theobot.config import PromptFormat
    from theobot.generation.local import LocalGenerator

ANSWER_TOKENS = 48
LEAST_SAME = 0.8
"""Rounding moves near ties only; a model that agrees on fewer next tokens is another one."""


class Fidelity(NamedTuple):
    """How alike two models are.

    Args:
        compared: questions.
        answers_equal: of which the greedy answers (48 tokens at most) are equal, letter for letter.
        positions: next-token choices compared along the reference answers.
        same_next_token: share of them with the same most likely token.
        largest_logit_gap: over all positions and tokens (natural-log units).
    """

    compared: int
    answers_equal: int
    positions: int
    same_next_token: float
    largest_logit_gap: float

    def sentence(self) -> str:
        """What a person is told."""
        return (
            f"Compared with base + adapter: {self.answers_equal} of {self.compared} answers are "
            f"equal, {self.same_next_token:.2%} of {self.positions} next tokens; the largest gap "
            f"between logits is {self.largest_logit_gap:.3g}."
        )


class Observed(NamedTuple):
    """What a model says: its greedy answers, and logits (T, V) along each reference answer."""

    answers: list[str]
    logits: list[torch.Tensor]


def sample() -> list[Question]:
    """Two questions of each shipped set."""
    return read_questions(limit=2)


def observe(
    generator: LocalGenerator, prompt_format: PromptFormat, questions: list[Question]
) -> Observed:
    """Ask the questions with the generator's last arm: the adapter's, where there is one."""
    arm = generator.arms[-1]
    conversations = [[Turn("user", question.text)] for question in questions]
    answers = generator.answer(
        conversations, arm, prompt_format=prompt_format, max_new_tokens=ANSWER_TOKENS
    )
    with generator.using(arm):
        logits = [
            _logits(generator, tokenize_prompt(generator.tokenizer, turns, prompt_format), question)
            for turns, question in zip(conversations, questions, strict=True)
        ]
    return Observed([answer.text for answer in answers], logits)


@torch.inference_mode()
def _logits(generator: LocalGenerator, prompt: list[int], question: Question) -> torch.Tensor:
    """Logits (T, V) for the T tokens of the reference answer, and for what follows it."""
    answer = generator.tokenizer(question.reference or "", add_special_tokens=False)["input_ids"]
    room = generator.context_window - len(prompt)
    ids = torch.tensor([[*prompt, *answer[:room]]], device=generator.network.device)
    kept = ids.shape[1] - len(prompt) + 1
    output = generator.network(input_ids=ids, use_cache=False, logits_to_keep=kept)
    found: torch.Tensor = output.logits[0].cpu()
    return found


def compare(before: Observed, after: Observed) -> Fidelity:
    """Compare what two models said to the same questions."""
    pairs = list(zip(before.logits, after.logits, strict=True))
    same = sum(int((a.argmax(-1) == b.argmax(-1)).sum()) for a, b in pairs)
    positions = sum(len(a) for a, _ in pairs)
    return Fidelity(
        compared=len(before.answers),
        answers_equal=sum(a == b for a, b in zip(before.answers, after.answers, strict=True)),
        positions=positions,
        same_next_token=same / positions,
        largest_logit_gap=max(float((a.float() - b.float()).abs().max()) for a, b in pairs),
    )


def refuse_other_model(fidelity: Fidelity) -> None:
    """Stop where rounding cannot explain the differences.

    Raises:
        ModelError: the exported model is another one.
    """
    if not fidelity.same_next_token >= LEAST_SAME:
        raise ModelError(
            f"The exported model is not base + adapter: they agree on "
            f"{fidelity.same_next_token:.0%} of the next tokens. Nothing was kept. Please report "
            "this with the adapter's adapter_config.json."
        )
