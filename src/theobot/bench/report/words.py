"""The words and numbers of a report, the same on the page, in Markdown and in the charts.

Differences are given as points in 100 marks with one decimal, because teachers think in marks.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from theobot.bench.comparison import Comparison, Verdict
from theobot.bench.report.model import (
    Light,
    QuestionRow,
    Report,
    comparison_of,
    interval_of,
    plain,
)
from theobot.bench.statistics import Interval, Rate
from theobot.curriculum.shares import THEMES

if TYPE_CHECKING:
    from theobot.bench.scoring.scores import Score

UNKNOWN = "–"
MINUS = "−"

NOT_MARKED = "Automatic score, not yet checked against a teacher."
NO_MARK_SCHEME = (
    "These questions have no mark scheme, so no score could be given. Both answers to each stand "
    "below; blind marking by people gives a verdict."
)

SETS = {
    "in_domain": ("In-domain questions", "what it was trained for"),
    "near_domain": ("Near-domain questions", "neighbouring subjects"),
    "out_of_domain": ("Out-of-domain questions", "everything else: was anything damaged?"),
    "trap": ("Trap questions", "each holds something false that should be noticed"),
}
SYMBOLS = {
    Verdict.BETTER: "▲",
    Verdict.WORSE: "▼",
    Verdict.SLIGHTLY_WORSE: "▽",
    Verdict.SAME: "=",
    Verdict.NOT_WORSE: "≥",
    Verdict.CANNOT_TELL: "?",
}
LIGHTS = {
    "good": ("✓", "Good"),
    "warn": ("!", "Look"),
    "bad": ("✕", "Problem"),
    "unknown": ("?", "Not checked"),
}

# Controls, bidirectional overrides, half characters and noncharacters: a terminal or browser would
# obey them or refuse them. Letters of any script, joiners and left-to-right marks stay.
_HARMFUL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff"
    "\ufff9-\ufffb\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)


def harmless(text: str) -> str:
    """The text with every character that shows nothing, but does something, made visible."""
    return _HARMFUL.sub(_picture, text.replace("\r\n", "\n").replace("\r", "\n"))


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\N{SYMBOL FOR DELETE}" if code == 0x7F else f"⟨U+{code:04X}⟩"


def points(share: float | None, *, signed: bool = True) -> str:
    """A share of the marks as points in 100, such as "+5.2"; a dash when unknown."""
    if share is None or not math.isfinite(share):
        return UNKNOWN
    rounded = f"{100 * share:+.1f}" if signed else f"{100 * share:.1f}"
    if float(rounded) == 0:
        return "0.0"
    return rounded.replace("-", MINUS)


def p_words(p: float | None) -> str:
    """A p value, such as "0.031"; a dash when there is none."""
    return UNKNOWN if p is None or not math.isfinite(p) else f"{p:.3g}"


def percent(share: float | None) -> str:
    """A share, such as "61.3 %"."""
    return f"{points(share, signed=False)} %"


def interval_words(interval: Interval) -> str:
    """Both ends in points."""
    if not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return "too few questions for an interval"
    return f"{points(interval.low)} to {points(interval.high)}"


def rate_words(rate: Rate) -> str:
    """Share, counts and interval: "5.0 % (6 of 120; 2.3 to 10.5)"."""
    if rate.n == 0:
        return UNKNOWN
    low, high = points(rate.low, signed=False), points(rate.high, signed=False)
    return f"{percent(rate.value)} ({rate.successes} of {rate.n}; {low} to {high})"


def count(number: int, noun: str) -> str:
    """Number and noun: "1 question", "2 questions"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def group_name(name: str) -> str:
    """A set, theme or tariff as a person calls it; any other name as it is."""
    if name in SETS:
        return SETS[name][0]
    if name in THEMES:
        return f"{name}: {THEMES[name]}"
    name = name.strip()
    if name.isdigit():
        return count(int(name), "mark")
    return name[:1].upper() + name[1:].replace("_", " ")


def verdict_words(one: Comparison) -> str:
    """What can be said, in the words of the plan."""
    margin = points(one.margin, signed=False)
    return {
        Verdict.BETTER: "Better",
        Verdict.WORSE: "Worse",
        Verdict.SLIGHTLY_WORSE: "Slightly worse, within the agreed margin",
        Verdict.SAME: f"Same within ±{margin} points",
        Verdict.NOT_WORSE: f"Not worse than {margin} points; an improvement is not shown",
        Verdict.CANNOT_TELL: "Cannot tell",
    }[one.verdict]


def counts_words(one: Comparison) -> str:
    """For a teacher: "Of 120 questions: 41 better, 58 equal, 21 worse."."""
    if one.n == 0:
        return "No question could be scored."
    return (
        f"Of {count(one.n, 'question')}: {one.better} better, {one.equal} equal, {one.worse} worse."
    )


def means_words(one: Comparison, arms: tuple[str, str]) -> str:
    """Mean marks of both arms and their difference with its interval."""
    if one.n == 0:
        return ""
    return (
        f"Out of every 100 marks {arms[1]} earned {points(one.theobot, signed=False)} and "
        f"{arms[0]} {points(one.base, signed=False)}: {points(one.difference.mean)} points "
        f"(95 % interval {interval_words(one.difference)})."
    )


def open_words(one: Comparison) -> str:
    """Where it cannot tell: what this many questions can show, and how many more would do."""
    if one.verdict is not Verdict.CANNOT_TELL or one.n == 0:
        return ""
    words = ""
    if one.detectable is not None and math.isfinite(one.detectable):
        least = points(one.detectable, signed=False)
        words = f"These {one.n} questions can only show differences of {least} points or more. "
    if one.more_questions is not None:
        more = count(one.more_questions, "more question")
        words += f"About {more} would settle whether the agreed margin is kept{cut_words(one)}."
    return words.strip()


def cut_words(one: Comparison) -> str:
    """What has to change first, where cut answers refuse a verdict."""
    return ", once answers are no longer cut" if one.cut else ""


def date_words(created: str) -> str:
    """An ISO date as people write it; anything else as it is."""
    try:
        when = datetime.fromisoformat(created)
    except ValueError:
        return created
    return f"{when.day} {when:%B %Y, %H:%M %Z}".strip()


def plan_words(report: Report) -> str:
    """Whether the plan was kept, and what was changed."""
    if report.plan_status == "planned":
        return "Planned: what is claimed was fixed before any answer was seen."
    status = f"{report.plan_status[:1].upper()}{report.plan_status[1:]}"
    return f"{status}: {'; '.join(report.plan_changes)}." if report.plan_changes else f"{status}."


def light_words(lights: Sequence[Light]) -> str:
    """How many checks came out how: "5 of 7 checks good, 2 not done"."""
    found = [light.state for light in lights]
    words = [f"{found.count('good')} of {count(len(found), 'check')} good"]
    words += [f"{found.count('warn')} to look at"] * ("warn" in found)
    words += [count(found.count("bad"), "problem")] * ("bad" in found)
    words += [f"{found.count('unknown')} not done"] * ("unknown" in found)
    return ", ".join(words)


def score_words(score: Score | None, *, of: bool = True) -> str:
    """Marks earned: "3 of 4", or only "3"; shares of a mark with one decimal."""
    if score is None:
        return UNKNOWN
    earned = score.value * score.marks
    shown = f"{earned:.0f}" if abs(earned - round(earned)) < 0.05 else f"{earned:.1f}"
    return f"{shown} of {score.marks}" if of else shown


def row_facts(row: QuestionRow) -> str:
    """Difference, tariff and theme of a question in one line."""
    parts = ["no score"]
    if row.difference is not None and row.theobot is not None:
        earned = f"{score_words(row.base, of=False)} → {score_words(row.theobot, of=False)}"
        marks = count(row.theobot.marks, "mark")
        parts = [f"{points(row.difference)} points", f"{earned} of {marks}"]
    elif row.marks is not None:
        parts.append(count(row.marks, "mark"))
    parts.append(group_name(row.theme) if row.theme else group_name(row.set))
    return " · ".join(parts)


def adjusted_words(adjusted: Mapping[str, Any]) -> str:
    """The difference as measured and at equal length; says so when their signs differ."""
    raw, equal = adjusted.get("raw"), adjusted.get("adjusted")
    words = f"As measured {_effect(raw)}; at equal length of both answers {_effect(equal)}."
    signs = [_mean(value) for value in (raw, equal)]
    if None not in signs and signs[0] * signs[1] < 0:  # type: ignore[operator]
        words += " The two point in different directions: length may explain the difference."
    return words


def describe(value: object) -> str:
    """Any entry of a free dictionary in words; numbers beside a mean are taken as points."""
    value = plain(value)
    if isinstance(value, Mapping):
        return _describe_group(value)
    if isinstance(value, list):
        return "; ".join(describe(entry) for entry in value) or UNKNOWN
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}".replace("-", MINUS) if isinstance(value, float) else str(value)


def _describe_group(value: Mapping[str, Any]) -> str:
    keys = set(value)
    if {"difference", "verdict", "n"} <= keys:
        one = comparison_of(value)
        difference = f"{points(one.difference.mean)} points, {interval_words(one.difference)}"
        return f"{verdict_words(one)} ({difference}; n = {one.n})"
    if {"mean", "low", "high", "n"} <= keys:
        interval = interval_of(value)
        return f"{points(interval.mean)} points (95 % interval {interval_words(interval)})"
    if {"successes", "n", "value", "low", "high"} <= keys:
        return rate_words(Rate(**value))
    simple = all(not isinstance(entry, (Mapping, list)) for entry in value.values())
    if simple:
        return ", ".join(f"{name}: {describe(entry)}" for name, entry in value.items()) or UNKNOWN
    return json.dumps(value, ensure_ascii=False)


def _effect(value: object) -> str:
    return f"{points(value)} points" if isinstance(value, (int, float)) else describe(value)


def _mean(value: object) -> float | None:
    value = plain(value)
    mean = value.get("mean") if isinstance(value, Mapping) else value
    return mean if isinstance(mean, (int, float)) else None
