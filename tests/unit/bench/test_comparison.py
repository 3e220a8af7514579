import math
import random

import pytest

from theobot.bench.comparison import Comparison, Verdict, compare, decide, estimate, verdict_of
from theobot.bench.statistics import Interval

ALONE = [str(number) for number in range(400)]


def comparison(verdict: Verdict, name: str = "in_domain", n: int = 1) -> Comparison:
    nothing = Interval(0, 0, 0, n)
    return Comparison(
        name, "key_points", n, n, 0, 0, nothing, 0, 0, 1, 0.05, verdict, 0, 0, 0, None, None
    )


@pytest.mark.parametrize(
    ("low", "high", "low90", "high90", "verdict"),
    [
        (0.01, 0.2, 0.02, 0.19, Verdict.BETTER),
        (-0.2, -0.01, -0.19, -0.02, Verdict.WORSE),
        (-0.04, -0.01, -0.035, -0.02, Verdict.SLIGHTLY_WORSE),
        (-0.04, 0.04, -0.03, 0.03, Verdict.SAME),
        (-0.04, 0.2, -0.03, 0.19, Verdict.NOT_WORSE),
        (-0.06, 0.2, -0.049, 0.19, Verdict.NOT_WORSE),
        (-0.2, 0.2, -0.19, 0.19, Verdict.CANNOT_TELL),
    ],
)
def test_the_verdict_follows_from_where_the_interval_lies(low, high, low90, high90, verdict):
    middle = (low + high) / 2
    found = verdict_of(Interval(middle, low, high, 9), Interval(middle, low90, high90, 9), 0.05)
    assert found is verdict


def test_graded_scores_are_compared_by_the_t_interval():
    base, tuned = [0.25, 0.5, 0.5, 0.75] * 10, [0.5, 0.5, 0.75, 0.75] * 10
    found = compare("x", "key_points", base, tuned, ALONE[:40], margin=0.05, seed=1)
    assert found.difference.mean == pytest.approx(0.125)
    assert (found.better, found.equal, found.worse) == (20, 20, 0)
    assert found.verdict is Verdict.BETTER
    assert found.p < 0.001
    assert found.more_questions is None


def test_right_or_wrong_is_compared_by_newcombe_and_mcnemar():
    found = compare("x", "check", [1] * 9 + [0], [1] * 9 + [1], ALONE[:10], margin=0.05, seed=1)
    assert found.p == 1.0
    assert found.verdict is Verdict.CANNOT_TELL
    assert found.more_questions
    assert found.difference.low < 0 < found.difference.high


def test_questions_of_one_verse_count_as_one():
    base, tuned = [0.0, 0.5] * 10, [0.5, 0.5] * 10
    apart = compare("x", "k", base, tuned, ALONE[:20], margin=0.05, seed=1)
    together = compare("x", "k", base, tuned, ["a", "b"] * 10, margin=0.05, seed=1)
    assert (apart.clusters, together.clusters) == (20, 2)
    assert together.difference.low < apart.difference.low


def test_equal_answers_on_a_few_questions_are_no_proof_of_sameness():
    found = compare("x", "k", [0.5] * 5, [0.5] * 5, ALONE[:5], margin=0.05, seed=1)
    assert found.verdict is Verdict.CANNOT_TELL
    many = compare("x", "k", [0.5] * 120, [0.5] * 120, ALONE[:120], margin=0.05, seed=1)
    assert many.verdict is Verdict.SAME


def test_no_questions_and_one_question_say_nothing():
    for n in (0, 1):
        found = compare("x", "k", [0.5] * n, [1.0] * n, ALONE[:n], margin=0.05, seed=1)
        assert found.verdict is Verdict.CANNOT_TELL
        assert found.detectable is None


@pytest.mark.parametrize("difference", [-1.0, -0.75, -0.1, 0.1, 0.75, 1.0])
@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 8, 12])
def test_a_few_equal_differences_prove_no_more_than_their_p(difference, n):
    base = [max(0.0, -difference)] * n
    tuned = [max(0.0, difference)] * n
    found = compare("x", "k", base, tuned, ALONE[:n], margin=0.05, seed=1)
    assert found.p == pytest.approx(2 ** (1 - n))
    assert -1 <= found.difference.low <= difference <= found.difference.high <= 1
    if found.p > 0.05:
        assert found.verdict not in (Verdict.BETTER, Verdict.WORSE)
    if abs(difference) == 1:
        one_sided = Verdict.BETTER if difference > 0 else Verdict.WORSE
        assert (found.verdict is one_sided) == (n >= 6)


def test_answers_about_one_verse_say_nothing_however_alike_they_are():
    found = compare("x", "k", [0.0] * 4, [1.0] * 4, ["v"] * 4, margin=0.05, seed=1)
    assert found.verdict is Verdict.CANNOT_TELL
    assert found.difference == Interval(1.0, -math.inf, math.inf, 4)


@pytest.mark.parametrize("seen", [-1.0, -0.75, 0.0, 0.75, 1.0])
@pytest.mark.parametrize("n", [2, 5, 12, 50])
def test_what_equal_differences_may_have_missed_lies_in_the_interval(seen, n):
    found = estimate([seen] * n)
    for other in (-1.0, 1.0):
        # A share that n draws miss with a chance of 3 %, which is more than one side leaves out.
        share = 1 - 0.03 ** (1 / n)
        assert found.low <= (1 - share) * seen + share * other <= found.high


def test_the_order_of_questions_does_not_matter():
    choose = random.Random(3)
    rows = [(choose.random(), choose.random(), str(choose.randrange(20))) for _ in range(60)]
    results = []
    for _ in range(2):
        base, tuned, clusters = zip(*rows, strict=True)
        results.append(compare("x", "k", base, tuned, clusters, margin=0.05, seed=1))
        choose.shuffle(rows)
    assert results[0].difference.low == pytest.approx(results[1].difference.low)
    assert results[0].verdict is results[1].verdict


def scores(choose: random.Random, n: int, better: float = 0.0) -> tuple[list[float], list[float]]:
    base, tuned = [], []
    for _ in range(n):
        skill = choose.betavariate(2, 2)
        for scored, extra in ((base, 0.0), (tuned, better)):
            hits = sum(choose.random() < min(1.0, skill + extra) for _ in range(4))
            scored.append(hits / 4)
    return base, tuned


def verdict(base: list[float], tuned: list[float]) -> Verdict:
    differences = [t - b for t, b in zip(tuned, base, strict=True)]
    return verdict_of(estimate(differences), estimate(differences, level=0.9), 0.05)


def test_base_against_base_is_better_in_at_most_one_of_twenty_sets():
    choose = random.Random(11)
    false_alarms = sum(verdict(*scores(choose, 60)) is Verdict.BETTER for _ in range(1000))
    assert false_alarms <= 50


def test_a_planted_gain_is_found():
    choose = random.Random(12)
    found = sum(verdict(*scores(choose, 120, better=0.15)) is Verdict.BETTER for _ in range(200))
    assert found >= 160


@pytest.mark.parametrize(
    ("inside", "near", "far", "code"),
    [
        (Verdict.BETTER, Verdict.NOT_WORSE, Verdict.SAME, 0),
        (Verdict.BETTER, Verdict.BETTER, Verdict.SLIGHTLY_WORSE, 0),
        (Verdict.BETTER, Verdict.CANNOT_TELL, Verdict.SAME, 4),
        (Verdict.NOT_WORSE, Verdict.SAME, Verdict.SAME, 4),
        (Verdict.CANNOT_TELL, Verdict.SAME, Verdict.SAME, 4),
        (Verdict.SAME, Verdict.SAME, Verdict.SAME, 3),
        (Verdict.SLIGHTLY_WORSE, Verdict.SAME, Verdict.SAME, 3),
        (Verdict.BETTER, Verdict.SAME, Verdict.WORSE, 3),
        (Verdict.CANNOT_TELL, Verdict.CANNOT_TELL, Verdict.WORSE, 3),
    ],
)
def test_the_plan_is_met_only_if_all_three_claims_hold(inside, near, far, code):
    others = [comparison(near, "near_domain"), comparison(far, "out_of_domain")]
    decision = decide([comparison(inside)], others)
    assert decision.exit_code == code
    assert decision.met == {0: True, 3: False, 4: None}[code]
    assert decision.words.endswith("questions.")


def test_of_a_set_without_a_score_nothing_is_claimed():
    inside, near = comparison(Verdict.BETTER), comparison(Verdict.SAME, "near_domain")
    far = comparison(Verdict.CANNOT_TELL, "out_of_domain", n=0)
    found = decide([inside], [near, far])
    assert (found.exit_code, found.met) == (4, None)
    assert found.words == "Cannot tell: no out-of-domain question could be scored."
    unknown = near._replace(verdict=Verdict.CANNOT_TELL)
    assert decide([inside], [unknown, far]).words == (
        "Cannot tell yet on near-domain questions; no out-of-domain question could be scored."
    )
    harm = near._replace(verdict=Verdict.WORSE)
    assert decide([inside], [harm, far]).exit_code == 3


@pytest.mark.parametrize(
    ("inside", "near", "code", "words"),
    [
        (Verdict.BETTER, Verdict.BETTER, 0, "The fine-tune helped: better on in-domain, near-"
         "domain questions, and not worse on out-of-domain questions."),
        (Verdict.BETTER, Verdict.WORSE, 3, "The fine-tune did harm: worse on near-"
         "domain questions."),
        (Verdict.BETTER, Verdict.SAME, 3, "The plan is not met: same on near-domain questions."),
        (Verdict.SAME, Verdict.CANNOT_TELL, 3, "The fine-tune did not help: same on in-domain "
         "questions."),
        (Verdict.BETTER, Verdict.NOT_WORSE, 4, "Cannot tell yet on near-domain questions."),
    ],
)  # fmt: skip
def test_every_set_that_was_to_be_better_is_judged(inside, near, code, words):
    better = [comparison(inside), comparison(near, "near_domain")]
    decision = decide(better, [comparison(Verdict.SAME, "out_of_domain")])
    assert (decision.exit_code, decision.words) == (code, words)


def test_a_plan_may_claim_no_gain():
    names = ("in_domain", "near_domain", "out_of_domain")
    sets = [comparison(Verdict.SLIGHTLY_WORSE, name) for name in names]
    decision = decide([], sets)
    assert decision.exit_code == 0
    assert decision.words == (
        "As planned: not worse on in-domain, near-domain, out-of-domain questions."
    )


def test_where_nothing_differed_no_spread_is_made_up():
    found = compare("x", "check", [1] * 6, [1] * 6, ALONE[:6], margin=0.05, seed=1)
    assert found.verdict is Verdict.CANNOT_TELL
    assert (found.detectable, found.more_questions) == (None, None)
