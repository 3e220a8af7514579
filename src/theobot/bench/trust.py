"""Checks of a benchmark on itself, each as a light: can its verdict be trusted?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from theobot.bench.report.model import Light, questions_judged
from theobot.bench.rival import Rival
from theobot.bench.saved import MARKS, PROBES, Answered, missing_share
from theobot.generation.generator import ARMS


def cut_share(answered: Answered, name: str) -> float:
    """Share of Theobot's or the base's answers that were cut, whichever is larger."""
    shares = []
    for arm in ARMS:
        stops = [answered.records[q.id, arm].stop_reason for q in answered.pairs if q.set == name]
        shares.append(stops.count("length") / len(stops) if stops else 0.0)
    return max(shares)


def lights_of(answered: Answered, cut: Mapping[str, float], changed: bool) -> list[Light]:
    """All lights: plan, leaks, adapter, noise, pairs, cut answers, scores, marks of people."""
    probes, plan = answered.probes, answered.plan
    lights = [
        Light("Plan", "warn", "Metrics or margins were changed after answers were seen.")
        if changed
        else Light(
            "Plan", "good", "Metrics, margins and seeds were fixed before the first answer."
        ),
        _leak_light(probes),
        _effect_light(probes, answered.rival),
        _noise_light(probes, answered.rival.name),
    ]
    if not probes:
        lights.append(_unprobed_light(PROBES in answered.aside))
    share = missing_share(answered)
    lights.append(
        Light(
            "Complete pairs",
            "good" if share <= plan.missing_limit else "bad",
            f"{len(answered.pairs)} of {len(answered.questions)} questions have both answers.",
        )
    )
    worst = max(cut.values(), default=0.0)
    lights.append(
        Light(
            "Cut answers",
            "good" if worst <= plan.truncation_limit else "bad",
            f"At most {worst:.1%} of a set's answers were cut at their cap; above "
            f"{plan.truncation_limit:.0%} no verdict is given for the set.",
        )
    )
    unscored = len(answered.pairs) - len(answered.scored)
    if unscored:
        words = f"{unscored} questions have no mark scheme and could not be scored."
        lights.append(Light("Scores", "warn", words))
    lights.append(_marks_light(answered.marks, MARKS in answered.aside))
    return lights


def _unprobed_light(aside: bool) -> Light:
    words = "Nothing was measured with the model after these answers"
    words += f"; {PROBES} tells of others and is not used." if aside else "."
    return Light("Measurements", "warn", f"{words} Type the same `theobot bench` again.")


def _leak_light(probes: Mapping[str, Any]) -> Light:
    leaks = probes.get("leaks")
    if not probes:
        return Light("Leaks", "unknown", "Whether any were looked for was not kept.")
    if leaks is None:
        why = probes.get("leaks_not_checked", "The training rows are not known.")
        return Light("Leaks", "unknown", f"None were looked for. {why}")
    fatal = [leak for leak in leaks if leak.get("leak")]
    if fatal:
        return Light("Leaks", "bad", f"Training gives away {len(fatal)} of the questions.")
    return Light("Leaks", "good", "No question or reference answer stands in the training rows.")


def _effect_light(probes: Mapping[str, Any], rival: Rival) -> Light:
    effect = probes.get("adapter_effect")
    if effect is None:
        return Light(
            "Adapter", "unknown", "Whether the adapter changes the model was not measured."
        )
    words = f"The adapter changes a next-token logit of {rival.name} by up to {effect:.3g}."
    return Light("Adapter", "good" if effect else "bad", words)


def _noise_light(probes: Mapping[str, Any], rival: str) -> Light:
    noise = probes.get("noise")
    if not noise:
        words = f"Whether {rival} answers the same twice was not measured."
        return Light("Noise", "unknown", words)
    changed = float(noise.get("changed_share", 0.0))
    words = f"Asked twice in other batches, {rival} changed {changed:.1%} of its answers."
    return Light("Noise", "good" if changed <= 0.05 else "warn", words)


def _marks_light(marks: Mapping[str, Any] | None, aside: bool) -> Light:
    if aside:
        words = (
            f"The marks in {MARKS} are not of these answers, or do not say of which, so they are "
            "not shown. Type `theobot mark close` again, or have these marked (`theobot mark "
            "pack`)."
        )
        return Light("Teachers' marks", "unknown", words)
    if not marks:
        words = "Automatic score, not yet checked against a teacher (`theobot mark pack`)."
        return Light("Teachers' marks", "unknown", words)
    sentence = str(marks.get("sentence", "There are marks of people."))
    if not questions_judged(marks):
        return Light("Teachers' marks", "unknown", sentence)
    found = [(marks.get(mode) or {}).get("alpha") or {} for mode in ("mark", "prefer")]
    if not any(alpha.get("units") for alpha in found):
        sentence += " Whether markers agree is not known, since no two judged the same answers."
        return Light("Teachers' marks", "warn", sentence)
    return Light("Teachers' marks", "warn" if marks.get("withheld") else "good", sentence)
