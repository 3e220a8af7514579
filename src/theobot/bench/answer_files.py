"""The answer files, two a set, and the side-by-side page, written from saved answers alone.

Nothing here needs torch or a model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from theobot.bench.answers import AnswerRecord, rival_of_records
from theobot.bench.questions import SETS, TRAPS, Question
from theobot.bench.report.words import count
from theobot.generation.generator import ARMS, Arm
from theobot.run_folder import write_text

SIDE_BY_SIDE = "side_by_side.md"

_RULE = "-" * 72
_TITLES = {
    "in_domain": "In-domain questions",
    "near_domain": "Near-domain questions",
    "out_of_domain": "Out-of-domain questions",
    "trap": "Trap questions",
}


def write_answer_files(
    folder: Path, questions: Sequence[Question], records: Iterable[AnswerRecord]
) -> list[Path]:
    """Write `<arm>_<set>.txt` for both arms and all sets: id, question, then the answer.

    Args:
        folder: where to.
        questions: in the order in which they are to appear.
        records: the answers, in any order; a question without one is left out.

    Returns:
        The six paths, base before theobot within each set, and two more if there are traps.
    """
    by_key = {(record.id, record.arm): record for record in records}
    headings = rival_of_records(by_key.values()).headings
    names = {arm: heading.lower().replace(" ", "_") for arm, heading in headings.items()}
    paths = []
    for name in _sets(questions):
        for arm in ARMS:
            found = [by_key.get((q.id, arm)) for q in questions if q.set == name]
            path = folder / f"{names[arm]}_{name}.txt"
            write_text(path, "".join(_entry(record) for record in found if record is not None))
            paths.append(path)
    return paths


def write_side_by_side(
    folder: Path, questions: Sequence[Question], records: Iterable[AnswerRecord]
) -> Path:
    """Write one Markdown page: per set and question both answers and the reference, if known."""
    records = list(records)
    by_key = {(record.id, record.arm): record for record in records}
    names = rival_of_records(records).headings
    title = f"# {names['base']} and {names['theobot']} side by side\n"
    parts = [title, _conditions(records, names)]
    for name in _sets(questions):
        of_set = [question for question in questions if question.set == name]
        if of_set:
            parts.append(f"## {_TITLES[name]}\n")
        for question in of_set:
            parts.append(_section(question, by_key, names))
    path = folder / SIDE_BY_SIDE
    write_text(path, "\n".join(parts))
    return path


def _sets(questions: Sequence[Question]) -> list[str]:
    return [*SETS, TRAPS] if any(question.set == TRAPS for question in questions) else list(SETS)


def escape_markdown(text: str) -> str:
    """Make any text show as itself: no HTML, headings, links, lists, code or formulae."""
    return "\n".join(_escape_line(line) for line in text.splitlines())


def _escape_line(line: str) -> str:
    line = line.strip().replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"[\\`*_{}\[\]#|~$@]", r"\\\g<0>", line)
    line = re.sub(r":(?=//)|(?<=www)\.", r"\\\g<0>", line, flags=re.IGNORECASE)
    line = re.sub(r"^[-+=]", r"\\\g<0>", line)
    return re.sub(r"^(\d+)([.)])", r"\1\\\2", line)


def _entry(record: AnswerRecord) -> str:
    answer = record.text or "(no text)"
    return f"[{record.id}]\nQuestion: {record.question}\nAnswer: {answer}\n{_RULE}\n"


def _conditions(records: Sequence[AnswerRecord], names: Mapping[Arm, str]) -> str:
    if not records:
        return "No answers yet.\n"
    formats = {record.arm: record.prompt_format for record in records}
    asked = ", ".join(f"{names[arm]} in the {formats[arm]} format" for arm in formats)
    return f"Base model: {escape_markdown(records[0].model)}. Prompts: {asked}.\n"


def _section(
    question: Question,
    by_key: Mapping[tuple[str, Arm], AnswerRecord],
    names: Mapping[Arm, str],
) -> str:
    marks = "" if question.marks is None else f" ({count(question.marks, 'mark')})"
    parts = [
        f"### {escape_markdown(question.id)}{marks}\n",
        f"**Question.** {escape_markdown(question.text)}\n",
    ]
    for arm in ARMS:
        record = by_key.get((question.id, arm))
        if record is None:
            parts.append(f"**{names[arm]}**: no answer yet.\n")
            continue
        cut = f" (cut at {record.new_tokens} tokens)" if record.stop_reason == "length" else ""
        parts.append(f"**{names[arm]}**{cut}\n\n{quote(record.text or '(no text)')}\n")
    if question.reference is not None:
        parts.append(f"**Reference**\n\n{quote(question.reference)}\n")
    return "\n".join(parts)


def quote(text: str) -> str:
    """A block quote of Markdown that shows a text as itself, in its own lines."""
    lines = escape_markdown(text).split("\n")
    # Two spaces at the end of a line are Markdown's line break.
    return "\n".join(f"> {line}  " if line else ">" for line in lines)
