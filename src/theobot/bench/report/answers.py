"""The questions of the HTML report: the telling ones first, then all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from theobot.bench.report.blocks import safe, section
from theobot.bench.report.model import (
    QuestionRow,
    Report,
    gains,
    is_different,
    is_flip,
    losses,
    random_rows,
)
from theobot.bench.report.words import SETS, group_name, points, row_facts, score_words

_CHANGED = 5


def examples(report: Report) -> str:
    """Largest losses first, then gains, then a seeded choice."""
    places = _places(report)
    parts = [
        '<p class="note">Open a question to see its mark scheme and both answers. Words that '
        "earned marks are highlighted; places in scripture are marked as found or not found.</p>"
        '<p class="note print-only">Of each list the first five are printed.</p>'
        '<noscript><p class="note">Without JavaScript the answers cannot be opened here; they '
        "stand in side_by_side.md.</p></noscript>"
    ]
    for key, title, found, nothing in (
        ("losses", "Largest losses", losses(report.rows), "No question was answered worse."),
        ("gains", "Largest gains", gains(report.rows), "No question was answered better."),
        (
            "random",
            "Ten at random",
            random_rows(report.rows, report.random_seed),
            "There are no questions.",
        ),
    ):
        body = _example_list(found, places) or f"<p>{nothing}</p>"
        hint = ""
        if key == "random":
            hint = (
                f'<p class="note">Drawn with seed {report.random_seed}, which the plan fixed: '
                "nobody picked them.</p>"
            )
        parts.append(f'<h3 id="{key}">{title}</h3>{hint}{body}')
    return section("examples", "Losses first, then gains", "".join(parts))


def _places(report: Report) -> dict[str, int]:
    """Where each question stands in the page's data."""
    return {row.id: place for place, row in enumerate(report.rows)}


def _example_list(found: Sequence[QuestionRow], places: Mapping[str, int]) -> str:
    items = "".join(
        f'<li><details class="question" data-n="{places[row.id]}"><summary>'
        f'<span class="facts {_sign(row.difference)}">{safe(row_facts(row))}</span>'
        f"<span>{safe(row.question)}</span></summary></details></li>"
        for row in found
    )
    return f'<ol class="examples">{items}</ol>' if items else ""


def _sign(difference: float | None) -> str:
    return "better" if (difference or 0) > 0 else "worse" if (difference or 0) < 0 else "even"


def questions(report: Report) -> str:
    """The light table; the script adds search, filters, sorting and the answers."""
    heads = ("Set", "Theme", "Marks", "Question", *report.arms, "Difference")
    keys = ("set", "theme", "marks", "question", "base", "theobot", "difference")
    head = "".join(
        f'<th scope="col" data-key="{key}">{safe(words)}</th>'
        for key, words in zip(keys, heads, strict=True)
    )
    body = "\n".join(_question_row(place, row) for place, row in enumerate(report.rows))
    return section(
        "questions",
        "All questions",
        f'{_filters(report)}<p class="print-only">The table of all '
        f"{len(report.rows)} questions is in the file and is not printed.</p>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Table of all questions">'
        f'<table id="table"><caption class="hidden-words">All questions</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>",
    )


def _question_row(place: int, row: QuestionRow) -> str:
    flags = "".join(f' <span class="tag">{safe(flag)}</span>' for flag in row.flags)
    flags += ' <span class="tag">flip</span>' * is_flip(row)
    name = SETS[row.set][0] if row.set in SETS else group_name(row.set)
    different = "" if is_different(row) else ' class="alike"'
    return (
        f'<tr data-n="{place}"{different}><td>{safe(name.removesuffix(" questions"))}</td>'
        f'<td>{safe(row.theme or "")}</td><td class="n">{row.marks or ""}</td>'
        f'<th scope="row"><span class="text">{safe(row.question)}</span>{flags}</th>'
        f'<td class="n">{safe(score_words(row.base))}</td>'
        f'<td class="n">{safe(score_words(row.theobot))}</td>'
        f'<td class="n {_sign(row.difference)}">{points(row.difference)}</td></tr>'
    )


def _filters(report: Report) -> str:
    sets = dict.fromkeys(row.set for row in report.rows)
    themes = sorted({row.theme for row in report.rows if row.theme})
    marks = sorted({row.marks for row in report.rows if row.marks is not None})
    shows = [
        ("different", "only where the marks differ"),
        ("flips", "only flips (one reaches half the marks)"),
        ("better", f"only {report.arms[1]} better"),
        ("worse", f"only {report.arms[1]} worse"),
        ("flagged", "only with a warning"),
    ]
    sorts = [("loss", "largest loss first"), ("gain", "largest gain first")]
    fields = [
        '<label class="wide">Search in questions and answers'
        '<input id="q" type="search" autocomplete="off" spellcheck="false"></label>',
        _select("set", "Set", [(key, group_name(key)) for key in sets]),
        _select("theme", "Theme", [(key, group_name(key)) for key in themes]),
        _select("marks", "Marks", [(str(key), str(key)) for key in marks]),
        _select("show", "Show", shows),
        _select("sort", "Order", sorts, first="by set"),
    ]
    return (
        f'<form id="filters" class="filters" role="search" hidden>{"".join(fields)}'
        '<button type="reset">Clear</button>'
        '<output id="found" aria-live="polite"></output></form>'
    )


def _select(key: str, label: str, choices: Sequence[tuple[str, str]], first: str = "all") -> str:
    if not choices:
        return ""
    options = "".join(f'<option value="{safe(v)}">{safe(words)}</option>' for v, words in choices)
    return (
        f'<label>{label}<select id="{key}"><option value="">{first}</option>{options}</select>'
        "</label>"
    )


def changed_examples(report: Report) -> str:
    """Out-of-domain answers that changed, losses first."""
    far = [row for row in report.rows if row.set == "out_of_domain"]
    changed = sorted(
        (row for row in far if row.base_text != row.theobot_text),
        key=lambda row: (row.difference or 0.0, row.id),
    )[:_CHANGED]
    if not changed:
        return ""
    found = _example_list(changed, _places(report))
    return f'<div id="changed"><h3>Changed answers out of domain</h3>{found}</div>'
