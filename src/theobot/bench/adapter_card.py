"""What a benchmark found, written into the model card of the adapter that it judged."""

from __future__ import annotations

from pathlib import Path

from theobot.bench.answer_files import escape_markdown
from theobot.bench.answers import AnswerRecord
from theobot.bench.report.model import Report, questions_judged
from theobot.bench.report.words import (
    NOT_MARKED,
    group_name,
    harmless,
    interval_words,
    plan_words,
    points,
    verdict_words,
)
from theobot.bench.rival import BASE, rival_of
from theobot.model.adapter import CONFIG, WEIGHTS
from theobot.model.card import with_figures
from theobot.run_folder import RunFolder, file_sha256, write_text


def tell_adapter_card(folder: Path, record: AnswerRecord, report: Report) -> Path | None:
    """Put the figures into the card of the run that a benchmark folder lies in.

    Nothing is written where the folder is no run's, the weights there are others than those that
    were judged, or the card has no place for figures: somebody else's card is left alone. A card
    tells of adapter against base: not of another comparison, nor of what a server answered, which
    nobody here has seen load these weights.

    Args:
        folder: of the benchmark, such as runs/first/bench.
        record: any of its answers.
        report: what was found.

    Returns:
        The card, if it was changed.
    """
    adapter = RunFolder(folder.absolute().parent).adapter
    card, weights, settings = adapter / "README.md", adapter / WEIGHTS, adapter / CONFIG
    if rival_of(record._asdict()) != BASE or record.decoding.get("context") == "server":
        return None
    if not all(file.is_file() for file in (card, weights, settings)):
        return None
    judged = (record.adapter_sha256, record.adapter_config_sha256)
    if (file_sha256(weights), file_sha256(settings)) != judged:
        return None
    changed = with_figures(card.read_text(encoding="utf-8"), figures(report))
    if changed is None:
        return None
    write_text(card, changed)
    return card


def figures(report: Report) -> str:
    """The decision, what of the plan was changed, and the sets, in Markdown."""
    parts = [f"**{report.decision.words}**"]
    if report.plan_status != "planned":
        # It quotes the plan, which may be a stranger's file.
        parts.append(escape_markdown(" ".join(harmless(plan_words(report)).split())))
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
    if not questions_judged(report.marks):
        parts.append(NOT_MARKED)
    return "\n\n".join(parts)
