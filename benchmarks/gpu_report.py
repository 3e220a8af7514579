"""What `gpu_check.py` found -> gpu.md and gpu.json, written anew after each part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

DONE, FAILED, NOT_MEASURED, RUNNING = "done", "failed", "not measured", "running"


class NotMeasured(Exception):
    """Why a part cannot be measured here."""


class Found(NamedTuple):
    """What one part measured: single figures by name, and rows of a table."""

    figures: dict[str, Any] = {}  # noqa: RUF012 - never changed
    table: list[dict[str, Any]] = []  # noqa: RUF012 - never changed


class Part(NamedTuple):
    """One part of the check.

    Attributes:
        name: as in `--only`.
        status: "done", "failed", "not measured" or "running" (then it has ended the whole check).
        seconds: that it took.
        found: what it measured.
        reason: why it failed or was not measured.
    """

    name: str
    status: str
    seconds: float = 0.0
    found: Found = Found()
    reason: str = ""


class Bar(NamedTuple):
    """A figure that has to be reached.

    Attributes:
        name: what is measured.
        found: None if it was not.
        needed: the least, or with `at_most` the most.
        form: format of the figures.
        at_most: whether less is better.
    """

    name: str
    found: float | None
    needed: float
    form: str
    at_most: bool = False

    @property
    def verdict(self) -> str:
        """One of "pass", "fail" and "not measured"."""
        if self.found is None:
            return NOT_MEASURED
        return "pass" if self.met else "fail"

    @property
    def met(self) -> bool:
        """Whether it was measured and is good enough."""
        if self.found is None:
            return False
        return self.found <= self.needed if self.at_most else self.found >= self.needed


def bars(parts: list[Part]) -> list[Bar]:
    """The figures that have to be reached, as far as they were measured."""
    figures = {part.name: part.found.figures for part in parts if part.status == DONE}
    ours = figures.get("theobot", {}).get("examples_per_second")
    theirs = figures.get("trl", {}).get("examples_per_second")
    memory = figures.get("memory", {})
    off = memory.get("prediction_off")
    off = None if off is None else abs(off)
    use = figures.get("theobot", {}).get("utilisation")
    times = ours / theirs if ours and theirs else None
    peak = memory.get("reserved_gib")
    return [
        Bar("model FLOP utilisation at 7B, at least", use, 0.45, ".1%"),
        Bar("times TRL's best setting, at least", times, 1.5, ".2f"),
        Bar("peak memory in GiB, at most", peak, 22.0, ".2f", at_most=True),
        Bar("memory prediction off by, at most", off, 0.1, ".1%", at_most=True),
    ]


class Report:
    """The report in a folder.

    Args:
        folder: for gpu.md and gpu.json; made if it is not there.
        judged: whether the bars mean anything (not with `--small`).
    """

    def __init__(self, folder: Path, *, judged: bool) -> None:
        self.folder, self.judged = folder, judged
        self.parts: list[Part] = []
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, part: Part) -> None:
        """Add a part, or replace what was said of it, and write both files."""
        self.parts = [*(one for one in self.parts if one.name != part.name), part]
        facts = {
            "parts": [{**part._asdict(), "found": part.found._asdict()} for part in self.parts],
            "bars": [{**bar._asdict(), "verdict": bar.verdict} for bar in self.bars],
        }
        text = json.dumps(facts, indent=2, ensure_ascii=False)
        (self.folder / "gpu.json").write_text(text + "\n", encoding="utf-8")
        (self.folder / "gpu.md").write_text(self.markdown(), encoding="utf-8")

    @property
    def bars(self) -> list[Bar]:
        """Empty if they mean nothing."""
        return bars(self.parts) if self.judged else []

    @property
    def good(self) -> bool:
        """Whether no part failed, and no bar that was measured."""
        failed = any(part.status in (FAILED, RUNNING) for part in self.parts)
        return not failed and all(bar.verdict != "fail" for bar in self.bars)

    def markdown(self) -> str:
        """All parts, and the bars at the end."""
        lines = ["# GPU check", ""]
        for part in self.parts:
            lines += [f"## {part.name}: {part.status}", ""]
            if part.reason:
                lines += ["```text", part.reason.strip(), "```", ""]
            lines += [
                f"- {_words(key)}: {_cell(value)}" for key, value in part.found.figures.items()
            ]
            if part.found.figures:
                lines.append("")
            lines += _table(part.found.table)
        lines += ["## Bars", "", *self.bar_lines(), ""]
        return "\n".join(lines)

    def bar_lines(self) -> list[str]:
        """A line for each bar."""
        if not self.judged:
            return ["Not judged: this was a small run, which only shows that the check works."]
        lines = []
        for bar in self.bars:
            found = "" if bar.found is None else f", found {bar.found:{bar.form}}"
            lines.append(f"- {bar.verdict}: {bar.name} {bar.needed:{bar.form}}{found}")
        return lines


def _table(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [[_words(name) for name in names], ["---"] * len(names)]
    lines += [[_cell(row.get(name, "")) for name in names] for row in rows]
    return [*(f"| {' | '.join(cells)} |" for cells in lines), ""]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _cell(value: Any) -> str:
    if value is None:
        return NOT_MEASURED
    return f"{value:.4g}" if isinstance(value, float) else str(value)
