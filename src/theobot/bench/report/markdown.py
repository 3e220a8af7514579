"""The report as Markdown that can be read in a terminal as it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from theobot.bench.answer_files import SIDE_BY_SIDE, escape_markdown, quote
from theobot.bench.comparison import Comparison
from theobot.bench.report.judge import TITLE, judge_comparisons, judge_facts, judge_tables
from theobot.bench.report.model import (
    QuestionRow,
    Report,
    comparison_of,
    gains,
    in_order,
    losses,
    named,
    plain,
    questions_judged,
    random_rows,
)
from theobot.bench.report.words import (
    LIGHTS,
    NO_MARK_SCHEME,
    NOT_MARKED,
    SETS,
    SYMBOLS,
    adjusted_words,
    counts_words,
    date_words,
    describe,
    group_name,
    harmless,
    interval_words,
    means_words,
    open_words,
    p_words,
    plan_words,
    points,
    rate_words,
    row_facts,
    score_words,
    verdict_words,
)
from theobot.generation.generator import ARMS


def report_markdown(report: Report) -> str:
    """The whole page."""
    report = report._replace(rows=in_order(report.rows, report.sets))
    parts = [
        *_verdict(report),
        *_trust(report),
        *_counts(report),
        *_examples(report),
        *_damage(report),
        *_people(report),
        *_judge(report),
        *_memory(report),
        *_questions(report),
        *_methods(report),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _verdict(report: Report) -> Iterable[str]:
    yield f"# {_text(report.title)}"
    yield f"**{_text(report.decision.words)}**"
    yield f"{_text(plan_words(report))} {_text(date_words(report.created))}"
    scored = [one for one in report.sets if one.n]
    if not scored:
        yield NO_MARK_SCHEME
    elif not questions_judged(report.marks):
        yield f"{NOT_MARKED} A point is one mark in 100."
    for one in report.sets if scored else ():
        name, about = SETS.get(one.name, (group_name(one.name), ""))
        heading = f"## {SYMBOLS[one.verdict]} {_text(name)}: {_text(verdict_words(one))}"
        yield heading
        sentences = [counts_words(one), means_words(one, report.arms), open_words(one)]
        yield _text(" ".join(sentence for sentence in sentences if sentence))
        yield _text(
            f"({about or 'a set of its own'}; agreed margin {points(one.margin, signed=False)})"
        )


def _trust(report: Report) -> Iterable[str]:
    yield "## Can you trust this page?"
    lines = [
        f"- {LIGHTS[light.state][0]} {LIGHTS[light.state][1]}: **{_text(light.name)}**. "
        f"{_text(light.sentence)}"
        for light in report.trust
    ]
    yield "\n".join(lines) or "No check was done."


def _counts(report: Report) -> Iterable[str]:
    for title, found in (
        ("Sets", report.sets),
        ("By theme (exploratory)", report.themes),
        ("By marks (exploratory)", report.tariffs),
        ("Other measures (exploratory)", report.secondary),
    ):
        if any(one.n for one in found):
            yield f"## {title}"
            yield _comparisons(found, report.arms)


def _examples(report: Report) -> Iterable[str]:
    for title, found in (
        ("Largest losses", losses(report.rows)),
        ("Largest gains", gains(report.rows)),
        (
            f"Ten at random (seed {report.random_seed})",
            random_rows(report.rows, report.random_seed),
        ),
    ):
        yield f"## {title}"
        if not found:
            yield "None."
        for row in found:
            yield from _question(row, report.arms)


def _question(row: QuestionRow, arms: tuple[str, str]) -> Iterable[str]:
    yield f"### {_text(row.id)} ({_text(row_facts(row))})"
    yield f"**Question.** {_text(row.question)}"
    for arm, text, score in (
        (arms[0], row.base_text, row.base),
        (arms[1], row.theobot_text, row.theobot),
    ):
        note = f": {score_words(score)}" if score else ""
        yield f"**{_text(arm)}**{note}"
        yield quote(harmless(text or "(no text)"))
    points_of = row.theobot or row.base
    if points_of and points_of.points:
        hits = {point.text: point.hit for point in row.base.points} if row.base else {}
        lines = [
            f"- {_mark(hits.get(point.text))} {_mark(point.hit)} {_text(point.text)} "
            f"({point.marks})"
            for point in points_of.points
        ]
        yield f"Mark scheme, {_text(arms[0])} and {_text(arms[1])}:"
        yield "\n".join(lines)
    if row.reference:
        yield f"**Reference**\n\n{quote(harmless(row.reference))}"


def _damage(report: Report) -> Iterable[str]:
    if report.rates or report.drift:
        yield "## Was anything damaged?"
    if report.rates:
        rows = [(name, rate_words(a), rate_words(b)) for name, a, b in report.rates]
        yield markdown_table(("", *report.arms), rows)
    if report.drift:
        yield _facts(report.drift)


def _people(report: Report) -> Iterable[str]:
    if not report.marks:
        return
    marks: Any = plain(report.marks)
    yield "## What people gave, blind"
    found = (marks.get("mark") or {}).pop("comparisons", None) or ()
    yield _facts(named(marks, dict(zip(ARMS, report.arms, strict=True))))
    if found:
        yield "### Marks of people by set"
        yield _comparisons([comparison_of(one) for one in found], report.arms)


def _judge(report: Report) -> Iterable[str]:
    if not report.judge:
        return
    judge: Any = plain(report.judge)
    yield f"## {TITLE}"
    yield _text(judge.get("sentence") or "")
    yield "\n".join(f"- {_text(note)}" for note in judge.get("notes") or ())
    comparisons = judge_comparisons(judge)
    if comparisons:
        yield "### Key points, yes or no: marks in 100"
        yield _comparisons(comparisons, report.arms)
    for one in judge_tables(judge, report.arms):
        yield f"### {_text(one.title)}"
        yield markdown_table(one.heads, one.rows)
    yield _facts(judge_facts(judge))


def _memory(report: Report) -> Iterable[str]:
    if any(one.n for one in report.seen):
        yield "## Verses it was trained on, and others"
        yield _comparisons(report.seen, report.arms)
    if report.length_adjusted:
        yield "## At equal length"
        yield _text(adjusted_words(report.length_adjusted))
    if report.traps is not None and report.traps.n:
        yield "## Trap questions"
        yield _text(f"{verdict_words(report.traps)}. {counts_words(report.traps)}")


def _questions(report: Report) -> Iterable[str]:
    yield "## All questions"
    yield f"Both answers to each, in full: {escape_markdown(SIDE_BY_SIDE)}."
    for name in dict.fromkeys(row.set for row in report.rows):
        yield f"### {_text(group_name(name))}"
        yield "\n".join(_line(row, report.arms) for row in report.rows if row.set == name)


def _line(row: QuestionRow, arms: tuple[str, str]) -> str:
    flags = f" ({', '.join(row.flags)})" if row.flags else ""
    if row.difference is None:
        return f"- {_text(f'{row.id}: {row.question}{flags}')}"
    scores = f"{arms[0]} {score_words(row.base)}, {arms[1]} {score_words(row.theobot)}"
    return f"- {_text(f'{points(row.difference)} ({scores}) {row.id}: {row.question}{flags}')}"


def _methods(report: Report) -> Iterable[str]:
    yield "## Methods and fingerprint"
    rows = [
        (group_name(one.name), one.metric, one.clusters, p_words(one.p),
         p_words(report.holm.get(one.name)), points(one.margin, signed=False))
        for one in report.sets if one.n
    ]  # fmt: skip
    if rows:
        yield markdown_table(("", "Measure", "Verses or topics", "p", "p (Holm)", "Margin"), rows)
    yield _facts(report.fingerprint)
    if report.noise:
        yield "### Asked twice"
        yield _facts(report.noise)
    if report.leaks:
        yield "### Leaks and labels"
        yield "\n".join(f"- {_text(describe(leak))}" for leak in report.leaks)
    if report.cannot_show:
        yield "## What this report cannot show"
        yield "\n".join(f"- {_text(sentence)}" for sentence in report.cannot_show)


def _comparisons(found: Sequence[Comparison], arms: tuple[str, str]) -> str:
    rows = [
        (group_name(one.name), one.n, points(one.base, signed=False),
         points(one.theobot, signed=False), points(one.difference.mean),
         interval_words(one.difference), f"{one.better} / {one.equal} / {one.worse}")
        for one in found if one.n
    ]  # fmt: skip
    heads = ("", "n", *arms, "Points", "95 % interval", "better / equal / worse")
    return markdown_table(heads, rows)


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns padded to one width, except the last, so that a terminal shows them as columns."""
    cells = [[_text(str(cell)) for cell in row] for row in (heads, *rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(heads))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    rule = "| " + " | ".join("-" * max(width, 3) for width in widths) + " |"
    return "\n".join([lines[0], rule, *lines[1:]])


def _facts(facts: object) -> str:
    values: Any = plain(facts)
    return "\n".join(
        f"- {_text(str(name).replace('_', ' '))}: {_text(describe(value))}"
        for name, value in values.items()
    )


def _text(text: str) -> str:
    """On one line, after other text of that line, and showing as itself."""
    # The letter keeps a first number or sign from being escaped as if it began the line.
    return escape_markdown("x" + " ".join(harmless(text).split()))[1:]


def _mark(hit: bool | None) -> str:
    return "–" if hit is None else "✓" if hit else "✕"
