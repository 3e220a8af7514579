"""What a language model gave, as tables that both the page and the Markdown file show.

Its place is apart from the scores and from what people gave; the values are those of judge.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from theobot.bench.comparison import Comparison
from theobot.bench.judge.prompts import CRITERIA
from theobot.bench.report.model import comparison_of
from theobot.bench.report.words import UNKNOWN, describe, group_name

TITLE = "What a language model gave (exploratory)"

Plain = Mapping[str, Any]


class JudgeTable(NamedTuple):
    """A table; its first column names the rows."""

    title: str
    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def judge_comparisons(judge: Plain) -> list[Comparison]:
    """By set the share of the key points' marks that the judge gave."""
    return [comparison_of(one) for one in judge.get("marks") or ()]


def judge_tables(judge: Plain, arms: tuple[str, str]) -> list[JudgeTable]:
    """Preferences, criteria and agreement with people, so far as there are any."""
    pairs = [
        (group_name(one["name"]), str(one["questions"]), str(one["wins"]), str(one["losses"]),
         str(one["ties"]), describe(one["win_rate"]), describe(one["consistent"]))
        for one in judge.get("preferences") or ()
    ]  # fmt: skip
    criteria = [
        (CRITERIA[name][0], f"{one['base']:.2f}", f"{one['theobot']:.2f}", str(one["n"]))
        for name, one in (judge.get("criteria") or {}).items()
    ]
    heads = ("", "n", f"{arms[1]} preferred", f"{arms[0]} preferred", "tie",
             f"{arms[1]}'s share of the decisive", "the same in both orders")  # fmt: skip
    tables = [
        JudgeTable("Preferences, each pair in both orders; disagreement is a tie", heads, pairs),
        JudgeTable("Criteria, means of 0 to 2", ("", *arms, "n"), criteria),
        JudgeTable("Agreement with people", ("", "n", "agreement"), _people(judge)),
    ]
    return [table for table in tables if table.rows]


def judge_facts(judge: Plain) -> dict[str, Any]:
    """Who was asked, with which words, and what became of it."""
    facts = {
        "judge": judge.get("judge"),
        "server": judge.get("server"),
        "prompt (SHA-256)": judge.get("prompt"),
        "most questions per set": judge.get("limit"),
        "requests": judge.get("requests"),
    }
    first = judge.get("first") or {}
    if first.get("left", {}).get("n"):
        facts["chose the answer shown first (a half was expected)"] = first["left"]
    return {name: value for name, value in facts.items() if value is not None}


def _people(judge: Plain) -> Sequence[tuple[str, ...]]:
    people = judge.get("people") or {}
    rows = []
    if marks := people.get("marks"):
        rows = [
            ("share of the marks: quadratic weighted kappa", str(marks["n"]), _two(marks["kappa"])),
            ("share of the marks: Spearman", str(marks["n"]), _two(marks["spearman"])),
        ]
    if found := people.get("preferences"):
        n = str(found["same"]["n"])
        rows.append(("preference: the same", n, describe(found["same"])))
        rows.append(("preference: Krippendorff's alpha", n, _two(found["alpha"])))
    return rows


def _two(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.2f}"
