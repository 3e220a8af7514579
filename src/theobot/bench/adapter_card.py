"""What a benchmark found, written into the model card of the adapter that it judged."""

from __future__ import annotations

from pathlib import Path

from theobot.bench.report_model import Report
from theobot.bench.report_words import NOT_MARKED, group_name, interval_words, points, verdict_words
from theobot.model.adapter import WEIGHTS
from theobot.model.card import with_figures
from theobot.run_folder import RunFolder, file_sha256, write_text

ADAPTER_HASH = "adapter (SHA-256)"
"""Under this name the report's fingerprint has the hash of the adapter's weights."""


def tell_adapter_card(folder: Path, report: Report) -> Path | None:
    """Put the figures into the card of the run that a benchmark folder lies in.

    Nothing is written where the folder is no run's, the weights there are others than those that
    were judged, or the card has no place for figures: somebody else's card is left alone.

    Args:
        folder: of the benchmark, such as runs/first/bench.
        report: what was found.

    Returns:
        The card, if it was changed.
    """
    adapter = RunFolder(folder.absolute().parent).adapter
    card, weights = adapter / "README.md", adapter / WEIGHTS
    if not card.is_file() or not weights.is_file():
        return None
    if file_sha256(weights) != report.fingerprint.get(ADAPTER_HASH):
        return None
    changed = with_figures(card.read_text(encoding="utf-8"), figures(report))
    if changed is None:
        return None
    write_text(card, changed)
    return card


def figures(report: Report) -> str:
    """The decision and the sets, in Markdown."""
    parts = [f"**{report.decision.words}**"]
    rows = [
        f"| {group_name(one.name)} | {one.n} | {points(one.base, signed=False)} "
        f"| {points(one.theobot, signed=False)} | {points(one.difference.mean)} "
        f"| {interval_words(one.difference)} | {verdict_words(one)} |"
        for one in report.sets
        if one.n
    ]
    if rows:
        heads = "| Questions | n | Base | Theobot | Points | 95 % interval | Verdict |"
        parts.append("\n".join([heads, "| --- | --: | --: | --: | --: | --- | --- |", *rows]))
    if not report.marks:
        parts.append(NOT_MARKED)
    return "\n\n".join(parts)
