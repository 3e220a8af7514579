"""What a mark is given for, in our own words: shown beside the answers, by tariff.

The ladders are those of GCSE Religious Studies: 1, 4, 6 and 12 marks from summer 2026 on, and 1, 2,
4, 5 and 12 before.
"""

from __future__ import annotations

from typing import NamedTuple

from theobot.bench.questions import Question

UNMARKED = 4
"""Marks offered for a question that names none."""
VARIANTS = 4
"""Other words for a key point that are shown; the rest are for the automatic score."""


class Guide(NamedTuple):
    """How marks are given: one sentence, and levels from the highest down where there are some."""

    text: str
    levels: tuple[tuple[str, str], ...] = ()


_TWELVE = Guide(
    "Find the level that fits the answer as a whole, then the mark within it.",
    (
        (
            "10-12",
            "Argues throughout: different views are weighed against each other with developed "
            "reasons, teaching and sources are accurate and to the point, and the judgement "
            "follows from the argument.",
        ),
        (
            "7-9",
            "Reasons for more than one view, most of them developed; teaching is mostly accurate "
            "and used; the conclusion has some support.",
        ),
        (
            "4-6",
            "A few reasons, little developed or for one view only; teaching is general; a "
            "conclusion is merely stated or missing.",
        ),
        ("1-3", "An opinion or single points with hardly a reason; little or no teaching."),
        ("0", "Nothing that earns a mark."),
    ),
)
_SHORT = Guide("One mark for a correct answer. More words earn no more.")
_FOUR = Guide("Two points, up to two marks each: one if it is simple, two if it is developed.")
_LADDERS = {
    "2026+": {
        1: _SHORT,
        4: _FOUR,
        6: Guide(
            "Two teachings, up to three marks each: one for the teaching, one for developing it, "
            "one for a fitting source of authority."
        ),
        12: _TWELVE,
    },
    "older": {
        1: _SHORT,
        2: Guide("One mark for each of two correct points."),
        4: _FOUR,
        5: Guide(
            "Two teachings, up to two marks each: one if simple, two if developed. One more mark "
            "for a fitting source of authority."
        ),
        12: _TWELVE,
    },
}
_UNMARKED = Guide(
    "This question names no marks. 0: of no use. 1: poor. 2: half right. 3: good. 4: as good as "
    "one can expect."
)


_BY_POINTS = Guide("The points below earn the marks; another point as good earns as much.")
_BY_POINTS_TYPES = ("scripture_message", "misconception", "cannot_verify")
"""Question types whose marks follow their own points, whatever the tariff."""
_RELIGIOUS = ("in_domain", "near_domain")


def guide_for(question: Question) -> Guide | None:
    """How the marks of a question are given; None where nothing is known of it."""
    marks, series = question.marks, question.meta.get("series")
    if marks is None:
        return _UNMARKED
    if marks == 1:
        return _SHORT
    ladder = _LADDERS["2026+" if series in (None, "2026+") else "older"]
    own_points = question.meta.get("qtype") in _BY_POINTS_TYPES
    if question.set in _RELIGIOUS and marks in ladder and not own_points:
        return ladder[marks]
    return _BY_POINTS if question.meta.get("key_points") else None
