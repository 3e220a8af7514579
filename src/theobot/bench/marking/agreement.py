"""How far markers agree: with each other, with themselves, and with an automatic score.

Sources: quadratic weighted kappa after Cohen 1968, Psychological Bulletin 70, 213-220; alpha after
Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, whose reading is used too: from .80
on agreement is good, from .67 on it allows tentative conclusions, below that none.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from statistics import correlation, fmean, stdev, variance
from typing import Any, Literal, NamedTuple

from theobot.bench.statistics import Interval, Rate, t_quantile, wilson

GOOD = 0.80
TENTATIVE = 0.67
"""Below this no conclusion is drawn from marks."""
RESAMPLES = 2_000

Scale = Literal["interval", "nominal"]


class Alpha(NamedTuple):
    """Krippendorff's alpha with its 95 % bootstrap interval.

    `value` is None where alpha is undefined: nothing was judged twice, or all judgements are the
    same (see `alike`). `units` counts what was judged at least twice. The interval is None where
    too few resamples vary.
    """

    value: float | None
    low: float | None
    high: float | None
    units: int
    alike: bool

    @property
    def enough(self) -> bool:
        """Whether conclusions may be drawn; so too where all agree on the same value."""
        return self.alike or (self.value is not None and self.value >= TENTATIVE)


class Bias(NamedTuple):
    """How often the left side won, with a two-sided exact p of "both sides win alike"."""

    left: Rate
    p: float


def quadratic_kappa(
    first: Sequence[float], second: Sequence[float], strata: Sequence[Hashable] | None = None
) -> float | None:
    """Quadratic weighted kappa of two lists of ratings of the same things.

    Ratings need not be whole: the weights are squared distances, so no categories are needed.

    Args:
        first: one rater's, in any unit.
        second: the other's, in the same order and unit.
        strata: chance agreement is that within each of these, such as the tariff. Without it,
            two markers who know nothing but the tariffs would seem to agree well.

    Returns:
        1 for the same ratings, 0 for chance; None where chance alone would agree wholly.
    """
    groups: dict[Hashable, list[tuple[float, float]]] = {}
    for place, pair in enumerate(zip(first, second, strict=True)):
        groups.setdefault(strata[place] if strata is not None else None, []).append(pair)
    seen = expected = 0.0
    for pairs in groups.values():
        seen += math.fsum((a - b) ** 2 for a, b in pairs)
        expected += math.fsum((a - b) ** 2 for a, _ in pairs for _, b in pairs) / len(pairs)
    return 1 - seen / expected if expected > 0 else None


def within(first: Sequence[float], second: Sequence[float], distance: float = 1) -> float | None:
    """Share of ratings at most so far apart; None of none."""
    if not first:
        return None
    return fmean(abs(a - b) <= distance for a, b in zip(first, second, strict=True))


def krippendorff(units: Sequence[Sequence[Any]], scale: Scale) -> float | None:
    """Krippendorff's alpha of things that were judged by any number of markers.

    Args:
        units: for each thing its judgements, in any order; those with fewer than two do not count.
        scale: "interval" for numbers, "nominal" for anything that is only equal or not.

    Returns:
        None where it is undefined: fewer than two judgements to compare, or all the same.
    """
    paired = [list(unit) for unit in units if len(unit) > 1]
    values = [value for unit in paired for value in unit]
    if len(set(values)) < 2:
        return None
    spread = _squares if scale == "interval" else _mismatches
    expected = spread(values) / (len(values) - 1)
    seen = math.fsum(spread(unit) / (len(unit) - 1) for unit in paired)
    return 1 - seen / expected


def alpha(
    units: Sequence[Sequence[Any]],
    scale: Scale,
    seed: int,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
) -> Alpha:
    """Alpha with a percentile interval over resampled questions.

    Args:
        units: as in `krippendorff`.
        scale: as in `krippendorff`.
        seed: of the resampling.
        clusters: units that are drawn together, such as two answers to one question.
        resamples: how many.
    """
    counted = [place for place, unit in enumerate(units) if len(unit) > 1]
    value = krippendorff(units, scale)
    if value is None:
        return Alpha(None, None, None, len(counted), bool(counted))
    groups: dict[Hashable, list[Sequence[Any]]] = {}
    for place in counted:
        groups.setdefault(clusters[place] if clusters is not None else place, []).append(
            units[place]
        )
    low, high = _bootstrap(
        list(groups.values()), lambda drawn: krippendorff(drawn, scale), seed, resamples
    )
    return Alpha(value, low, high, len(counted), False)


def position_bias(left: int, right: int) -> Bias:
    """Whether one side wins more often than the other; sides were shared out evenly."""
    rate = wilson(left, left + right)
    if left + right == 0:
        return Bias(rate, 1.0)
    from scipy.stats import binomtest

    return Bias(rate, float(binomtest(left, left + right, 0.5).pvalue))


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Rank correlation; None below three pairs or where one list does not vary."""
    if len(first) < 3 or len(set(first)) < 2 or len(set(second)) < 2:
        return None
    from scipy.stats import spearmanr

    return float(spearmanr(first, second).statistic)


class Corrected(NamedTuple):
    """What the markers would find on all questions, guessed with the automatic score's help.

    Args:
        estimate: Theobot minus base in shares of the marks, 95 % interval.
        r: correlation of the markers' differences with the automatic ones.
        marked: questions that people marked.
        questions: questions in all.
    """

    estimate: Interval
    r: float
    marked: int
    questions: int


def corrected_difference(
    people: Sequence[float], automatic: Sequence[float], everywhere: Sequence[float]
) -> Corrected | None:
    """Regression estimate: the markers' mean, moved by what the sample missed of the score.

    The interval is narrower than that of the marks alone by about sqrt(1 - r^2 (N - n) / N).

    Args:
        people: Theobot minus base as marked, n questions.
        automatic: the same from the automatic score, in the same order.
        everywhere: the automatic differences of all N questions, the n among them.

    Returns:
        None where it would not help: fewer than ten marked, or r below 0.6.
    """
    n = len(people)
    if n < 10 or len(set(people)) < 2 or len(set(automatic)) < 2:
        return None
    r = correlation(people, automatic)
    if r < 0.6:
        return None
    slope = r * stdev(people) / stdev(automatic)
    mean = fmean(people) + slope * (fmean(everywhere) - fmean(automatic))
    total = variance(people)
    error = math.sqrt(total * (1 - r * r) * (n - 1) / (n - 2) / n + total * r * r / len(everywhere))
    half = t_quantile(n - 2, 0.975) * error
    return Corrected(Interval(mean, mean - half, mean + half, n), r, n, len(everywhere))


def _squares(values: Sequence[float]) -> float:
    """Sum of squared distances over all ordered pairs: 2n times the sum about the mean."""
    mean = fmean(values)
    return 2 * len(values) * math.fsum((value - mean) ** 2 for value in values)


def _mismatches(values: Sequence[Hashable]) -> float:
    """Number of ordered pairs that differ."""
    return float(len(values) ** 2 - sum(count**2 for count in Counter(values).values()))


def _bootstrap(
    groups: Sequence[Sequence[Sequence[Any]]],
    statistic: Callable[[list[Sequence[Any]]], float | None],
    seed: int,
    resamples: int,
) -> tuple[float | None, float | None]:
    """95 % percentile interval; None where fewer than nine in ten resamples have a value."""
    choose = random.Random(seed)
    found: list[float] = []
    for _ in range(resamples):
        drawn = [unit for group in choose.choices(groups, k=len(groups)) for unit in group]
        value = statistic(drawn)
        if value is not None:
            found.append(value)
    if len(groups) < 2 or len(found) < 0.9 * resamples:
        return None, None
    found.sort()
    return found[round(0.025 * (len(found) - 1))], found[round(0.975 * (len(found) - 1))]
