import math

import pytest

from theobot.bench.interval import paired_interval


def test_the_interval_is_that_of_the_textbook():
    # t(0.975; 9) = 2.262157; the sleep data of Student (1908), differences between two drugs.
    differences = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    result = paired_interval(differences)
    assert result.mean == pytest.approx(1.58)
    assert result.low == pytest.approx(0.7001142, abs=1e-6)
    assert result.high == pytest.approx(2.4598858, abs=1e-6)
    assert result.n == 10
    assert result.excludes_zero


def test_one_difference_says_nothing():
    result = paired_interval([2.0])
    assert (result.mean, result.low, result.high) == (2.0, -math.inf, math.inf)
    assert not result.excludes_zero
    assert math.isnan(paired_interval([]).mean)
