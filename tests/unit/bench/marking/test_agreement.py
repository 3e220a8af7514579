from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from theobot.bench.marking.agreement import (
    Alpha,
    alpha,
    krippendorff,
    position_bias,
    quadratic_kappa,
    spearman,
    within,
)

# Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, section C: four observers, twelve
# units, gaps. The paper gives .743 (nominal) and .849 (interval).
FOUR_OBSERVERS = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""
# Section A: two observers, two values; .095. Section B: two observers, five values; .692.
MEG, OWEN = "0 1 0 0 0 0 0 0 1 0".split(), "1 1 1 0 0 1 0 0 0 0".split()
BEN, GERRY = "a a b b d c c c e d d a".split(), "b a b b b c c c e d d d".split()

# Ratings of 91 couples (Hout et al. 1987, in Agresti): R's vcd::Kappa with the weights of Fleiss
# and Cohen gives 0.3320.
COUPLES = [[7, 7, 2, 3], [2, 8, 3, 7], [1, 5, 4, 9], [2, 8, 9, 14]]


def units(table: str) -> list[list[int]]:
    rows = [line.split() for line in table.strip().splitlines()]
    return [[int(value) for value in column if value != "."] for column in zip(*rows, strict=True)]


def test_alpha_equals_krippendorffs_worked_examples():
    four = units(FOUR_OBSERVERS)
    assert krippendorff(four, "nominal") == pytest.approx(0.743, abs=5e-4)
    assert krippendorff(four, "interval") == pytest.approx(0.849, abs=5e-4)
    meg = list(zip(MEG, OWEN, strict=True))
    assert krippendorff(meg, "nominal") == pytest.approx(0.095, abs=5e-4)
    ben = list(zip(BEN, GERRY, strict=True))
    assert krippendorff(ben, "nominal") == pytest.approx(0.692, abs=5e-4)


def test_alpha_is_undefined_without_pairs_or_without_variation():
    assert krippendorff([], "nominal") is None
    assert krippendorff([[1], [2]], "interval") is None
    assert krippendorff([[1, 1], [1, 1]], "interval") is None
    nothing = alpha([[1], [2]], "interval", seed=1)
    assert nothing == Alpha(None, None, None, 0, False)
    assert not nothing.enough
    assert alpha([[1, 1], [1, 1]], "interval", seed=1).enough


def test_alphas_interval_holds_the_value_and_depends_on_the_seed_alone():
    four = units(FOUR_OBSERVERS)
    first, again = alpha(four, "interval", seed=3), alpha(four, "interval", seed=3)
    assert first == again
    assert first.low is not None
    assert first.high is not None
    assert first.low < 0.849 < first.high <= 1
    # One unit has a single value and does not count.
    assert first.units == 11
    # Whole questions are drawn: more dependence, a wider interval or the same.
    doubled = alpha(four * 2, "interval", 3, clusters=[*range(12), *range(12)])
    alone = alpha(four * 2, "interval", 3)
    assert doubled.low is not None
    assert alone.low is not None
    assert doubled.low < alone.low


@given(st.lists(st.lists(st.integers(0, 4), min_size=2, max_size=4), min_size=2, max_size=12))
def test_alpha_equals_its_definition_by_pairs(judgements):
    values = [value for unit in judgements for value in unit]
    n = len(values)
    seen = sum(
        sum((a - b) ** 2 for a in unit for b in unit) / (len(unit) - 1) for unit in judgements
    )
    chance = sum((a - b) ** 2 for a in values for b in values) / (n - 1)
    found = krippendorff(judgements, "interval")
    if chance == 0:
        assert found is None
    else:
        assert found == pytest.approx(1 - seen / chance)


def test_kappa_equals_published_values():
    pairs = [(i, j) for i, row in enumerate(COUPLES) for j, n in enumerate(row) for _ in range(n)]
    assert quadratic_kappa(*zip(*pairs, strict=True)) == pytest.approx(0.3320, abs=5e-5)
    # The weighted example of the R vignette that scikit-learn's tests keep: 0.9541.
    first = [0] * 46 + [1] * 44 + [2] * 10
    second = [0] * 50 + [1] * 40 + [2] * 10
    assert quadratic_kappa(first, second) == pytest.approx(0.9541, abs=5e-5)


def test_kappa_within_tariffs_is_not_lifted_by_the_tariffs():
    choose = random.Random(5)
    tariffs = [choose.choice([1, 12]) for _ in range(400)]
    # Two markers who know the tariff and nothing else.
    first = [choose.uniform(0, tariff) for tariff in tariffs]
    second = [choose.uniform(0, tariff) for tariff in tariffs]
    pooled, stratified = quadratic_kappa(first, second), quadratic_kappa(first, second, tariffs)
    assert pooled is not None
    assert stratified is not None
    assert pooled > 0.4
    assert abs(stratified) < 0.15


def test_kappa_of_nothing_or_of_one_value_is_undefined():
    assert quadratic_kappa([], []) is None
    assert quadratic_kappa([2, 2], [2, 2]) is None
    assert quadratic_kappa([0, 1], [0, 1]) == 1


def test_within_one_mark():
    assert within([], []) is None
    assert within([0, 3, 6, 6], [1, 3, 4, 6]) == 0.75


def test_position_bias_is_the_exact_binomial_test():
    even, lopsided = position_bias(10, 10), position_bias(16, 4)
    assert even.p == pytest.approx(1)
    # 2 * sum(C(20, k) for k <= 4) / 2**20
    assert lopsided.p == pytest.approx(2 * sum(math.comb(20, k) for k in range(5)) / 2**20)
    assert lopsided.left.value == 0.8
    assert position_bias(0, 0).p == 1


def test_spearman_ranks():
    assert spearman([1, 2, 3, 4], [10, 20, 30, 25]) == pytest.approx(0.8)
    assert spearman([1, 2], [1, 2]) is None
    assert spearman([1, 1, 1], [1, 2, 3]) is None
