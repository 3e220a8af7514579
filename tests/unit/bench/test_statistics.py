"""Known values (statsmodels 0.15, published tables) and simulated coverage."""

import math
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from theobot.bench.statistics import (
    detectable_difference,
    fit_line,
    holm,
    mcnemar_exact,
    newcombe_paired,
    paired_interval,
    questions_for_margin,
    sign_flip_p,
    standard_error,
    wilson,
)


def test_a_line_is_that_of_statsmodels():
    # OLS(y, [1, x]).fit(cov_type="cluster"), bse[0], statsmodels 0.15.
    x = [3, -1, 4, 1, -5, 9, 2, -6, 5, 3, -5, 8]
    y = [0.2, 0.1, 0.35, 0.0, -0.3, 0.5, 0.25, -0.1, 0.4, 0.15, -0.45, 0.3]
    # Student's t of 10 and of 4 degrees of freedom.
    for clusters, error, quantile in (
        (None, 0.04544704, 2.2281389),
        ("aabbccddeeff", 0.05574862, 2.7764451),
    ):
        line = fit_line(x, y, clusters=clusters)
        assert line.slope == pytest.approx(0.05204461, abs=1e-7)
        assert line.intercept.mean == pytest.approx(0.03859975, abs=1e-7)
        assert line.intercept.high - line.intercept.mean == pytest.approx(error * quantile)
        assert line.intercept.mean - line.intercept.low == pytest.approx(error * quantile)


def test_a_line_says_how_unsure_it_is_where_nothing_was_seen():
    """Nineteen of twenty intervals hold the truth, though x = 0 is at the edge of all x."""
    choose, held = random.Random(3), 0
    for _ in range(400):
        x = [choose.gauss(2.0, 1.0) for _ in range(30)]
        found = fit_line(x, [0.1 + 0.2 * one + choose.gauss(0, 0.3) for one in x]).intercept
        held += found.low <= 0.1 <= found.high
    assert 0.92 <= held / 400 <= 0.98


def test_no_line_without_different_x_and_no_bounds_from_two_clusters():
    assert fit_line([2.0, 2.0], [1.0, 0.0]) is None
    assert fit_line([], []) is None
    line = fit_line([0.0, 1.0, 2.0], [0.0, 0.1, 0.1], clusters="aab")
    assert (line.intercept.low, line.intercept.high) == (-math.inf, math.inf)


def test_the_paired_interval_is_that_of_the_textbook():
    # Student's sleep data (1908): ten patients, extra hours with one drug rather than the other.
    differences = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    found = paired_interval(differences)
    assert (found.mean, found.n) == (pytest.approx(1.58), 10)
    assert (found.low, found.high) == (
        pytest.approx(0.7001, abs=1e-4),
        pytest.approx(2.4599, abs=1e-4),
    )


@pytest.mark.parametrize("differences", [[], [2.0]])
def test_too_few_pairs_say_nothing(differences):
    found = paired_interval(differences)
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert math.isnan(standard_error(differences))


def test_clusters_of_one_change_nothing_and_doubled_rows_gain_nothing():
    differences = [0.1, -0.2, 0.4, 0.0, 0.3]
    alone = paired_interval(differences, clusters=list("abcde"))
    assert alone == paired_interval(differences)
    doubled = paired_interval(differences * 2, clusters=list("abcde") * 2)
    assert (doubled.low, doubled.high) == pytest.approx((alone.low, alone.high))
    assert paired_interval(differences * 2).low > alone.low


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # 81 of 263: Newcombe 1998, Statistics in Medicine 17:857, 0.2553 to 0.3662
    [(0, 10, 0.0, 0.277533), (5, 10, 0.236593, 0.763407), (81, 263, 0.255289, 0.366210)],
)
def test_wilson(successes, n, low, high):
    found = wilson(successes, n)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))


def test_wilson_s_interval_holds_the_rate():
    for n in range(1, 60):
        for successes in range(n + 1):
            found = wilson(successes, n)
            assert 0 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize(
    ("cells", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17:2635, table III, method 10.
    [
        ((36, 12, 2, 0), 0.0569, 0.3404),
        ((36, 14, 0, 0), 0.1528, 0.4173),
    ],
)
def test_newcombes_interval_is_the_published_one(cells, low, high):
    found = newcombe_paired(*cells)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))


@given(st.tuples(*[st.integers(0, 40)] * 4).filter(any))
@example((0, 0, 17, 0))
@example((0, 17, 0, 0))
def test_newcombes_interval_holds_the_difference_and_turns_with_the_arms(cells):
    found = newcombe_paired(*cells)
    both, one, other, neither = cells
    turned = newcombe_paired(both, other, one, neither)
    assert -1 <= found.low <= found.mean <= found.high <= 1
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


@pytest.mark.parametrize(
    ("one", "other", "p"), [(0, 0, 1.0), (6, 0, 0.03125), (9, 3, 0.1459961), (121, 59, 4.434e-06)]
)
def test_mcnemar_is_the_exact_binomial(one, other, p):
    # statsmodels.stats.contingency_tables.mcnemar(exact=True)
    assert mcnemar_exact(one, other) == pytest.approx(p, rel=1e-3)


def test_holm_is_that_of_statsmodels():
    # multipletests([0.01, 0.04, 0.03, 0.005], method="holm")
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_sign_flips_are_exact_for_few_and_near_for_many():
    assert sign_flip_p([1.0] * 5, seed=1) == 2 / 32
    assert sign_flip_p([0.0] * 5, seed=1) == 1.0
    assert sign_flip_p([1.0, 1.0, -1.0, -1.0], seed=1) == 1.0
    many = sign_flip_p([0.3, -0.1] * 20, seed=1)
    assert many == sign_flip_p([0.3, -0.1] * 20, seed=1)
    assert 0 < many < 0.05
    assert sign_flip_p([1.0] * 8, seed=1, clusters=list("aabbccdd")) == 2 / 16


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=12), st.randoms())
def test_the_order_of_the_questions_does_not_matter(differences, choose):
    shuffled = list(differences)
    choose.shuffle(shuffled)
    one, other = paired_interval(differences), paired_interval(shuffled)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-9)


def test_how_many_questions_are_enough():
    # research: non-inferiority with m = .05 and a spread of .20 needs 99.
    assert questions_for_margin(0.20 / math.sqrt(60), 60, 0.05) == 99
    assert detectable_difference(0.30 / math.sqrt(120), 119) == pytest.approx(0.077, abs=0.002)


def graded(choose: random.Random, better: float = 0.0) -> float:
    """The difference of two graded scores with 1 to 5 key points that are about alike."""
    points = choose.randint(1, 5)
    skill = choose.betavariate(2, 2)
    scores = [
        sum(choose.random() < min(1.0, skill + extra) for _ in range(points)) / points
        for extra in (better, 0.0)
    ]
    return scores[0] - scores[1]


@pytest.mark.parametrize("n", [15, 30, 60, 120])
def test_the_interval_covers_the_truth_as_often_as_it_says(n):
    choose = random.Random(n)
    sets = 1000
    covered = sum(
        (found := paired_interval([graded(choose) for _ in range(n)])).low <= 0 <= found.high
        for _ in range(sets)
    )
    assert 0.93 <= covered / sets <= 0.97
