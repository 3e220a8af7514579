"""Marks with their key, and how steadily each marker judged: what both modes of marking share."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from theobot.bench.marking.agreement import TENTATIVE, Alpha, Scale, krippendorff
from theobot.bench.marking.entries import MarkEntry, PreferEntry
from theobot.bench.marking.sample import Mode
from theobot.bench.marking.store import Item, Judgement, Session
from theobot.generation.generator import Arm

ENOUGH_REPEATS = 8
"""With fewer hidden repeats nothing is concluded from a marker's agreement with themselves."""
WORST = 12
"""Most disagreements that are listed."""

Automatic = Mapping[tuple[str, str], float]
"""Question id and arm to an automatic score between 0 and 1."""


class Unblinded(NamedTuple):
    """Everything that was judged, and which answer is whose.

    Args:
        session: with its closing time.
        items: by item id.
        arms: arm of each answer id.
        judgements: the latest of every card, by mode.
        assigned: number of cards by mode and marker.
        automatic: scores to hold against the marks.
        margins: largest harmless loss per set, in shares of the marks.
        sets: set of every question that was answered, by question id.
        hashes: SHA-256 of every answer's text as it was handed out, by question id and arm.
        rival: what Theobot is compared with, such as "the base".
    """

    session: Session
    items: dict[str, Item]
    arms: dict[str, Arm]
    judgements: dict[Mode, list[Judgement]]
    assigned: dict[Mode, dict[str, int]]
    automatic: Automatic
    margins: Mapping[str, float]
    sets: Mapping[str, str]
    hashes: Mapping[tuple[str, str], str]
    rival: str = "the base"

    def value(self, judgement: Judgement) -> float | str:
        """A judgement as a share of the marks, or as the arm that won, "equal" or "poor"."""
        entry, card = judgement.entry, judgement.card
        if isinstance(entry, MarkEntry):
            return entry.marks / judgement.tariff
        if entry.choice in ("equal", "poor"):
            return entry.choice
        side = card.left if entry.choice == "left" else card.right
        return self.arms[str(side)]

    def first_looks(self, mode: Mode) -> list[Judgement]:
        """Judgements without the hidden repeats."""
        return [one for one in self.judgements[mode] if one.card.repeats is None]


class MarkerSummary(NamedTuple):
    """One marker in one mode.

    Args:
        alias: who.
        assigned: cards to judge, repeats included.
        judged: cards judged.
        late: judgements that came in after the key was opened.
        minutes: spent looking at the cards.
        repeats: cards that were judged a second time.
        same: of these, judged alike.
        near: of these, at most one mark apart; in mode "prefer" the same as `same`.
        alpha: Krippendorff's, of the marker with themselves.
    """

    alias: str
    assigned: int
    judged: int
    late: int
    minutes: float
    repeats: int
    same: int
    near: int
    alpha: float | None

    @property
    def unsteady(self) -> bool:
        """Whether there are enough repeats to see that the marker is at odds with themselves."""
        return self.repeats >= ENOUGH_REPEATS and self.alpha is not None and self.alpha < TENTATIVE


class Disagreement(NamedTuple):
    """Something that markers judged differently.

    Args:
        question_id: of which question.
        arm: whose answer; None where both were compared.
        tariff: marks of the question.
        judged: marks, or the arm that won, "equal" or "poor", by marker.
    """

    question_id: str
    arm: Arm | None
    tariff: int
    judged: dict[str, Any]


class Comment(NamedTuple):
    """What a marker wrote beside a judgement; `id` is the question's, `arm` None for both."""

    id: str
    arm: Arm | None
    marker: str
    text: str


def comments(data: Unblinded) -> list[Comment]:
    """Everything that markers wrote, by question."""
    found = [
        Comment(
            data.items[one.card.item].question_id,
            data.arms[one.card.left] if one.card.right is None else None,
            one.marker,
            one.entry.comment,
        )
        for judgements in data.judgements.values()
        for one in judgements
        if one.entry.comment
    ]
    return sorted(found, key=lambda one: (one.id, str(one.arm), one.marker))


def summarise_markers(data: Unblinded, mode: Mode) -> list[MarkerSummary]:
    """Every marker to whom cards were given in this mode."""
    summaries = []
    for alias, assigned in data.assigned[mode].items():
        own = [one for one in data.judgements[mode] if one.marker == alias]
        by_card = {one.card.id: one for one in own}
        twice = [
            (by_card[one.card.repeats], one)
            for one in own
            if one.card.repeats is not None and one.card.repeats in by_card
        ]
        values = [(data.value(first), data.value(again)) for first, again in twice]
        scale: Scale = "interval" if mode == "mark" else "nominal"
        same = sum(first == again for first, again in values)
        summaries.append(
            MarkerSummary(
                alias,
                assigned,
                len(own),
                sum(one.late for one in own),
                sum(one.entry.ms for one in own) / 60_000,
                len(twice),
                same,
                sum(_near(first, again) for first, again in twice) if mode == "mark" else same,
                krippendorff(values, scale),
            )
        )
    return summaries


def reasons_to_withhold(markers: Sequence[MarkerSummary], alpha: Alpha) -> list[str]:
    """Why no conclusion may be drawn from these marks; empty if one may."""
    reasons = [
        f"{marker.alias} does not agree with themselves: alpha {marker.alpha:.2f} on "
        f"{marker.repeats} hidden repeats, at least {TENTATIVE} is needed."
        for marker in markers
        if marker.unsteady
    ]
    if alpha.units and not alpha.enough:
        reasons.append(
            f"The markers do not agree: alpha {alpha.value:.2f} on {alpha.units} shared "
            f"judgements, at least {TENTATIVE} is needed. Talk over the listed disagreements."
        )
    return reasons


def by_marker(
    judgements: Sequence[Judgement],
) -> dict[tuple[str, str | None], dict[str, Judgement]]:
    """Judgements by what was judged, then by marker.

    What was judged is an item with an answer in mode "mark", with None in mode "prefer", where the
    left answer differs between markers.
    """
    found: dict[tuple[str, str | None], dict[str, Judgement]] = {}
    for one in judgements:
        answer = one.card.left if one.card.right is None else None
        found.setdefault((one.card.item, answer), {})[one.marker] = one
    return found


def disagreement(data: Unblinded, judged: Mapping[str, Judgement]) -> Disagreement:
    """What several markers said of the same thing."""
    one = next(iter(judged.values()))
    item = data.items[one.card.item]
    return Disagreement(
        item.question_id,
        data.arms[one.card.left] if one.card.right is None else None,
        item.tariff,
        {alias: _shown(data, found) for alias, found in judged.items()},
    )


def clusters_of(data: Unblinded, keys: Sequence[tuple[str, str | None]]) -> list[Hashable]:
    """Verse or topic of what was judged."""
    return [data.items[item].cluster for item, _ in keys]


def _shown(data: Unblinded, judgement: Judgement) -> float | str:
    entry = judgement.entry
    return data.value(judgement) if isinstance(entry, PreferEntry) else entry.marks


def _near(first: Judgement, again: Judgement) -> bool:
    one, two = first.entry, again.entry
    return (
        isinstance(one, MarkEntry)
        and isinstance(two, MarkEntry)
        and abs(one.marks - two.marks) <= 1
    )
