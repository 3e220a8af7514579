"""What the marks say once the key is open, in a form that a report and a JSON file can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from theobot.bench.marking.mark_outcome import (
    AutomaticAgreement,
    Marked,
    check_automatic,
    summarise_marking,
)
from theobot.bench.marking.prefer_outcome import Preferred, summarise_preferences
from theobot.bench.marking.sample import Mode
from theobot.bench.marking.unblinded import Comment, Unblinded, comments
from theobot.bench.report.model import plain
from theobot.bench.report.words import count

ENOUGH_MARKERS = 3
"""With fewer, conclusions are about these markers, not about markers in general."""


class MarkingResult(NamedTuple):
    """Everything that blind marking found.

    Args:
        session: its id.
        closed: when the key was opened.
        seed: of the sample.
        left_out: questions that were not drawn because an answer names its model.
        markers: people who judged something.
        mark: outcome of marking, if there was any.
        prefer: outcome of comparing, if there was any.
        automatic: how well an automatic score agrees; None without marks or scores.
        late: judgements that came in after the key was opened; they are counted.
        comments: what markers wrote, by question.
        answers: SHA-256 of the text of every answer handed out, by question and arm.
        withheld: markers do not agree, so that in one mode at least nothing is concluded.
        reasons: why, in sentences.
        notes: what else a reader must know, in sentences.
        sentence: the outcome for a teacher.
    """

    session: str
    closed: str
    seed: int
    left_out: int
    markers: int
    mark: Marked | None
    prefer: Preferred | None
    automatic: AutomaticAgreement | None
    late: int
    comments: list[Comment]
    answers: dict[str, dict[str, str]]
    withheld: bool
    reasons: list[str]
    notes: list[str]
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """Plain dicts and lists; what is undefined or infinite becomes None."""
        return {key: plain(value) for key, value in self._asdict().items()}


def summarise(data: Unblinded) -> MarkingResult:
    """Everything that can be said of unblinded marks, from at least one judgement."""
    judged = {mode: found for mode, found in data.judgements.items() if found}
    mark = summarise_marking(data) if "mark" in judged else None
    prefer = summarise_preferences(data) if "prefer" in judged else None
    outcomes = [outcome for outcome in (mark, prefer) if outcome is not None]
    reasons = [reason for outcome in outcomes for reason in outcome.reasons]
    late = sum(one.late for found in judged.values() for one in found)
    markers = {one.marker for found in judged.values() for one in found}
    answers: dict[str, dict[str, str]] = {}
    for (question, arm), digest in data.hashes.items():
        answers.setdefault(question, {})[arm] = digest
    return MarkingResult(
        session=data.session.id,
        closed=data.session.closed or "",
        seed=data.session.seed,
        left_out=data.session.left_out,
        markers=len(markers),
        mark=mark,
        prefer=prefer,
        automatic=check_automatic(data) if mark is not None else None,
        late=late,
        comments=comments(data),
        answers=answers,
        withheld=bool(reasons),
        reasons=list(dict.fromkeys(reasons)),
        notes=_notes(data, judged, len(markers), late),
        sentence=_sentence(len(markers), mark, prefer, data.rival),
    )


def _sentence(markers: int, mark: Marked | None, prefer: Preferred | None, rival: str) -> str:
    who = "1 person" if markers == 1 else f"{markers} people"
    parts = []
    if mark is not None:
        parts.append(
            f"{who} marked {count(mark.questions, 'question')} blind: {_marks(mark, rival)}."
        )
    if prefer is not None:
        parts.append(
            f"{who} compared the answers to {count(prefer.questions, 'question')} blind: "
            f"{_wins(prefer, rival)}."
        )
    return " ".join(parts)


def _marks(mark: Marked, rival: str) -> str:
    if mark.withheld:
        return "no conclusion, because the markers do not agree"
    worth = sum(row.n * row.tariff for row in mark.tariffs)
    if not worth:
        return "no question has both answers marked by the same person yet"
    base = sum(row.n * row.base for row in mark.tariffs) / worth
    theobot = sum(row.n * row.theobot for row in mark.tariffs) / worth
    return f"Theobot earned {theobot:.0%} of the marks, {rival} {base:.0%}"


def _wins(prefer: Preferred, rival: str) -> str:
    if prefer.withheld:
        return "no conclusion, because the markers do not agree"
    return (
        f"Theobot's was preferred on {prefer.wins}, {rival}'s on {prefer.losses}, "
        f"neither on {prefer.equal + prefer.poor}"
    )


def _notes(data: Unblinded, judged: Mapping[Mode, Any], markers: int, late: int) -> list[str]:
    notes = []
    if markers < ENOUGH_MARKERS:
        who = "this marker" if markers == 1 else "these markers"
        notes.append(
            f"Conclusions are for {who}: with fewer than {ENOUGH_MARKERS}, nothing can be said of "
            "markers in general."
        )
    if markers == 1:
        notes.append("One person marked, so that agreement between markers is not known.")
    for mode, found in judged.items():
        done = {alias: 0 for alias in data.assigned[mode]}
        for one in found:
            done[one.marker] += 1
        for alias, number in done.items():
            if number < data.assigned[mode][alias]:
                notes.append(
                    f"{alias} judged {number} of {data.assigned[mode][alias]} cards in mode {mode}."
                )
    if late:
        notes.append(
            f"{count(late, 'judgement')} came in after the key was opened on "
            f"{str(data.session.closed)[:10]}; they are counted, but may not have been blind."
        )
    if data.session.left_out:
        notes.append(
            f"{count(data.session.left_out, 'question')} could not be drawn, because an answer "
            "says which model wrote it."
        )
    return notes
