"""The first half of the HTML report: title, verdict, trust and counts.

Each function takes the report and gives a piece of HTML; one without content gives "".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from theobot.bench.comparison import Comparison
from theobot.bench.report import charts
from theobot.bench.report.blocks import badge, comparison_table, safe, section
from theobot.bench.report.model import Report, questions_judged
from theobot.bench.report.words import (
    LIGHTS,
    NO_MARK_SCHEME,
    NOT_MARKED,
    SETS,
    count,
    counts_words,
    date_words,
    group_name,
    light_words,
    means_words,
    open_words,
    plan_words,
)

_SET_NAME = re.compile(r"\b(?:in|near|out-of)-domain\b")

FOOTER = (
    "<footer><p>The same content: <code>report.md</code> for a terminal, <code>report.json</code> "
    "for a program, <code>side_by_side.md</code> for all answers one after another. This page is "
    "one file and asks no network.</p></footer>"
)
"""Where the same content lies for other readers."""


def header(report: Report) -> str:
    """Title and a line of links."""
    links = [
        ("trust", "Can you trust this page?"),
        ("counts", "Counts"),
        ("losses", "Losses and gains"),
        ("questions", "All questions"),
        ("damage", "Damage"),
        ("methods", "Methods"),
    ]
    items = "".join(f'<li><a href="#{key}">{words}</a></li>' for key, words in links)
    return (
        '<header class="top"><p class="eyebrow">Theobot benchmark</p>'
        f"<h1>{safe(report.title)}</h1>"
        f'<p class="when">{safe(date_words(report.created))} · '
        f"{count(len(report.rows), 'question')}, each answered by {safe(report.arms[0])} and by "
        f"{safe(report.arms[1])}</p>"
        f'<nav aria-label="Sections"><ul>{items}</ul></nav></header>'
    )


# --- 1: verdict ---------------------------------------------------------------------------------


def verdict(report: Report) -> str:
    """The box on top: what follows, then each set with its interval."""
    decision = report.decision
    state = {True: "good", False: "bad", None: "open"}[decision.met]
    symbol = {"good": "✓", "bad": "✕", "open": "?"}[state]
    scored = [one for one in report.sets if one.n]
    scale = charts.difference_scale(scored)
    cards = "".join(_card(one, scale, report.arms) for one in report.sets if scored)
    lead = f'<div class="cards">{cards}</div>' if scored else f"<p>{NO_MARK_SCHEME}</p>"
    checked = (
        "" if questions_judged(report.marks) or not scored else f'<p class="note">{NOT_MARKED}</p>'
    )
    return (
        f'<section id="verdict" class="verdict {state}" aria-labelledby="verdict-h">'
        f'<p class="eyebrow" aria-hidden="true">Verdict</p>'
        f'<h2 id="verdict-h"><span class="sign" aria-hidden="true">{symbol}</span> '
        f"{_unbroken(safe(decision.words))}</h2>"
        f'<p class="chips">{_plan(report)} {_light_summary(report)}</p>{checked}'
        f"{lead}{_legend(report)}</section>"
    )


def _unbroken(words: str) -> str:
    """Set names stay on one line of the headline."""
    return _SET_NAME.sub(r'<span class="whole">\g<0></span>', words)


def _plan(report: Report) -> str:
    state, symbol = ("good", "✓") if report.plan_status == "planned" else ("bad", "!")
    return (
        f'<span class="chip {state}"><span aria-hidden="true">{symbol} </span>'
        f"{safe(plan_words(report))}</span>"
    )


def _light_summary(report: Report) -> str:
    if not report.trust:
        return ""
    found = {light.state for light in report.trust}
    worst = next((state for state in ("bad", "warn") if state in found), "good")
    return f'<a class="chip {worst}" href="#trust">{light_words(report.trust)}</a>'


def _card(one: Comparison, scale: charts.Scale, arms: tuple[str, str]) -> str:
    name, about = SETS.get(one.name, (group_name(one.name), ""))
    chart = ""
    if one.n:
        title = f"{name}: difference with its interval"
        chart = charts.interval_chart(
            f"set-{safe(one.name)}", title, [one], scale=scale, labels=False
        )
    further = "".join(f"<p>{safe(words)}</p>" for words in [open_words(one)] if words)
    return (
        f'<article class="card"><div><h3>{safe(name)} <small>{safe(about)}</small></h3>'
        f"{badge(one)}"
        f'<p class="lead">{safe(counts_words(one))}</p>'
        f"<p>{safe(means_words(one, arms))}</p>{further}</div>"
        f"<div>{chart}</div></article>"
    )


def _legend(report: Report) -> str:
    if not any(one.n for one in report.sets):
        return ""
    return (
        '<p class="note">A point is one mark in 100. In the drawings the diamond is the mean '
        "difference, the thin line its 95 % interval and the thick part its 90 % interval, which "
        "is held against the agreed margin (dashed): the largest loss that was agreed beforehand "
        "to be harmless.</p>"
    )


# --- 2: trust -----------------------------------------------------------------------------------


def trust(report: Report) -> str:
    """Traffic lights, each with a sign and a word besides its colour."""
    lights = "".join(
        f'<li class="light {light.state}"><span class="state"><span aria-hidden="true">'
        f"{LIGHTS[light.state][0]}</span> {LIGHTS[light.state][1]}</span>"
        f"<div><strong>{safe(light.name)}</strong><p>{safe(light.sentence)}</p></div></li>"
        for light in report.trust
    )
    body = f'<ul class="lights">{lights}</ul>' if lights else "<p>No check was done.</p>"
    return section("trust", "Can you trust this page?", body)


# --- 3: counts and themes -----------------------------------------------------------------------


def counts(report: Report) -> str:
    """Better, equal and worse per set; then what was only explored."""
    scored = [one for one in report.sets if one.n]
    parts = []
    if scored:
        parts.append(
            '<div class="pair"><div>'
            + charts.counts_chart("counts-chart", "Questions better, equal and worse", scored)
            + '</div><p class="note">A question counts as better when '
            + f"{safe(report.arms[1])} earned more of its marks, by however little, and as equal "
            + "when both earned the same.</p></div>"
        )
    parts.append(_explored("themes", "By theme", report.themes, report.arms))
    parts.append(_explored("tariffs", "By marks", report.tariffs, report.arms))
    parts.append(_secondary(report))
    body = "".join(parts)
    return section("counts", "Better, equal, worse", body) if body else ""


def _explored(key: str, title: str, found: Sequence[Comparison], arms: tuple[str, str]) -> str:
    found = [one for one in found if one.n]
    if not found:
        return ""
    marks = charts.dumbbell_chart(f"{key}-marks", f"{title}: marks of both", found, arms)
    intervals = charts.interval_chart(f"{key}-intervals", f"{title}: differences", found)
    return (
        f'<h3>{title} <span class="tag">exploratory</span></h3>'
        '<p class="note">Too few questions in each for a claim; look for patterns, not proof.</p>'
        f'<div class="pair">{marks}{intervals}</div>{_numbers(title, found, arms)}'
    )


def _secondary(report: Report) -> str:
    if not report.secondary:
        return ""
    heading = '<h3>Other measures <span class="tag">exploratory</span></h3>'
    return heading + comparison_table("Other measures", report.secondary, report.arms)


def _numbers(title: str, found: Sequence[Comparison], arms: tuple[str, str]) -> str:
    table = comparison_table(title, found, arms)
    return f"<details class='plain'><summary>{title}: the numbers</summary>{table}</details>"
