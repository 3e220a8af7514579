"""The paired t interval: plain, and the one that keeps its promise at a few dozen questions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import NamedTuple


class Interval(NamedTuple):
    """Mean of n differences with its confidence interval, in the unit of the differences.

    With fewer than two differences the bounds are infinite: nothing can be said.
    """

    mean: float
    low: float
    high: float
    n: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


def paired_interval(differences: Sequence[float], level: float = 0.95) -> Interval:
    """Student's t interval of the mean of paired differences.

    Args:
        differences: one per question.
        level: confidence, between 0 and 1.
    """
    n = len(differences)
    mean = fmean(differences) if n else math.nan
    if n < 2:
        return Interval(mean, -math.inf, math.inf, n)
    from scipy.special import stdtrit

    half = float(stdtrit(n - 1, (1 + level) / 2)) * stdev(differences) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)
