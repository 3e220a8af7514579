"""The report as one HTML file: opens from a disk, asks no network, shows no model's text as HTML.

The page's own style sheet and script are allowed by their hashes and nothing else is. Answers lie
in it as data and are shown by the script as text; what stands in the page without the script is
the verdict, every figure, and a light table of all questions.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from theobot.bench.report.answers import examples, questions
from theobot.bench.report.blocks import safe
from theobot.bench.report.details import cannot_show, damage, memory, methods, traps
from theobot.bench.report.marks import comments_of, human_marks, judged
from theobot.bench.report.model import QuestionRow, Report, in_order, is_different, is_flip
from theobot.bench.report.sections import FOOTER, counts, header, trust, verdict
from theobot.bench.report.words import SETS, group_name, harmless
from theobot.generation.generator import ARMS

if TYPE_CHECKING:
    from theobot.bench.scoring.scores import PointHit, Score

PLAIN_LIMIT = 1_200_000
"""Answers of more bytes than this are packed, so that the page stays below 2 MB."""

_SECTIONS = (
    verdict,
    trust,
    counts,
    examples,
    questions,
    damage,
    human_marks,
    judged,
    memory,
    traps,
    methods,
    cannot_show,
)
"""In the order in which a teacher needs them."""


def report_html(report: Report) -> str:
    """The whole page."""
    rows = in_order(report.rows, report.sets)
    report = report._replace(rows=rows)
    style, script = _page_file("report.css"), _page_file("report.js")
    policy = (
        f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en-GB">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(policy, quote=True)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{safe(report.title)}</title>",
            f"<style>{style}</style>",
            "</head>",
            "<body>",
            '<a class="skip" href="#verdict">To the verdict</a>',
            header(report),
            f"<main>{''.join(part(report) for part in _SECTIONS)}</main>",
            FOOTER,
            f'<script type="application/json" id="data">{_data(report)}</script>',
            f"<script>{script}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _page_file(name: str) -> str:
    return (files("theobot.bench.report") / "page" / name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    """The text's hash as a source of the security policy."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _data(report: Report) -> str:
    """What the script shows, as JSON in which no tag can begin or end."""
    comments = comments_of(report)
    rows = [_row(row, comments.get(row.id, [])) for row in report.rows]
    data: dict[str, Any] = {"arms": [harmless(arm) for arm in report.arms], "rows": rows}
    text = _dump(data)
    if len(text.encode()) > PLAIN_LIMIT:
        # mtime 0: the same report gives the same bytes.
        packed = gzip.compress(_dump(rows).encode(), compresslevel=9, mtime=0)
        text = _dump({"arms": data["arms"], "packed": base64.b64encode(packed).decode()})
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _row(row: QuestionRow, comments: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """A question as the script needs it; what is empty is left out."""
    scores = (row.base, row.theobot)
    value = {
        "id": harmless(row.id),
        "set": row.set,
        "setName": SETS[row.set][0] if row.set in SETS else harmless(group_name(row.set)),
        "theme": row.theme and harmless(group_name(row.theme)),
        "themeKey": row.theme and harmless(row.theme),
        "qtype": row.qtype and harmless(row.qtype.replace("_", " ")),
        "marks": row.marks,
        "question": harmless(row.question),
        "reference": row.reference and harmless(row.reference),
        "seen": row.seen_ref,
        "d": row.difference,
        "flip": is_flip(row) or None,
        "different": is_different(row) or None,
        "texts": [harmless(row.base_text), harmless(row.theobot_text)],
        "scores": [None if score is None else _score(score) for score in scores],
        "points": _points(row.base, row.theobot),
        "flags": [harmless(flag) for flag in row.flags],
        "citations": [
            [[harmless(part) for part in citation] for citation in row.citations.get(arm, ())]
            for arm in ARMS
        ],
        "comments": [{"arm": one["arm"], "text": harmless(one["text"])} for one in comments],
    }
    return {key: entry for key, entry in value.items() if entry not in (None, "") and entry != []}


def _score(score: Score) -> dict[str, Any]:
    value = {
        "got": round(score.value * score.marks, 2),
        "of": score.marks,
        "metric": score.metric.replace("_", " "),
        "words": score.words,
        "note": harmless(score.note),
    }
    return {key: entry for key, entry in value.items() if entry != ""}


def _points(base: Score | None, theobot: Score | None) -> list[list[Any]]:
    """The mark scheme once: text, marks, and per arm the words that were found, None if missed."""
    first, second = (score.points if score else () for score in (base, theobot))
    hits = {point.text: _found(point) for point in first}
    found: list[list[Any]] = []
    for point in second or first:
        own = _found(point) if second else None
        found.append([harmless(point.text), point.marks, hits.get(point.text), own])
    return found


def _found(point: PointHit) -> str | None:
    return harmless(point.found) if point.hit else None
