"""The rows that an adapter learned from, found again: leaks into questions, verses it has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from theobot.bench.leaks import Leak, Level, find_leaks, from_example, from_question
from theobot.bench.questions import Question
from theobot.data.dataset import fingerprint, shipped_training_data, stratified
from theobot.data.examples import Example, read_examples
from theobot.errors import InvalidRunError, TheobotError
from theobot.run_folder import RunFolder, read_json
from theobot.scripture.verses import verses_of

_SHOWN = 5


class TrainingRows(NamedTuple):
    """The rows of a run; without them None, and why, in a sentence."""

    rows: list[Example] | None
    why_not: str = ""


class LeakCheck(NamedTuple):
    """What the training rows say of the questions.

    Args:
        leaks: the labels (same verse), since a leak ends the benchmark; None if not checked.
        why_not: why they were not checked.
        seen: ids of the questions on a verse that Theobot's own rows cite; None if not known.
    """

    leaks: list[Leak] | None
    why_not: str
    seen: list[str] | None

    def as_json(self) -> dict[str, Any]:
        """The same for `probes.json`; what is not known is left out."""
        facts = {
            "leaks": None if self.leaks is None else [leak.as_json() for leak in self.leaks],
            "leaks_not_checked": self.why_not or None,
            "seen_verses": self.seen,
        }
        return {key: value for key, value in facts.items() if value is not None}


def training_rows(run: Path | None) -> TrainingRows:
    """The rows that a run was trained on, if they can still be read and are the same.

    Args:
        run: its folder; None if the adapter is not known.
    """
    folder = RunFolder(run) if run is not None else None
    if folder is None or not folder.config.is_file() or not folder.dataset.is_file():
        return TrainingRows(None, "Which rows the adapter was trained on is not known.")
    try:
        data, told = str(read_json(folder.config)["data"]), read_json(folder.dataset)["train"]
        count, wanted = int(told["rows"]), told["fingerprint"]
    except (TheobotError, KeyError, TypeError, ValueError):
        return TrainingRows(None, f"The files of {folder.name} do not say what it learned from.")
    name = Path(data).name if Path(data).is_absolute() else data
    try:
        rows = read_examples(_place_of(data))
    except TheobotError:
        return TrainingRows(
            None,
            f"The rows that {folder.name} was trained on ({name}) cannot be read now. Put them "
            "back where its config.json says, and type the same command again.",
        )
    for found in (rows, _part(rows, count)):
        if fingerprint(found) == wanted:
            return TrainingRows(found)
    return TrainingRows(None, f"{name} holds other rows now than when {folder.name} was trained.")


def _place_of(data: str) -> str:
    """Where rows lie; the shipped ones also if the run was made by another installation."""
    shipped = shipped_training_data()
    moved = not Path(data).exists() and Path(data).name == shipped.name
    return str(shipped) if moved else data


def _part(rows: list[Example], count: int) -> list[Example]:
    """The fixed part of so many rows that the demo trains on."""
    themes = {row.meta.get("theme") for row in rows}
    return stratified(rows, count // len(themes))


def check_leaks(
    trained: TrainingRows, other: TrainingRows | None, questions: Sequence[Question]
) -> LeakCheck:
    """Look for questions that training gives away.

    Args:
        trained: the rows of Theobot's adapter.
        other: those of another adapter that it is compared with; None without one.
        questions: that are to be asked.

    Raises:
        InvalidRunError: training gives questions away.
    """
    why = trained.why_not or (other.why_not if other else "")
    leaks = [] if trained.rows is None else refuse_leaks(trained.rows, questions)
    seen = None
    if trained.rows is not None:
        on_verses = (Level.SAME_VERSE, Level.SAME_VERSE_AND_TRADITION)
        places = {leak.asked.where for leak in leaks if leak.level in on_verses}
        seen = [one.id for one in questions if from_question(one).where in places]
    if other and other.rows and fingerprint(other.rows) != fingerprint(trained.rows or []):
        leaks += refuse_leaks(other.rows, questions, " of the other adapter")
    return LeakCheck(None if why else leaks, why, seen)


def refuse_leaks(
    trained: Sequence[Example], questions: Sequence[Question], whose: str = ""
) -> list[Leak]:
    """Look for leaks; the labels (same verse) are returned.

    Args:
        trained: the rows.
        questions: that are to be asked.
        whose: words behind "The training rows", where that is not plain.

    Raises:
        InvalidRunError: training gives questions away.
    """
    leaks = find_leaks(
        [from_example(example) for example in trained], [from_question(q) for q in questions]
    )
    fatal = [leak for leak in leaks if leak.level.is_leak]
    if fatal:
        shown = [f"{leak.trained.where}: its {leak.sentence()}." for leak in fatal[:_SHOWN]]
        raise InvalidRunError(
            [
                f"The training rows{whose} give away "
                f"{len({leak.asked.where for leak in fatal})} of the questions; the benchmark "
                "would test memory.",
                *shown,
                "`theobot bench leaks TRAIN.jsonl` lists all. Take the rows out and train again, "
                "or ask other questions with --questions.",
            ]
        )
    return leaks


def verse_was_seen(probes: Mapping[str, Any], question: Question) -> bool | None:
    """Whether the adapter's training rows cite the verse of a question.

    Args:
        probes: what a benchmark kept (`probes.json`).
        question: one of its questions.

    Returns:
        None where the question is on no verse, or the rows are not known.
    """
    seen = probes.get("seen_verses")
    if seen is None or not verses_of(question.text):
        return None
    return question.id in seen
