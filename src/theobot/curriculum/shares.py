"""What the shipped set is made of: themes, religions, and their planned shares."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

THEMES = {
    "A": "Relationships and families",
    "B": "Religion and life",
    "C": "The existence of God and revelation",
    "D": "Religion, peace and conflict",
    "E": "Religion, crime and punishment",
    "F": "Religion, human rights and social justice",
}

RELIGION_SHARES = {
    "Christianity": 36.0,
    "Islam": 16.0,
    "Judaism": 11.0,
    "Buddhism": 8.0,
    "Hinduism": 8.0,
    "Sikhism": 8.0,
    "comparative": 7.0,
    "Non-religious": 6.0,
}
"""Planned shares of the rows in per cent, counted as `count_religions` does."""


TYPE_SHARES: dict[tuple[str, ...], float] = {
    ("mcq_1", "short_1"): 15.0,
    ("define",): 10.0,
    ("explain_4_influence", "explain_4_similar", "explain_4_different"): 22.0,
    ("explain_6_source",): 20.0,
    ("evaluate_12",): 13.0,
    ("scripture_message",): 14.0,
    ("misconception", "cannot_verify"): 6.0,
}
"""Planned shares of the groups of question types in per cent."""


def count_religions(rows: Iterable[Sequence[str]]) -> dict[str, float]:
    """How many rows each religion has.

    A row on one religion counts one for it, a row on two a half for each, a row that weighs three
    or more counts as comparative.

    Args:
        rows: the religions of each row.
    """
    counts: dict[str, float] = defaultdict(float)
    for religions in rows:
        if len(religions) > 2:
            counts["comparative"] += 1
        else:
            for name in religions:
                counts[name] += 1 / len(religions)
    return dict(sorted(counts.items()))
