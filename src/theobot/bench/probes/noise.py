"""Base against base: how many answers change though nothing was changed but the batch.

Greedy answers should be the same whoever else is in the batch; in bfloat16, or on a server, they
are not quite. A difference between base and Theobot is worth no more than this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from theobot.bench.answers import AnswerRecord
from theobot.bench.questions import Question, spread
from theobot.config import PromptFormat
from theobot.data.prompt import Turn
from theobot.generation.generator import Generator

BATCH_SIZE = 20
"""Questions asked together the second time: not as many as the first time."""


def measure_noise(
    generator: Generator,
    questions: Sequence[Question],
    records: Sequence[AnswerRecord],
    prompt_format: PromptFormat,
    count: int,
) -> dict[str, Any] | None:
    """Ask the base some questions a second time, in another order and in smaller batches.

    Args:
        generator: with the arm "base".
        questions: all of them; those asked again are spread over sets, themes and question types.
        records: the first answers; the caps are theirs.
        prompt_format: the base's.
        count: how many to ask again.

    Returns:
        questions (how many), changed (the ids of those answered otherwise), changed_share; None
        if there is nothing to ask again.
    """
    first = {record.id: record for record in records if record.arm == "base"}
    known = [question for question in questions if question.id in first]
    sets = len({question.set for question in known})
    # As many of each set, the last ones left out if they do not divide.
    chosen = spread(known, -(-count // sets))[:count] if sets and count else []
    changed = []
    for start in range(0, len(chosen), BATCH_SIZE):
        # From the end on: the long answers, which were given first, come last.
        batch = chosen[::-1][start : start + BATCH_SIZE]
        answers = generator.answer(
            [[Turn("user", question.text)] for question in batch],
            "base",
            prompt_format=prompt_format,
            max_new_tokens=[first[question.id].max_new_tokens for question in batch],
        )
        changed += [
            question.id
            for question, answer in zip(batch, answers, strict=True)
            if answer.text != first[question.id].text
        ]
    if not chosen:
        return None
    return {
        "questions": len(chosen),
        "changed": sorted(changed),
        "changed_share": len(changed) / len(chosen),
    }
