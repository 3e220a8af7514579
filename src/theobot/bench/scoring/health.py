"""Are the answers sound at first sight? No judge, no model: lengths, loops, stops and words.

These figures say whether an answer ends, moves on and is about its question. They do not say
whether it is right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import Any, NamedTuple

from theobot.bench.answers import AnswerRecord
from theobot.bench.questions import Question
from theobot.bench.statistics import Interval, paired_interval
from theobot.generation.generator import Arm

RUN = 6
"""Words in a row that, when they come again, count as a repetition."""

_WORD = re.compile(r"[^\W_]+(?:['\N{RIGHT SINGLE QUOTATION MARK}][^\W_]+)*")
_PLAIN_WORD = re.compile(r"[^\W_]+")

STOP_WORDS = frozenset(
    _PLAIN_WORD.findall(
        "a about after all also although am an and any are aren as at be because been before "
        "being both but by can could d did didn do does doesn doing don down each either for "
        "from had has have having he her here hers him his how however i if in into is isn it "
        "its itself just ll m may me might more most must my no nor not of off on one only or "
        "other our out over own re s same shall she should so some such t than that the their "
        "them themselves then there these they this those through to too under until up upon us "
        "ve very was wasn we were weren what when where which while who whom whose why will "
        "with within without won would you your"
    )
)


class Health(NamedTuple):
    """Figures of one arm on one set; shares are between 0 and 1.

    `stopped` counts answers that ended by an end-of-sequence token; `new_turn` those that began
    to speak for the user; the rest were cut. Both are None where a server does not tell them
    apart. `overlap` is the answer's word overlap with its own
    reference, `overlap_elsewhere` the mean with the set's other references, `overlap_gain` their
    paired difference; None without two references.
    """

    set: str
    arm: Arm
    answers: int
    stopped: float | None
    new_turn: float | None
    repeats: float
    median_words: float
    overlap: float | None
    overlap_elsewhere: float | None
    overlap_gain: Interval | None

    def to_json(self) -> dict[str, Any]:
        """Plain values for `health.json`."""
        gain = self.overlap_gain
        return {**self._asdict(), "overlap_gain": None if gain is None else gain._asdict()}


def measure_health(questions: Sequence[Question], records: Iterable[AnswerRecord]) -> list[Health]:
    """Figures per set and arm, in the order of the questions' sets, base before Theobot."""
    by_id = {question.id: question for question in questions}
    groups: dict[tuple[str, Arm], list[AnswerRecord]] = {}
    for record in records:
        groups.setdefault((by_id[record.id].set, record.arm), []).append(record)
    order = list(dict.fromkeys(question.set for question in questions))
    keys = sorted(groups, key=lambda key: (order.index(key[0]), key[1]))
    return [_health(by_id, groups[key]) for key in keys]


def words(text: str) -> list[str]:
    """Lower-case words and numbers of a text."""
    return [word.lower() for word in _WORD.findall(text)]


def repeats_itself(text: str) -> bool:
    """Whether the same six words in a row occur twice; the two may overlap."""
    found = words(text)
    runs = [tuple(found[i : i + RUN]) for i in range(len(found) - RUN + 1)]
    return len(set(runs)) < len(runs)


def content_words(text: str) -> frozenset[str]:
    """The different words of a text that carry content; "God's" counts as "God"."""
    return frozenset(_PLAIN_WORD.findall(text.lower())) - STOP_WORDS


def word_overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """F1 of two sets of words: twice the shared ones over the sum of both sizes; 0 when empty."""
    both = len(one) + len(other)
    return 2 * len(one & other) / both if both else 0.0


def _health(by_id: dict[str, Question], records: Sequence[AnswerRecord]) -> Health:
    about, first = by_id[records[0].id], records[0]
    pairs = _overlaps(by_id, records)
    stops = [record.stop_reason for record in records]
    told = "stop" not in stops
    own, elsewhere = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return Health(
        about.set,
        first.arm,
        len(records),
        stops.count("eos") / len(stops) if told else None,
        stops.count("new_turn") / len(stops) if told else None,
        fmean(repeats_itself(record.text) for record in records),
        median(len(words(record.text)) for record in records),
        fmean(own) if pairs else None,
        fmean(elsewhere) if pairs else None,
        paired_interval([a - b for a, b in pairs]) if pairs else None,
    )


def _overlaps(
    by_id: dict[str, Question], records: Sequence[AnswerRecord]
) -> list[tuple[float, float]]:
    """Per answer with a reference: overlap with its own, and the mean with all others."""
    references = {
        record.id: content_words(reference)
        for record in records
        if (reference := by_id[record.id].reference) is not None
    }
    if len(references) < 2:
        return []
    pairs = []
    for record in records:
        if record.id in references:
            said = content_words(record.text)
            own = word_overlap(said, references[record.id])
            others = [word_overlap(said, r) for i, r in references.items() if i != record.id]
            pairs.append((own, fmean(others)))
    return pairs
