"""Mode "prefer": on how many questions each arm's answer was preferred."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from theobot.bench.marking.agreement import Alpha, Bias, alpha, position_bias
from theobot.bench.marking.entries import PreferEntry
from theobot.bench.marking.store import Judgement
from theobot.bench.marking.unblinded import (
    WORST,
    Disagreement,
    MarkerSummary,
    Unblinded,
    by_marker,
    clusters_of,
    disagreement,
    reasons_to_withhold,
    summarise_markers,
)
from theobot.bench.questions import SETS
from theobot.bench.statistics import Rate, mcnemar_exact, wilson
from theobot.generation.generator import ARMS, Arm

_Keyed = Mapping[tuple[str, str | None], Mapping[str, Judgement]]


class Wins(NamedTuple):
    """Questions by outcome, as in `Preferred`."""

    wins: int
    losses: int
    equal: int
    poor: int


class Preferred(NamedTuple):
    """What comparing found.

    Args:
        questions: judged by somebody.
        alike: not shown since both answers are the same: ties that are counted apart.
        wins: questions on which Theobot's answer was preferred; with several markers the majority
            decides.
        losses: questions on which the base's was.
        equal: ties.
        poor: ties because both answers are poor.
        sets: the same per set.
        win_rate: Theobot's wins among the decisive questions; None when withheld.
        p: exact, two-sided, of "both win alike"; None when withheld.
        why: reasons given for each arm's wins, by vote.
        left: how often the left answer won, repeats included.
        markers: who compared, and how steadily.
        alpha: of all markers, nominal.
        disagreements: questions on which each arm had a marker's preference.
        withheld: no conclusion is drawn.
        reasons: why not.
    """

    questions: int
    alike: int
    wins: int
    losses: int
    equal: int
    poor: int
    sets: dict[str, Wins]
    win_rate: Rate | None
    p: float | None
    why: dict[Arm, dict[str, int]]
    left: Bias
    markers: list[MarkerSummary]
    alpha: Alpha
    disagreements: list[Disagreement]
    withheld: bool
    reasons: list[str]


def summarise_preferences(data: Unblinded) -> Preferred:
    """Everything that mode "prefer" says."""
    judged = by_marker(data.first_looks("prefer"))
    votes = _votes(data, judged)
    outcomes = {item: _outcome(found) for item, found in votes.items()}
    total = _count(outcomes.values())
    markers = summarise_markers(data, "prefer")
    clusters = clusters_of(data, list(judged))
    agreed = alpha(list(votes.values()), "nominal", data.session.seed, clusters)
    reasons = reasons_to_withhold(markers, agreed)
    return Preferred(
        len(outcomes),
        sum(item.alike for item in data.items.values()),
        *total,
        {
            name: _count(found for item, found in outcomes.items() if data.items[item].set == name)
            for name in SETS
        },
        None if reasons else wilson(total.wins, total.wins + total.losses),
        None if reasons else mcnemar_exact(total.wins, total.losses),
        _why(data),
        _left(data.judgements["prefer"]),
        markers,
        agreed,
        _disagreements(data, judged),
        bool(reasons),
        reasons,
    )


def preferred_answers(data: Unblinded) -> dict[str, str]:
    """By question id what most markers preferred: an arm, "equal" or "poor"."""
    votes = _votes(data, by_marker(data.first_looks("prefer")))
    return {data.items[item].question_id: _outcome(found) for item, found in votes.items()}


def _votes(data: Unblinded, judged: _Keyed) -> dict[str, list[str]]:
    """By item what each of its markers preferred."""
    return {
        item: [str(data.value(one)) for one in found.values()]
        for (item, _), found in judged.items()
    }


def _outcome(votes: list[str]) -> str:
    """The arm with more votes; else "poor" if most ties are, else "equal"."""
    count = Counter(votes)
    if count["theobot"] != count["base"]:
        return max(ARMS, key=lambda arm: count[arm])
    return "poor" if count["poor"] > count["equal"] else "equal"


def _count(outcomes: Iterable[str]) -> Wins:
    count = Counter(outcomes)
    return Wins(count["theobot"], count["base"], count["equal"], count["poor"])


def _why(data: Unblinded) -> dict[Arm, dict[str, int]]:
    counts: dict[Arm, Counter[str]] = {arm: Counter() for arm in ARMS}
    for one in data.first_looks("prefer"):
        winner = data.value(one)
        for arm in ARMS:
            if winner == arm and isinstance(one.entry, PreferEntry):
                counts[arm].update(one.entry.reasons)
    return {arm: dict(count) for arm, count in counts.items()}


def _left(judgements: Iterable[Judgement]) -> Bias:
    choices = Counter(one.entry.choice for one in judgements if isinstance(one.entry, PreferEntry))
    return position_bias(choices["left"], choices["right"])


def _disagreements(data: Unblinded, judged: _Keyed) -> list[Disagreement]:
    split = [
        disagreement(data, found)
        for found in judged.values()
        if set(ARMS) <= {data.value(one) for one in found.values()}
    ]
    return sorted(split, key=lambda one: (-one.tariff, one.question_id))[:WORST]
