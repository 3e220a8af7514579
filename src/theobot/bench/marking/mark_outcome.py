"""Mode "mark": mean marks of both arms, compared question by question.

Everything is counted by question, not by mark sheet: a question that three people marked is one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import NamedTuple

from theobot.bench.comparison import Comparison, compare
from theobot.bench.marking.agreement import (
    Alpha,
    Corrected,
    alpha,
    corrected_difference,
    quadratic_kappa,
    spearman,
    within,
)
from theobot.bench.marking.entries import CRITERIA, MarkEntry
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
from theobot.bench.statistics import Rate, wilson
from theobot.generation.generator import ARMS, Arm

MARGIN = 0.05
"""Largest harmless loss, in shares of the marks, where no plan says another."""
_FAR = 0.25
"""Share of the marks by which two markers must differ to be listed."""

_Keyed = Mapping[tuple[str, str | None], Mapping[str, Judgement]]


class TariffMeans(NamedTuple):
    """Mean marks of both arms over n questions of one tariff."""

    tariff: int
    n: int
    base: float
    theobot: float


class PairAgreement(NamedTuple):
    """Two markers on the n answers that both marked.

    `kappa` is quadratic weighted and within tariffs; `within_one` the share that is at most one
    mark apart; `by_tariff` has n, kappa and within_one of each tariff.
    """

    markers: tuple[str, str]
    n: int
    kappa: float | None
    within_one: float | None
    by_tariff: dict[int, dict[str, float | None]]


class Marked(NamedTuple):
    """What marking found.

    Args:
        questions: of which somebody marked both answers.
        alike: not shown since both answers are the same; they count as no difference.
        incomplete: questions of which nobody marked both answers.
        tariffs: mean marks by tariff.
        comparisons: per set; empty when withheld.
        wrong: answers that at least half of their markers call factually wrong, by arm.
        scripture: the same for wrong or false scripture.
        criteria: by criterion and arm the mean of 0 to 2, and the number of answers.
        markers: who marked, and how steadily.
        alpha: of all markers, on marks as shares of the tariff.
        pairs: each two markers.
        disagreements: the worst, to be talked over.
        withheld: no conclusion is drawn.
        reasons: why not.
    """

    questions: int
    alike: int
    incomplete: int
    tariffs: list[TariffMeans]
    comparisons: list[Comparison]
    wrong: dict[Arm, Rate]
    scripture: dict[Arm, Rate]
    criteria: dict[str, dict[str, float]]
    markers: list[MarkerSummary]
    alpha: Alpha
    pairs: list[PairAgreement]
    disagreements: list[Disagreement]
    withheld: bool
    reasons: list[str]


class AutomaticAgreement(NamedTuple):
    """An automatic score against the markers' means, on n answers.

    `kappa` is quadratic weighted and within tariffs, `spearman` over all; `corrected` is per set,
    where the score is good enough to help.
    """

    n: int
    kappa: float | None
    spearman: float | None
    corrected: dict[str, Corrected]


def summarise_marking(data: Unblinded) -> Marked:
    """Everything that mode "mark" says."""
    judged = by_marker(data.first_looks("mark"))
    means = paired_means(data)
    markers = summarise_markers(data, "mark")
    agreed = _alpha(data, judged)
    reasons = reasons_to_withhold(markers, agreed)
    return Marked(
        len(means),
        sum(item.alike for item in data.items.values()),
        len({item for item, _ in judged} - set(means)),
        _tariffs(data, means),
        [] if reasons else _comparisons(data, means),
        _flagged(data, judged, lambda entry: entry.wrong),
        _flagged(data, judged, lambda entry: entry.scripture),
        _criteria(data, judged),
        markers,
        agreed,
        _pairs(judged),
        _disagreements(data, judged),
        bool(reasons),
        reasons,
    )


def paired_means(data: Unblinded) -> dict[str, dict[Arm, float]]:
    """By item and arm the share of the marks, averaged over markers who marked both answers."""
    sheets: dict[tuple[str, str], dict[Arm, float]] = defaultdict(dict)
    for one in data.first_looks("mark"):
        sheets[one.card.item, one.marker][data.arms[one.card.left]] = float(data.value(one))
    whole: dict[str, list[dict[Arm, float]]] = defaultdict(list)
    for (item, _), sheet in sheets.items():
        if len(sheet) == len(ARMS):
            whole[item].append(sheet)
    return {
        item: {arm: fmean(sheet[arm] for sheet in found) for arm in ARMS}
        for item, found in whole.items()
    }


def check_automatic(data: Unblinded) -> AutomaticAgreement | None:
    """How far the automatic score can be trusted; None where nothing has both."""
    shares: dict[tuple[str, Arm], list[float]] = defaultdict(list)
    for one in data.first_looks("mark"):
        shares[one.card.item, data.arms[one.card.left]].append(float(data.value(one)))
    people, scores, tariffs = [], [], []
    for (item, arm), found in shares.items():
        score = data.automatic.get((data.items[item].question_id, arm))
        if score is not None:
            people.append(fmean(found))
            scores.append(score)
            tariffs.append(data.items[item].tariff)
    if not people:
        return None
    return AutomaticAgreement(
        len(people),
        quadratic_kappa(people, scores, tariffs),
        spearman(people, scores),
        _corrected(data),
    )


def _corrected(data: Unblinded) -> dict[str, Corrected]:
    """Per set the markers' difference, guessed for all questions that have a score."""
    automatic = {
        question: data.automatic[question, "theobot"] - score
        for (question, arm), score in data.automatic.items()
        if arm == "base" and (question, "theobot") in data.automatic
    }
    people = {
        data.items[item].question_id: mean["theobot"] - mean["base"]
        for item, mean in paired_means(data).items()
    }
    # Equal answers were part of the draw; people cannot find a difference between them.
    people |= {item.question_id: 0.0 for item in data.items.values() if item.alike}
    found = {}
    for name in SETS:
        rows = [
            (difference, automatic[question])
            for question, difference in people.items()
            if question in automatic and data.sets.get(question) == name
        ]
        everywhere = [d for question, d in automatic.items() if data.sets.get(question) == name]
        value = corrected_difference([a for a, _ in rows], [b for _, b in rows], everywhere)
        if value is not None:
            found[name] = value
    return found


def _comparisons(data: Unblinded, means: Mapping[str, Mapping[Arm, float]]) -> list[Comparison]:
    """One per set. Answers that are alike count as equal, at the mean of all that was marked."""
    comparisons = []
    for name in SETS:
        items = [item for item in data.items.values() if item.set == name]
        marked = [item for item in items if item.id in means]
        if not marked:
            continue
        middle = fmean(means[item.id][arm] for item in marked for arm in ARMS)
        alike = [item for item in items if item.alike]
        scores = {
            arm: [means[item.id][arm] for item in marked] + [middle] * len(alike) for arm in ARMS
        }
        comparisons.append(
            compare(
                name,
                "marks by people",
                scores["base"],
                scores["theobot"],
                [item.cluster for item in marked + alike],
                margin=data.margins.get(name, MARGIN),
                seed=data.session.seed,
            )
        )
    return comparisons


def _tariffs(data: Unblinded, means: Mapping[str, Mapping[Arm, float]]) -> list[TariffMeans]:
    rows = []
    for tariff in sorted({data.items[item].tariff for item in means}):
        found = [mean for item, mean in means.items() if data.items[item].tariff == tariff]
        base, theobot = (tariff * fmean(mean[arm] for mean in found) for arm in ARMS)
        rows.append(TariffMeans(tariff, len(found), base, theobot))
    return rows


def _flagged(data: Unblinded, judged: _Keyed, flag: Callable[[MarkEntry], bool]) -> dict[Arm, Rate]:
    counts: dict[Arm, list[bool]] = {arm: [] for arm in ARMS}
    for (_, answer), found in judged.items():
        votes = [flag(entry) for entry in _entries(found)]
        counts[data.arms[str(answer)]].append(2 * sum(votes) >= len(votes))
    return {arm: wilson(sum(found), len(found)) for arm, found in counts.items()}


def _criteria(data: Unblinded, judged: _Keyed) -> dict[str, dict[str, float]]:
    """Only of answers for which a criterion was filled in, for both arms."""
    table: dict[str, dict[str, float]] = {}
    for criterion in CRITERIA:
        found: dict[Arm, list[float]] = {arm: [] for arm in ARMS}
        for (_, answer), sheets in judged.items():
            points = [e.criteria[criterion] for e in _entries(sheets) if criterion in e.criteria]
            if points:
                found[data.arms[str(answer)]].append(fmean(points))
        if all(found.values()):
            table[criterion] = {arm: fmean(values) for arm, values in found.items()}
            table[criterion]["n"] = sum(len(values) for values in found.values())
    return table


def _alpha(data: Unblinded, judged: _Keyed) -> Alpha:
    units = [[data.value(one) for one in found.values()] for found in judged.values()]
    clusters = clusters_of(data, list(judged))
    return alpha(units, "interval", data.session.seed, clusters)


def _pairs(judged: _Keyed) -> list[PairAgreement]:
    aliases = list(dict.fromkeys(alias for found in judged.values() for alias in found))
    pairs = []
    for one, two in combinations(aliases, 2):
        both = [(f[one], f[two]) for f in judged.values() if one in f and two in f]
        rows = [
            (first.tariff, *(entry.marks for entry in _entries({one: first, two: second})))
            for first, second in both
        ]
        if rows:
            pairs.append(_pair((one, two), rows))
    return pairs


def _pair(markers: tuple[str, str], rows: Sequence[tuple[int, ...]]) -> PairAgreement:
    """From rows of tariff, first marks, second marks."""
    tariffs = [row[0] for row in rows]
    first = [row[1] / row[0] for row in rows]
    second = [row[2] / row[0] for row in rows]
    by_tariff: dict[int, dict[str, float | None]] = {}
    for tariff in sorted(set(tariffs)):
        one = [row[1] for row in rows if row[0] == tariff]
        two = [row[2] for row in rows if row[0] == tariff]
        kappa, near = quadratic_kappa(one, two), within(one, two)
        by_tariff[tariff] = {"n": len(one), "kappa": kappa, "within_one": near}
    near = within([row[1] for row in rows], [row[2] for row in rows])
    kappa = quadratic_kappa(first, second, tariffs)
    return PairAgreement(markers, len(rows), kappa, near, by_tariff)


def _disagreements(data: Unblinded, judged: _Keyed) -> list[Disagreement]:
    """The widest first, in shares of the marks."""
    found = []
    for sheets in judged.values():
        shares = [float(data.value(one)) for one in sheets.values()]
        distance = max(shares) - min(shares)
        if distance >= _FAR:
            found.append((distance, disagreement(data, sheets)))
    found.sort(key=lambda at: (-at[0], -at[1].tariff, at[1].question_id))
    return [one for _, one in found[:WORST]]


def _entries(judged: Mapping[str, Judgement]) -> list[MarkEntry]:
    return [one.entry for one in judged.values() if isinstance(one.entry, MarkEntry)]
