"""Pieces of HTML that several sections of the report are made of.

Every text from outside goes through `safe`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from theobot.bench.comparison import Comparison, Verdict
from theobot.bench.report.words import (
    SYMBOLS,
    describe,
    group_name,
    harmless,
    interval_words,
    points,
    verdict_words,
)


def safe(value: object) -> str:
    """Text for an element or a quoted attribute."""
    return escape(harmless(str(value)), quote=True)


def section(key: str, title: str, body: str) -> str:
    """A titled part of the page that links and readers of screens can jump to."""
    return (
        f'<section id="{key}" aria-labelledby="{key}-h"><h2 id="{key}-h">{title}</h2>'
        f"{body}</section>"
    )


def facts(values: Any) -> str:
    """Names and values; long or broken values keep their lines."""
    items = []
    for name, value in values.items():
        words = describe(value)
        shown = f"<pre>{safe(words)}</pre>" if "\n" in words else safe(words)
        items.append(f"<div><dt>{safe(str(name).replace('_', ' '))}</dt><dd>{shown}</dd></div>")
    return f'<dl class="facts-list">{"".join(items)}</dl>' if items else ""


def records(caption: str, found: Sequence[Mapping[str, Any]]) -> str:
    """A table with a column for every key that occurs."""
    heads = list(dict.fromkeys(key for record in found for key in record))
    rows = [[describe(record.get(head, "")) for head in heads] for record in found]
    return table(caption, [head.replace("_", " ") for head in heads], rows)


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table whose first column names its rows; it scrolls by itself where it is too wide."""
    head = "".join(f'<th scope="col">{safe(words)}</th>' for words in heads)
    body = "".join(
        f'<tr><th scope="row">{safe(first)}</th>'
        + "".join(f"<td>{safe(entry)}</td>" for entry in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{safe(caption)}"><table>'
        f'<caption class="hidden-words">{safe(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def comparison_table(title: str, found: Sequence[Comparison], arms: tuple[str, str]) -> str:
    """Comparisons as numbers."""
    rows = [
        (
            group_name(one.name),
            one.n,
            points(one.base, signed=False),
            points(one.theobot, signed=False),
            points(one.difference.mean),
            interval_words(one.difference),
            f"{one.better} / {one.equal} / {one.worse}",
        )
        for one in found
    ]
    heads = ("", "n", *arms, "Difference", "95 % interval", "better / equal / worse")
    return table(title, heads, rows)


def badge(one: Comparison) -> str:
    """A verdict as a sign and words; "cannot tell" is a result like the others."""
    kind = {
        Verdict.BETTER: "better",
        Verdict.WORSE: "worse",
        Verdict.SLIGHTLY_WORSE: "worse",
        Verdict.CANNOT_TELL: "open",
    }.get(one.verdict, "even")
    return (
        f'<p class="badge {kind}"><span aria-hidden="true">{SYMBOLS[one.verdict]}</span> '
        f"{safe(verdict_words(one))}</p>"
    )
