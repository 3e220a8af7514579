"""What each answer earns, without a judge: multiple choice, checked answers, key points.

A question is scored by the first of these that it has: options (by likelihood where it was
measured, else as the answer says), a check of its own, key points of a mark scheme. One that has
none of them gets no score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from theobot.bench.answers import AnswerRecord
from theobot.bench.probes.choices import ChoiceRecord
from theobot.bench.questions import Question
from theobot.bench.scoring.checks import NOT_RUN, check_answer, check_of
from theobot.bench.scoring.matching import Passage, find, phrases_in, read_phrases
from theobot.bench.scoring.options import choose_option
from theobot.generation.generator import Arm
from theobot.scripture import Status, find_citations


class PointHit(NamedTuple):
    """A key point of a mark scheme, and whether an answer makes it.

    Args:
        text: the point.
        marks: what it is worth.
        hit: whether it is made.
        found: the words of the answer that make it; "" if none do.
    """

    text: str
    marks: int
    hit: bool
    found: str


class Score(NamedTuple):
    """What an answer earns.

    Args:
        id: of the question.
        set: of the question.
        arm: who answered.
        metric: "key_points", "choice" or "check".
        value: share of the marks, 0 to 1.
        marks: the tariff, see `full_marks`.
        points: key points, where they were used.
        words: length of the answer.
        note: what a person should know; "" where nothing is to be said.
    """

    id: str
    set: str
    arm: Arm
    metric: str
    value: float
    marks: int
    points: tuple[PointHit, ...]
    words: int
    note: str


class CitationCount(NamedTuple):
    """Scripture in an answer.

    Args:
        id: of the question.
        arm: who answered.
        cited: references to scripture.
        missing: those that do not exist.
    """

    id: str
    arm: Arm
    cited: int
    missing: int


def score_answers(
    questions: Sequence[Question],
    records: Sequence[AnswerRecord],
    choices: Sequence[ChoiceRecord] = (),
) -> list[Score]:
    """Score every answer that can be scored, in the order of the records."""
    by_id = {question.id: question for question in questions}
    chosen = {(choice.id, choice.arm): choice for choice in choices}
    found = (_score(by_id[record.id], record, chosen) for record in records if record.id in by_id)
    return [score for score in found if score is not None]


def count_citations(records: Sequence[AnswerRecord]) -> list[CitationCount]:
    """Count the scripture of every answer."""
    counts = []
    for record in records:
        cited = find_citations(record.text)
        missing = sum(one.status is Status.MISSING for one in cited)
        counts.append(CitationCount(record.id, record.arm, len(cited), missing))
    return counts


def chrf(answer: str, reference: str) -> float:
    """Likeness of letters to a reference, 0 to 1 (chrF2, Popovic 2015), by sacrebleu."""
    from sacrebleu.metrics.chrf import CHRF

    return float(CHRF().sentence_score(answer, [reference]).score) / 100


def _score(
    question: Question,
    record: AnswerRecord,
    chosen: Mapping[tuple[str, Arm], ChoiceRecord],
) -> Score | None:
    checked = check_of(question)
    words, marks = len(record.text.split()), full_marks(question)

    def score(
        metric: str, value: float, note: str = "", points: tuple[PointHit, ...] = ()
    ) -> Score:
        return Score(
            question.id, question.set, record.arm, metric, value, marks, points, words, note
        )

    if checked and checked[0] == "choice":
        expected = str(checked[1]).upper()
        if (choice := chosen.get((question.id, record.arm))) is not None:
            return score("choice", float(choice.letter == expected), "by likelihood")
        said = choose_option(question.text, record.text)
        return score("choice", float(said.letter == expected), said.note)
    if checked and checked[0] != NOT_RUN:
        result = check_answer(question, record.text, *checked)
        return score("check", float(result.right), result.note)
    points = score_points(question, record.text)
    if not points:
        return None
    earned = min(marks, sum(point.marks for point in points if point.hit))
    return score("key_points", earned / marks, points=points)


def full_marks(question: Question) -> int:
    """The tariff; without one what the key points of the mark scheme are worth together, else 1."""
    scheme = question.meta.get("key_points") or []
    return question.marks or sum(int(point["marks"]) for point in scheme) or 1


def score_points(question: Question, answer: str) -> tuple[PointHit, ...]:
    """Which key points of the question's mark scheme an answer makes."""
    scheme = question.meta.get("key_points") or []
    said, asked = Passage(answer), Passage(question.text)
    hits = []
    for point in scheme:
        texts = [*point.get("accept", ()), *phrases_in(str(point["text"]))]
        found = find(read_phrases(texts, question.reference or ""), said, asked)
        hits.append(PointHit(str(point["text"]), int(point["marks"]), bool(found), found))
    return tuple(hits)
