"""The statistics of a paired comparison: intervals, p values, rates, and how much data is enough.

Sources: paired t with cluster-robust standard error (Miller 2024, arXiv:2411.00640); Newcombe 1998,
Statistics in Medicine 17, 2635-2650, method 10, for paired proportions; exact McNemar; Wilson 1927
for single rates; Holm 1979. SciPy gives quantiles and binomial tests.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from statistics import NormalDist, fmean
from typing import NamedTuple

LEVEL = 0.95
"""Confidence of every interval that is shown."""
EXACT_FLIPS = 16
"""Up to so many clusters every assignment of signs is counted."""
FLIPS = 10_000
"""Beyond that, so many random ones."""
_FLIPS_AT_ONCE = 1_000
POWER = 0.8


class Interval(NamedTuple):
    """Mean of n differences with its confidence interval, in the unit of the differences.

    With fewer than two differences the bounds are infinite: nothing can be said.
    """

    mean: float
    low: float
    high: float
    n: int


class Rate(NamedTuple):
    """A share with its interval; value is 0 when n is 0."""

    successes: int
    n: int
    value: float
    low: float
    high: float


def paired_interval(
    differences: Sequence[float], level: float = LEVEL, clusters: Sequence[str] | None = None
) -> Interval:
    """Student's t interval of the mean of paired differences.

    Args:
        differences: one per question, each between -1 and 1 where they are shares of marks.
        level: confidence, between 0 and 1.
        clusters: which differences belong together (same verse or topic); without them each stands
            alone. The standard error is then that of cluster totals, with clusters - 1 degrees of
            freedom.
    """
    n = len(differences)
    mean = fmean(differences) if n else math.nan
    totals = cluster_totals([value - mean for value in differences], clusters)
    if len(totals) < 2:
        return Interval(mean, -math.inf, math.inf, n)
    half = t_quantile(len(totals) - 1, (1 + level) / 2) * standard_error(differences, clusters)
    return Interval(mean, mean - half, mean + half, n)


class Line(NamedTuple):
    """Least squares y = intercept + slope * x; `intercept` is y at x = 0 with its interval."""

    intercept: Interval
    slope: float


def fit_line(
    x: Sequence[float], y: Sequence[float], clusters: Sequence[str] | None = None
) -> Line | None:
    """A straight line by least squares; None where all x are the same.

    The intercept's standard error is robust to likeness within clusters (Liang and Zeger 1986,
    Biometrika 73, 13-22, with the correction of finite samples that is called CR1) and holds that
    the slope is uncertain too. Student's t has clusters - 2 degrees of freedom; with fewer than
    three clusters the bounds are infinite.

    Args:
        x: what y depends on, one per question.
        y: one per question.
        clusters: as for `paired_interval`.
    """
    n = len(x)
    middle, mean = (fmean(values) if n else math.nan for values in (x, y))
    spread = math.fsum((one - middle) ** 2 for one in x)
    if not spread:
        return None
    slope = math.fsum((a - middle) * b for a, b in zip(x, y, strict=True)) / spread
    intercept = mean - slope * middle
    # The intercept is a sum of all y, each with this weight.
    weights = [1 / n - middle * (one - middle) / spread for one in x]
    residuals = [b - intercept - slope * a for a, b in zip(x, y, strict=True)]
    totals = cluster_totals([w * r for w, r in zip(weights, residuals, strict=True)], clusters)
    count = len(totals)
    if count < 3:
        return Line(Interval(intercept, -math.inf, math.inf, n), slope)
    correction = count / (count - 1) * (n - 1) / (n - 2)
    error = math.sqrt(correction * math.fsum(total**2 for total in totals))
    half = t_quantile(count - 2, (1 + LEVEL) / 2) * error
    return Line(Interval(intercept, intercept - half, intercept + half, n), slope)


def cluster_totals(values: Sequence[float], clusters: Sequence[str] | None) -> list[float]:
    """Sum of the values of each cluster, in the order of first appearance."""
    if clusters is None:
        return list(values)
    totals: dict[str, float] = defaultdict(float)
    for value, cluster in zip(values, clusters, strict=True):
        totals[cluster] += value
    return list(totals.values())


def standard_error(differences: Sequence[float], clusters: Sequence[str] | None = None) -> float:
    """Standard error of the mean, robust to likeness within clusters; NaN below two clusters."""
    n = len(differences)
    if n == 0:
        return math.nan
    mean = fmean(differences)
    totals = cluster_totals([value - mean for value in differences], clusters)
    count = len(totals)
    if count < 2:
        return math.nan
    return math.sqrt(count / (count - 1) * math.fsum(total**2 for total in totals)) / n


def sign_flip_p(
    differences: Sequence[float], seed: int, clusters: Sequence[str] | None = None
) -> float:
    """Two-sided p of "each cluster's difference could as well have the other sign".

    Exact up to 16 clusters, else from 10,000 seeded flips, with the observed one counted.
    """
    import numpy as np

    totals = np.array([total for total in cluster_totals(differences, clusters) if total != 0])
    count = len(totals)
    if not count:
        return 1.0
    # What differs by rounding alone is as large.
    seen = abs(totals.sum()) - 1e-12 * np.abs(totals).sum()

    def as_large(flipped: np.ndarray) -> int:
        """Of rows (F, clusters) that hold 1 where a sign is changed, how many count."""
        return int((abs(totals.sum() - 2 * (flipped @ totals)) >= seen).sum())

    if count <= EXACT_FLIPS:
        numbers = np.arange(2**count)[:, None]
        return as_large(numbers >> np.arange(count) & 1) / len(numbers)
    choose, width, extreme = random.Random(seed), -(-count // 8), 1
    for _ in range(FLIPS // _FLIPS_AT_ONCE):
        raw = np.frombuffer(choose.randbytes(_FLIPS_AT_ONCE * width), np.uint8)
        extreme += as_large(np.unpackbits(raw.reshape(-1, width), axis=1, count=count))
    return extreme / (FLIPS + 1)


def wilson(successes: int, n: int, level: float = LEVEL) -> Rate:
    """Wilson's score interval of a single rate."""
    if n == 0:
        return Rate(0, 0, 0.0, 0.0, 1.0)
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # Rounding must carry no end past the share itself, nor past what a share can be.
    low, high = min(share, middle - half), max(share, middle + half)
    return Rate(successes, n, share, max(0.0, low), min(1.0, high))


def newcombe_paired(
    both: int, first_only: int, second_only: int, neither: int, level: float = LEVEL
) -> Interval:
    """Interval of the difference of two paired proportions, first minus second.

    Args:
        both: pairs in which both succeed.
        first_only: pairs in which only the first does.
        second_only: pairs in which only the second does.
        neither: pairs in which neither does.
        level: confidence.
    """
    n = both + first_only + second_only + neither
    if n == 0:
        return Interval(math.nan, -math.inf, math.inf, 0)
    one, two = wilson(both + first_only, n, level), wilson(both + second_only, n, level)
    phi = _phi(both, first_only, second_only, neither)
    down1, up1 = one.value - one.low, one.high - one.value
    down2, up2 = two.value - two.low, two.high - two.value
    low = math.sqrt(max(0.0, down1**2 - 2 * phi * down1 * up2 + up2**2))
    high = math.sqrt(max(0.0, up1**2 - 2 * phi * up1 * down2 + down2**2))
    difference = (first_only - second_only) / n
    # Rounding can carry an end past what a difference of proportions can be.
    return Interval(difference, max(difference - low, -1.0), min(difference + high, 1.0), n)


def _phi(both: int, first_only: int, second_only: int, neither: int) -> float:
    """Correlation of the pairs, towards zero by n/2 as method 10 says."""
    margins = (both + first_only) * (second_only + neither)
    margins *= (both + second_only) * (first_only + neither)
    if not margins:
        return 0.0
    covariance = float(both * neither - first_only * second_only)
    if covariance > 0:
        n = both + first_only + second_only + neither
        covariance = max(covariance - n / 2, 0.0)
    return covariance / math.sqrt(margins)


def mcnemar_exact(first_only: int, second_only: int) -> float:
    """Two-sided exact p of the discordant pairs; 1 when there are none."""
    if first_only + second_only == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(first_only, first_only + second_only, 0.5).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given."""
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def detectable_difference(error: float, freedom: int, level: float = LEVEL) -> float:
    """Smallest true difference that would be found with 80 % power, from a standard error."""
    return (t_quantile(freedom, (1 + level) / 2) + t_quantile(freedom, POWER)) * error


def questions_for_margin(error: float, n: int, margin: float) -> int:
    """Questions in all that would show "not worse by the margin" with 80 % power.

    One-sided 5 %, with the spread seen so far and a true difference of zero.
    """
    spread = error * math.sqrt(n)
    normal = NormalDist()
    return math.ceil(((normal.inv_cdf(0.95) + normal.inv_cdf(POWER)) * spread / margin) ** 2)


def t_quantile(freedom: int, share: float) -> float:
    """Quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))
