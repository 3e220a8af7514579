"""What people and, apart from them, a language model gave: sections of the HTML report.

The marks come as plain values, as `theobot mark close` wrote them (`MarkingResult.to_json`); what
is not known by name is listed as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from theobot.bench.report.blocks import comparison_table, facts, records, safe, section, table
from theobot.bench.report.judge import TITLE, judge_comparisons, judge_facts, judge_tables
from theobot.bench.report.model import Report, comparison_of, plain
from theobot.bench.report.words import UNKNOWN, count, describe
from theobot.generation.generator import ARMS

_ALWAYS = ("sentence", "withheld", "reasons", "notes", "mark", "prefer", "comments")
_AGREEMENT = {"alpha": "Agreement of all markers (Krippendorff's alpha)", "pairs": "Pairs"}
_WORST = 10

Plain = Mapping[str, Any]


def human_marks(report: Report) -> str:
    """What people gave, blind; withheld where they do not agree."""
    if not report.marks:
        return ""
    marks: Any = plain(report.marks)
    parts = [_lead(marks)]
    if marks.get("mark"):
        parts.append(_marked(marks["mark"], report.arms))
    if marks.get("prefer"):
        parts.append(_preferred(marks["prefer"], report.arms))
    rest = {key: value for key, value in marks.items() if key not in _ALWAYS and value}
    parts.append(facts(rest))
    parts += [f'<p class="note">{safe(note)}</p>' for note in marks.get("notes") or ()]
    return section("marks", "What people gave, blind", "".join(parts))


def judged(report: Report) -> str:
    """What a language model gave: always in its own place."""
    if not report.judge:
        return ""
    judge: Any = plain(report.judge)
    parts = [f"<p>{safe(judge.get('sentence') or '')}</p>"]
    parts += [f'<p class="note">{safe(note)}</p>' for note in judge.get("notes") or ()]
    comparisons = judge_comparisons(judge)
    if comparisons:
        parts.append("<h3>Key points, yes or no: marks in 100</h3>")
        parts.append(comparison_table("Marks by a language model", comparisons, report.arms))
    for one in judge_tables(judge, report.arms):
        parts.append(f"<h3>{safe(one.title)}</h3>{table(one.title, one.heads, one.rows)}")
    return section("judge", TITLE, "".join(parts) + facts(judge_facts(judge)))


def comments_of(report: Report) -> dict[str, list[dict[str, str]]]:
    """What markers wrote beside their marks, by question."""
    marks: Any = plain(report.marks or {})
    found: dict[str, list[dict[str, str]]] = {}
    for one in marks.get("comments") or ():
        entry = {"arm": str(one.get("arm") or ""), "text": str(one.get("text", ""))}
        found.setdefault(str(one.get("id")), []).append(entry)
    for mode in ("mark", "prefer"):
        for one in (marks.get(mode) or {}).get("disagreements") or ():
            for marker, text in (one.get("comments") or {}).items():
                entry = {"arm": str(one.get("arm") or ""), "text": f"{marker}: {text}"}
                found.setdefault(str(one.get("question_id")), []).append(entry)
    return found


def _lead(marks: Plain) -> str:
    if marks.get("withheld"):
        reasons = " ".join(map(str, marks.get("reasons") or ()))
        return f'<p class="lead">No verdict from marks: {safe(reasons)}</p>'
    return f'<p class="lead">{safe(marks["sentence"])}</p>' if marks.get("sentence") else ""


def _marked(mark: Plain, arms: tuple[str, str]) -> str:
    """Marks: by set, by tariff, faults, criteria, and how far the markers agree."""
    questions = count(mark.get("questions") or 0, "question")
    parts = [f"<h3>Marks, one answer at a time ({questions})</h3>"]
    comparisons = [comparison_of(one) for one in mark.get("comparisons") or ()]
    if comparisons:
        parts.append(comparison_table("Marks of people by set", comparisons, arms))
    rows = [
        (count(one["tariff"], "mark"), one["n"], _number(one["base"]), _number(one["theobot"]))
        for one in mark.get("tariffs") or ()
    ]
    if rows:
        parts.append(table("Mean marks by tariff", ("Tariff", "Questions", *arms), rows))
    faults = [
        (name, *(describe((mark.get(key) or {}).get(arm)) for arm in ARMS))
        for key, name in (("wrong", "factually wrong"), ("scripture", "wrong or false scripture"))
        if mark.get(key)
    ]
    if faults:
        parts.append(table("Faults that markers saw", ("", *arms), faults))
    known = ("questions", "comparisons", "tariffs", "wrong", "scripture")
    parts.append(_rest(mark, known, arms))
    return "".join(parts)


def _preferred(prefer: Plain, arms: tuple[str, str]) -> str:
    """Preferences: by question, the share of decisive ones, and whether the left side won."""
    wins, losses = prefer.get("wins") or 0, prefer.get("losses") or 0
    parts = [
        "<h3>Preferences, both answers side by side</h3>"
        f'<p class="lead">Of {count(prefer.get("questions") or 0, "question")}: '
        f"{safe(arms[1])} preferred on {wins}, {safe(arms[0])} on {losses}, "
        f"equal {prefer.get('equal') or 0}, both poor {prefer.get('poor') or 0}.</p>"
    ]
    if prefer.get("win_rate"):
        parts.append(
            f"<p>{safe(arms[1])}'s share of the decisive ones: "
            f"{safe(describe(prefer['win_rate']))}.</p>"
        )
    left = prefer.get("left") or {}
    if left.get("left"):
        parts.append(
            f"<p>The answer on the left was preferred in {safe(describe(left['left']))} of the "
            "decisive judgements; a half was expected.</p>"
        )
    known = ("questions", "wins", "losses", "equal", "poor", "win_rate", "left")
    parts.append(_rest(prefer, known, arms))
    return "".join(parts)


def _rest(values: Plain, known: tuple[str, ...], arms: tuple[str, str]) -> str:
    """Agreement, disagreements, and whatever else there is."""
    own = (*known, "disagreements", "markers", "withheld", "reasons")
    rest = {_AGREEMENT.get(k, k): v for k, v in values.items() if k not in own and v}
    parts = [facts(rest)]
    if values.get("markers"):
        parts.append(records("Markers", values["markers"]))
    names = dict(zip(ARMS, arms, strict=True))
    worst = [_disagreement(one, names) for one in (values.get("disagreements") or ())[:_WORST]]
    if worst:
        parts.append("<h4>To be talked over: where markers disagree most</h4>")
        parts.append(records("Disagreements", worst))
    return "".join(parts)


def _disagreement(one: Plain, names: Mapping[Any, str]) -> dict[str, Any]:
    """Without the comments, which stand beside the answers; arms by their names."""
    judged = {who: names.get(given, given) for who, given in (one.get("judged") or {}).items()}
    kept = {key: value for key, value in one.items() if key != "comments"}
    return kept | {"arm": names.get(one.get("arm")), "judged": judged}


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.1f}"
