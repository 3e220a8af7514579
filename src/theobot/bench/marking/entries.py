"""What a marking page saves: one entry per judgement, and the file that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

FORMAT = "marks-1"

Criterion = Literal["task", "scripture", "reasoning", "perspective", "specific", "clear"]
"""The six criteria of the original rubric: understands the task, faithful to scripture, reasons
with the theme, fits the named tradition, is specific, is clear."""
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
Choice = Literal["left", "right", "equal", "poor"]


class Entry(BaseModel):
    """One judgement as a page saves it.

    `id` is random, so that a file can be imported twice; `ms` the time spent looking at the card.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: str = Field(pattern=r"^[0-9a-f]{16,40}$")
    card: str = Field(pattern=r"^[0-9a-f]{12}$")
    at: str = Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")
    ms: int = Field(ge=0, le=10**9)
    comment: str = Field(default="", max_length=4000)


class MarkEntry(Entry):
    """Marks for one answer; `points` are the places of the key points that were ticked."""

    marks: int = Field(ge=0, le=1000)
    points: tuple[Annotated[int, Field(ge=0, le=100)], ...] = Field(default=(), max_length=100)
    wrong: bool = False
    scripture: bool = False
    criteria: dict[Criterion, Annotated[int, Field(ge=0, le=2)]] = Field(default_factory=dict)


class PreferEntry(Entry):
    """Which of two answers is better."""

    choice: Choice
    reasons: tuple[Criterion, ...] = Field(default=(), max_length=6)


class MarkFile(BaseModel):
    """Everything one marker saved in one mode, earlier versions of corrected marks included."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["marks-1"]
    session: str = Field(max_length=40)
    marker: str = Field(max_length=40)
    saved: str = Field(max_length=40)


class SavedMarks(MarkFile):
    """A file of marks."""

    mode: Literal["mark"]
    entries: tuple[MarkEntry, ...] = Field(max_length=100_000)


class SavedPreferences(MarkFile):
    """A file of preferences."""

    mode: Literal["prefer"]
    entries: tuple[PreferEntry, ...] = Field(max_length=100_000)


def entry_problems(
    entry: MarkEntry | PreferEntry,
    tariffs: Mapping[str, int],
    known: Mapping[str, MarkEntry | PreferEntry],
) -> list[str]:
    """What speaks against taking an entry.

    Args:
        entry: as it came.
        tariffs: marks that each card of its marker is worth.
        known: entries that were taken before, by id.
    """
    if entry.card not in tariffs:
        return [f"card {entry.card} is none of this marker's; was the file made for another page?"]
    tariff = tariffs[entry.card]
    if isinstance(entry, MarkEntry) and entry.marks > tariff:
        return [f"card {entry.card} has {entry.marks} marks, but the question is worth {tariff}."]
    if known.get(entry.id, entry) != entry:
        return [
            f"entry {entry.id} was changed since it was imported. Correct marks on the page, "
            "which keeps the earlier ones."
        ]
    return []
