"""The kinds of questions that the rows and benchmark questions have, as data.

Marks follow the ladder 1, 1, 4, 6, 12 of AQA's GCSE Religious Studies from summer 2026. The word
limits are ours: what a good answer of that tariff takes (docs/data.md).
"""

from __future__ import annotations

import re
from typing import NamedTuple


class QuestionType(NamedTuple):
    """One kind of question.

    Args:
        marks: the usual marks.
        least: fewest words of a good answer.
        most: most words of a good answer.
        discusses: whether the answer has to give more than one view.
    """

    marks: int
    least: int
    most: int
    discusses: bool = False


QUESTION_TYPES: dict[str, QuestionType] = {
    "mcq_1": QuestionType(1, 1, 15),
    "short_1": QuestionType(1, 1, 15),
    "define": QuestionType(1, 20, 45),
    "explain_4_influence": QuestionType(4, 70, 110),
    "explain_4_similar": QuestionType(4, 70, 110),
    "explain_4_different": QuestionType(4, 70, 110, True),
    "explain_6_source": QuestionType(6, 110, 170),
    "evaluate_12": QuestionType(12, 300, 420, True),
    "scripture_message": QuestionType(6, 60, 120),
    "misconception": QuestionType(4, 50, 120),
    "cannot_verify": QuestionType(4, 40, 120),
}

_MARKS = re.compile(r"\[(\d{1,2}) marks?\]")
_BY_MARKS = {4: "explain_4_similar", 6: "explain_6_source", 12: "evaluate_12"}


def type_of(question: str, named: object = None) -> QuestionType | None:
    """The kind that the metadata names, else what the marks in brackets say, else None."""
    if isinstance(named, str) and named in QUESTION_TYPES:
        return QUESTION_TYPES[named]
    marks = _MARKS.search(question)
    kind = _BY_MARKS.get(int(marks[1])) if marks else None
    return QUESTION_TYPES[kind] if kind else None
