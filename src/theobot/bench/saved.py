"""A benchmark folder as it was saved, read again and scored; nothing here needs a model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from theobot.bench.answers import (
    ANSWERS,
    AnswerRecord,
    read_answers,
    rival_of_records,
    text_hash,
)
from theobot.bench.plan import PLAN, BenchPlan, read_plan
from theobot.bench.probes.choices import CHOICES, read_choices
from theobot.bench.question_meta import first_problem
from theobot.bench.questions import Question, parse_saved_questions
from theobot.bench.report import model as report_model
from theobot.bench.rival import Rival
from theobot.bench.scoring.scores import Score, score_answers
from theobot.errors import InvalidRunError, RunError
from theobot.generation.generator import ARMS, Arm

QUESTIONS = "questions.jsonl"
SCORES = "scores.json"
PROBES = "probes.json"
"""What was found with the model at hand: adapter effect, drift, noise; leaks and seen verses. It is
written last, so that it vouches for `CHOICES` too. `answers` is the plan of the answers that it
tells of."""
MARKS = "marks.json"
"""What `theobot mark close` found."""
JUDGE = "judge.json"
"""Which language model was asked about the answers, and what its verdicts say."""


_Object = dict[str, Any]


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True)


class _Noise(_Shape):
    changed_share: float = 0.0


class _Drift(_Shape):
    kl: _Object | None = None


class _Probes(_Shape):
    """Entries of `PROBES` that the report works with; others are shown as they are."""

    answers: str | None = None
    adapter_effect: float | None = None
    plan_changes: list[str] = []
    noise: _Noise | None = None
    drift: _Drift | None = None
    leaks: list[_Object] | None = None
    leaks_not_checked: str | None = None
    seen_verses: list[str] | None = None


class _Disagreement(_Shape):
    arm: str | None = None
    comments: _Object | None = None
    judged: dict[str, str | int | float | bool | None] | None = None


class _Tariff(_Shape):
    tariff: int
    n: int
    base: float | None
    theobot: float | None


class _Judged(_Shape):
    """What marks or preferences say."""

    comparisons: list[_Object] | None = None
    tariffs: list[_Tariff] | None = None
    wrong: _Object | None = None
    scripture: _Object | None = None
    left: _Object | None = None
    markers: list[_Object] | None = None
    disagreements: list[_Disagreement] | None = None
    alpha: _Object | None = None
    questions: int | None = None
    wins: int | None = None
    losses: int | None = None

    @field_validator("comparisons")
    @classmethod
    def _whole(cls, value: list[_Object] | None) -> list[_Object] | None:
        for one in value or []:
            try:
                report_model.comparison_of(one)
            except (KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"no whole comparison: {error}") from None
        return value


class _Marks(_Shape):
    """Entries of `MARKS` that the report works with."""

    mark: _Judged | None = None
    prefer: _Judged | None = None
    comments: list[_Object] | None = None
    notes: list[str] | None = None
    answers: dict[str, dict[str, str]] | None = None
    reasons: list[str] | None = None


class Answered(NamedTuple):
    """A benchmark folder as it was saved.

    Args:
        plan: the plan.
        questions: all questions asked.
        records: answers by question and arm; of the questions below only.
        pairs: ids of questions that both arms have answered, in order.
        scores: by question and arm.
        probes: see `PROBES`; empty where these answers have none.
        marks: people's marks of these very answers, if there are any.
        rival: what Theobot was compared with.
        aside: names of files that tell of other answers than these, and so are not used.
    """

    plan: BenchPlan
    questions: list[Question]
    records: dict[tuple[str, Arm], AnswerRecord]
    pairs: list[Question]
    scores: dict[tuple[str, Arm], Score]
    probes: dict[str, Any]
    marks: dict[str, Any] | None
    rival: Rival
    aside: tuple[str, ...] = ()

    @property
    def scored(self) -> list[Question]:
        """Pairs of which both answers have a score."""
        return [q for q in self.pairs if all((q.id, arm) in self.scores for arm in ARMS)]


def read_answered(folder: Path) -> Answered:
    """Read a benchmark folder and score its answers."""
    plan = read_plan(folder / PLAN)
    questions = read_saved_questions(folder / QUESTIONS)
    known = {question.id for question in questions}
    records = {
        (record.id, record.arm): record
        for record in read_answers(folder / ANSWERS)
        if record.id in known
    }
    pairs = [q for q in questions if all((q.id, arm) in records for arm in ARMS)]
    probes = _shaped(folder / PROBES, _Probes)
    probed = probes.get("answers") in {record.plan for record in records.values()}
    choices = read_choices(folder / CHOICES) if probed else []
    kept = [records[question.id, arm] for question in pairs for arm in ARMS]
    scores = {(score.id, score.arm): score for score in score_answers(pairs, kept, choices)}
    marks = _read_marks(folder / MARKS, records)
    unused = [*([] if probed else [PROBES, CHOICES]), *([MARKS] if marks is None else [])]
    return Answered(
        plan,
        questions,
        records,
        pairs,
        scores,
        probes if probed else {},
        marks,
        rival_of_records(records.values()),
        tuple(name for name in unused if (folder / name).exists()),
    )


def _read_marks(
    path: Path, records: Mapping[tuple[str, Arm], AnswerRecord]
) -> dict[str, Any] | None:
    """What people gave these answers; None where they marked others, or nobody marked."""
    marks = _shaped(path, _Marks)
    # Marks of a version that did not keep what was marked may be of any answers.
    marked = marks.pop("answers", None) or {}
    now = {(name, str(arm)): text_hash(record.text) for (name, arm), record in records.items()}
    same = all(
        now.get((name, arm)) == digest
        for name, digests in marked.items()
        for arm, digest in digests.items()
    )
    return marks if marked and same else None


def read_saved_questions(path: Path) -> list[Question]:
    """The questions as they were when they were answered."""
    try:
        return parse_saved_questions(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(
            f"{path}: cannot be read: {error.strerror}. `theobot bench` makes it."
        ) from None
    except ValueError as error:
        raise RunError(
            f"{path}: damaged ({error}). Run `theobot bench` again with this -o."
        ) from None


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object that a stage left; no file, an empty one.

    Raises:
        RunError: the file is damaged.
    """
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise RunError(f"{path}: damaged. Run `theobot bench` again with this -o.") from None
    return value if isinstance(value, dict) else {}


def _shaped(path: Path, shape: type[BaseModel]) -> dict[str, Any]:
    """An object whose entries can be shown.

    Raises:
        RunError: one of them is of another kind.
    """
    value = read_object(path)
    try:
        shape.model_validate(value)
    except ValidationError as error:
        raise RunError(
            f"{path}: damaged ({first_problem(error)}). Run `theobot bench` again with this -o."
        ) from None
    return value


def cluster_of(question: Question) -> str:
    """Verse or topic that a question is about; one without stands for itself."""
    return str(question.meta.get("cluster") or question.id)


def missing_share(answered: Answered) -> float:
    """Share of the questions that lack an answer of either arm."""
    return 1 - len(answered.pairs) / len(answered.questions) if answered.questions else 1.0


def refuse_incomplete(answered: Answered) -> None:
    """Stop where too many pairs are missing.

    Raises:
        InvalidRunError: more than the plan allows.
    """
    share = missing_share(answered)
    if share > answered.plan.missing_limit:
        raise InvalidRunError(
            f"{share:.1%} of the questions lack an answer of one of the two; at most "
            f"{answered.plan.missing_limit:.1%} may. Type the same `theobot bench` again to go on."
        )


def refuse_equal_answers(records: Iterable[AnswerRecord]) -> None:
    """Stop where both arms have answered alike throughout.

    Raises:
        InvalidRunError: they have.
    """
    texts: dict[str, dict[Arm, str]] = {}
    for record in records:
        texts.setdefault(record.id, {})[record.arm] = record.text
    pairs = [list(both.values()) for both in texts.values() if len(both) == len(ARMS)]
    if pairs and all(base == theobot for base, theobot in pairs):
        raise InvalidRunError(
            f"All {len(pairs)} answers of both are the same, letter for letter: there is no effect "
            "that could be judged. Check that the adapter was trained to its end."
        )
