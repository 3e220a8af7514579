"""Base and Theobot on the same questions: how much better or worse, and whether one can tell.

The verdict follows from where the interval of the paired differences lies relative to zero and to
the margin that was agreed before any answer was seen; "not significant" is never said alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from theobot.bench.statistics import (
    LEVEL,
    Interval,
    detectable_difference,
    mcnemar_exact,
    newcombe_paired,
    paired_interval,
    questions_for_margin,
    sign_flip_p,
    standard_error,
)

_ONE_SIDED = 0.90
"""Two-sided level whose lower end is the one-sided 5 % bound that margins are checked with."""

_Cells = tuple[int, int, int, int]
"""Questions on which both are right, Theobot alone, base alone, neither."""


class Verdict(StrEnum):
    """What can be said of a difference."""

    BETTER = "better"
    WORSE = "worse"
    SLIGHTLY_WORSE = "slightly worse"
    SAME = "same"
    NOT_WORSE = "not worse"
    CANNOT_TELL = "cannot tell"


class Comparison(NamedTuple):
    """Theobot against base on one group of questions, in shares of the marks.

    Args:
        name: the group, such as "in_domain".
        metric: what was measured.
        n: pairs.
        clusters: verses or topics among them.
        base: mean of the base.
        theobot: mean of Theobot.
        difference: Theobot minus base, 95 % interval.
        low90: lower end of the 90 % interval, which is held against the margin.
        high90: its upper end.
        p: two-sided, of no difference.
        margin: the largest loss that was agreed to be harmless.
        verdict: what can be said.
        better: questions on which Theobot was better.
        equal: questions on which both were equal.
        worse: questions on which Theobot was worse.
        detectable: smallest difference that this many questions find with 80 % power; None where
            no two differences differ, so that nothing can be said.
        more_questions: how many further questions would settle the margin, where it cannot tell.
        exploratory: looked at besides; no claim is made.
        cut: so many answers are cut that no verdict is given, however many questions there are.
    """

    name: str
    metric: str
    n: int
    clusters: int
    base: float
    theobot: float
    difference: Interval
    low90: float
    high90: float
    p: float
    margin: float
    verdict: Verdict
    better: int
    equal: int
    worse: int
    detectable: float | None
    more_questions: int | None
    exploratory: bool = False
    cut: bool = False


class Decision(NamedTuple):
    """What follows from the primary comparisons.

    Args:
        exit_code: 0 the plan is met, 3 it is not, 4 one cannot tell.
        words: one sentence for a person.
        met: True, False, or None when one cannot tell.
    """

    exit_code: int
    words: str
    met: bool | None


def compare(
    name: str,
    metric: str,
    base: Sequence[float],
    theobot: Sequence[float],
    clusters: Sequence[str],
    *,
    margin: float,
    seed: int,
    exploratory: bool = False,
) -> Comparison:
    """Compare paired scores between 0 and 1.

    Where every score is 0 or 1 and no two questions share a cluster, Newcombe's interval and
    McNemar's test are used; else the cluster-robust t interval and sign flips.

    Args:
        name: the group of questions.
        metric: what was measured.
        base: the base's scores.
        theobot: Theobot's, in the same order.
        clusters: verse or topic of each question.
        margin: largest harmless loss, more than 0.
        seed: of the random sign flips.
        exploratory: no claim is made.
    """
    differences = [ours - other for ours, other in zip(theobot, base, strict=True)]
    n, groups = len(differences), len(set(clusters))
    binary = groups == n and all(score in (0, 1) for score in (*base, *theobot))
    cells = _cells(base, theobot) if binary else None
    p = mcnemar_exact(*cells[1:3]) if cells else sign_flip_p(differences, seed, clusters)
    wide, narrow = (_interval(differences, clusters, cells, level) for level in (LEVEL, _ONE_SIDED))
    error = standard_error(differences, clusters)
    verdict = verdict_of(wide, narrow, margin)
    return Comparison(
        name,
        metric,
        n,
        groups,
        sum(base) / n if n else math.nan,
        sum(theobot) / n if n else math.nan,
        wide,
        narrow.low,
        narrow.high,
        p,
        margin,
        verdict,
        sum(value > 0 for value in differences),
        sum(value == 0 for value in differences),
        sum(value < 0 for value in differences),
        detectable_difference(error, groups - 1) if error > 0 else None,
        _more_questions(error, n, margin) if verdict is Verdict.CANNOT_TELL else None,
        exploratory,
    )


def _interval(
    differences: Sequence[float], clusters: Sequence[str], cells: _Cells | None, level: float
) -> Interval:
    # Newcombe's is too narrow where one arm alone is right on every question.
    if cells is None or abs(sum(differences)) == len(differences):
        return estimate(differences, clusters, level)
    return newcombe_paired(*cells, level=level)


def estimate(
    differences: Sequence[float], clusters: Sequence[str] | None = None, level: float = LEVEL
) -> Interval:
    """The t interval; where all differences are equal, what their number still leaves open.

    A spread of zero among a few questions does not mean certainty: a difference that occurs in a
    share s of all questions is missed by n of them with probability (1 - s)^n. Those missed may lie
    anywhere from -1 to 1.
    """
    count = len(differences if clusters is None else set(clusters))
    if count < 2 or any(value != differences[0] for value in differences):
        return paired_interval(differences, level, clusters)
    all_alike, missed = differences[0], 1 - ((1 - level) / 2) ** (1 / count)
    low, high = all_alike - missed * (1 + all_alike), all_alike + missed * (1 - all_alike)
    return Interval(all_alike, low, high, len(differences))


def verdict_of(wide: Interval, narrow: Interval, margin: float) -> Verdict:
    """The words for an interval.

    Args:
        wide: 95 %, held against zero.
        narrow: 90 %, whose ends are held against the margin.
        margin: largest harmless loss.
    """
    if wide.low > 0:
        return Verdict.BETTER
    if wide.high < 0:
        return Verdict.WORSE if narrow.low < -margin else Verdict.SLIGHTLY_WORSE
    if narrow.low > -margin:
        return Verdict.SAME if narrow.high < margin else Verdict.NOT_WORSE
    return Verdict.CANNOT_TELL


def decide(
    better: Sequence[Comparison], not_worse: Sequence[Comparison], rival: str | None = None
) -> Decision:
    """Whether the plan is met: every claim of it holds; one of which nothing is known does not.

    A conjunction of claims needs no correction of the levels (intersection-union test).

    Args:
        better: the sets on which Theobot is to be better.
        not_worse: the sets on which it must not be worse by the margin.
        rival: another adapter that it is compared with; None for the base it was made from.
    """
    if rival is None:
        helped, idle, harmed = (
            f"The fine-tune {words}" for words in ("helped", "did not help", "did harm")
        )
    else:
        helped, idle, harmed = (
            f"Theobot is {word} than {rival}" for word in ("better", "no better", "worse")
        )
    lost = [one.name for one in (*better, *not_worse) if one.verdict is Verdict.WORSE]
    if lost:
        return Decision(3, f"{harmed}: worse on {_names(lost)}.", False)
    missed = [one for one in better if one.verdict in (Verdict.SAME, Verdict.SLIGHTLY_WORSE)]
    if missed:
        words = "; ".join(f"{one.verdict} on {_names([one.name])}" for one in missed)
        if any(one.verdict is Verdict.BETTER for one in better):
            idle = "The plan is not met"
        return Decision(3, f"{idle}: {words}.", False)
    open_sets = [one for one in better if one.verdict is not Verdict.BETTER]
    open_sets += [one for one in not_worse if one.verdict is Verdict.CANNOT_TELL]
    if open_sets:
        return Decision(4, _open_words(open_sets), None)
    claims = [f"better on {_names([one.name for one in better])}"] if better else []
    claims += [f"not worse on {_names([one.name for one in not_worse])}"] if not_worse else []
    return Decision(0, f"{helped if better else 'As planned'}: {', and '.join(claims)}.", True)


def _open_words(sets: Sequence[Comparison]) -> str:
    """Of which sets one cannot tell, those apart that have no score at all."""
    scored = [one.name for one in sets if one.n]
    unscored = [one.name for one in sets if not one.n]
    words = f"Cannot tell yet on {_names(scored)}; " if scored else "Cannot tell: "
    if not unscored:
        return f"{words.removesuffix('; ')}."
    return f"{words}no {_names(unscored, 'question')} could be scored."


def _cells(base: Sequence[float], theobot: Sequence[float]) -> _Cells:
    pairs = list(zip(theobot, base, strict=True))
    return (pairs.count((1, 1)), pairs.count((1, 0)), pairs.count((0, 1)), pairs.count((0, 0)))


def _more_questions(error: float, n: int, margin: float) -> int | None:
    if not error > 0:  # Nothing is known, or nothing differed, which tells no spread.
        return None
    return max(1, questions_for_margin(error, n, margin) - n)


def _names(sets: Sequence[str], noun: str = "questions") -> str:
    return f"{', '.join(name.replace('_', '-') for name in sets)} {noun}"
