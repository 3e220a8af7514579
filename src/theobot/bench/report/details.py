"""The second half of the HTML report: damage, memory, traps, methods and limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from theobot.bench.questions import TRAPS
from theobot.bench.report import charts
from theobot.bench.report.answers import changed_examples
from theobot.bench.report.blocks import (
    badge,
    comparison_table,
    facts,
    records,
    safe,
    section,
    table,
)
from theobot.bench.report.model import Report, plain
from theobot.bench.report.words import (
    SETS,
    adjusted_words,
    counts_words,
    group_name,
    means_words,
    p_words,
    percent,
    points,
    rate_words,
    verdict_words,
)

_LEAKS_SHOWN = 50


def damage(report: Report) -> str:
    """What happened away from the domain."""
    far = next((one for one in report.sets if one.name == "out_of_domain"), None)
    parts = []
    if far is not None and far.n:
        parts.append(
            f'<p class="lead">{safe(SETS["out_of_domain"][0])}: {safe(verdict_words(far))}. '
            f"{safe(counts_words(far))}</p>"
        )
    if report.drift:
        parts.append(_drift(plain(report.drift)))
    if report.rates:
        heads = ("", *report.arms)
        rows = [(name, rate_words(a), rate_words(b)) for name, a, b in report.rates]
        parts.append("<h3>How answers end and look</h3>" + table("Rates", heads, rows))
    parts.append(changed_examples(report))
    body = "".join(parts)
    return section("damage", "Was anything damaged?", body) if body else ""


def _drift(drift: Any) -> str:
    parts = ["<h3>How far the model moved</h3>"]
    if isinstance(drift.get("top1"), float):
        parts.append(
            f"<p>On {percent(drift['top1'])} of the positions of ordinary text both would write "
            "the same next word. A small distance shows no damage; a large one proves none.</p>"
        )
    kl = drift.get("kl")
    if isinstance(kl, Mapping) and any(isinstance(value, float) for value in kl.values()):
        title = "Distance of the next-word probabilities (KL divergence)"
        parts.append(f"<figure>{charts.quantile_strip('kl', title, kl)}")
        parts.append(f"<figcaption>{title}, quantiles over positions.</figcaption></figure>")
    parts.append(facts({key: value for key, value in drift.items() if key not in ("kl", "top1")}))
    return "".join(parts)


def memory(report: Report) -> str:
    """Seen against unseen verses, and the difference at equal length."""
    found = [one for one in report.seen if one.n]
    parts = []
    if found:
        chart = charts.interval_chart("seen-chart", "Seen and unseen verses", found)
        parts.append(
            "<h3>Verses it was trained on, and others</h3><p>Better on seen verses alone would "
            f"be memory rather than understanding.</p>{chart}"
            f"{comparison_table('Seen and unseen verses', found, report.arms)}"
        )
    if report.length_adjusted:
        words = adjusted_words(report.length_adjusted)
        parts.append(f"<h3>At equal length</h3><p>{safe(words)}</p>")
    return section("memory", "Memory and length", "".join(parts)) if parts else ""


def traps(report: Report) -> str:
    """Questions with something false in them."""
    one = report.traps
    if one is None or not one.n:
        return ""
    chart = charts.interval_chart("trap-chart", "Trap questions", [one], labels=False)
    return section(
        "traps",
        "Trap questions",
        f'<p class="note">{SETS[TRAPS][1][:1].upper()}{SETS[TRAPS][1][1:]}. They count for no '
        f'verdict above.</p><div class="pair"><div>{badge(one)}<p>{safe(counts_words(one))} '
        f"{safe(means_words(one, report.arms))}</p></div>{chart}</div>",
    )


def methods(report: Report) -> str:
    """What is needed to do it again."""
    parts = []
    if report.noise:
        parts.append("<h3>Asked twice</h3>" + facts(plain(report.noise)))
    if report.leaks:
        more = len(report.leaks) - _LEAKS_SHOWN
        parts.append(
            "<h3>Leaks and labels</h3>" + records("Leaks and labels", report.leaks[:_LEAKS_SHOWN])
        )
        parts.append(f"<p>{more} more stand in report.json.</p>" if more > 0 else "")
    parts.append("<h3>Statistics of the sets</h3>")
    rows = [
        (
            group_name(one.name),
            one.metric.replace("_", " "),
            one.n,
            one.clusters,
            p_words(one.p),
            p_words(report.holm.get(one.name)),
            points(one.margin, signed=False),
            points(one.detectable, signed=False),
        )
        for one in report.sets
    ]
    heads = ("Set", "Measure", "n", "Verses or topics", "p", "p (Holm)", "Margin", "Detectable")
    parts.append(table("Statistics of the sets", heads, rows) if rows else "<p>None.</p>")
    parts.append("<h3>Fingerprint</h3>" + facts(report.fingerprint))
    body = f"<details class='plain'><summary>Show everything</summary>{''.join(parts)}</details>"
    return section("methods", "Methods and fingerprint", body)


def cannot_show(report: Report) -> str:
    """Limits, as a list."""
    items = "".join(f"<li>{safe(sentence)}</li>" for sentence in report.cannot_show)
    return section("limits", "What this report cannot show", f"<ul>{items}</ul>") if items else ""
