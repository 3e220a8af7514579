"""Check a file for scripture: every citation with its line, span, status and why.

Plain text is read as one passage; of JSONL every text that people read (prompt, completion,
question, reference, messages), each with the line of its row.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from theobot.errors import DataError
from theobot.scripture.citation import Citation, Status, Verdict
from theobot.scripture.finder import find_citations
from theobot.scripture.pseudo import PseudoScripture, find_pseudo_scripture

_FIELDS = (
    "prompt",
    "completion",
    "question",
    "reference",
    "instruction",
    "input",
    "output",
    "answer",
)


class Passage(NamedTuple):
    """A text of a file.

    Args:
        line: line of the file, from 1.
        field: key of the row, or None for plain text.
        text: the text.
    """

    line: int
    field: str | None
    text: str


class Found(NamedTuple):
    """A citation and where it stands.

    Args:
        line: line of the file, from 1.
        column: character in the line, from 1; in a row, character in the field's text.
        field: key of the row, or None for plain text.
        citation: the citation; its span indexes the passage's text.
    """

    line: int
    column: int
    field: str | None
    citation: Citation


class Saying(NamedTuple):
    """A saying that is no scripture, and where it stands, as in `Found`."""

    line: int
    column: int
    field: str | None
    saying: PseudoScripture


class Checked(NamedTuple):
    """What a file holds."""

    name: str
    citations: list[Found]
    sayings: list[Saying]

    def counts(self) -> dict[str, int]:
        """Citations of each status, and quotations and sayings that are wrong."""
        counted = Counter(found.citation.status for found in self.citations)
        differing = sum(differs(found.citation) for found in self.citations)
        counts = {status.value: counted[status] for status in Status}
        return {**counts, "quotation_differs": differing, "not_scripture": len(self.sayings)}

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Place, citation, status and why, for a table."""
        rows = []
        for line, column, field, citation in self.citations:
            where = f"{line}:{column}" + (f" {field}" if field else "")
            notes = [citation.reason]
            if citation.quotation is not None:
                verdict = citation.quotation.verdict.value.replace("_", " ")
                notes.append(f"quotation: {verdict} ({citation.quotation.reason})")
            why = "; ".join(note for note in notes if note)
            status = citation.status.value.replace("_", " ")
            rows.append((where, " ".join(citation.text.split()), status, why))
        return rows

    def remarks(self) -> list[str]:
        """One sentence for each saying that is no scripture, or that nothing was found."""
        remarks = [
            f'{line}:{column}  "{" ".join(saying.text.split())}" is no scripture: {saying.reason}'
            for line, column, _, saying in self.sayings
        ]
        if not remarks and not self.citations:
            remarks.append(f"{self.name}: no reference to scripture found.")
        return remarks

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "file": self.name,
            "counts": self.counts(),
            "citations": [_citation_json(found) for found in self.citations],
            "not_scripture": [
                {"line": at, "column": column, "field": field, **saying._asdict()}
                for at, column, field, saying in self.sayings
            ],
        }


def differs(citation: Citation) -> bool:
    """Whether the words quoted beside a citation are not those of the place."""
    quotation = citation.quotation
    return quotation is not None and quotation.verdict is Verdict.DIFFERS


def check_file(source: str) -> Checked:
    """Check a file, or standard input for "-".

    Raises:
        DataError: the file cannot be read.
    """
    name = "stdin" if source == "-" else Path(source).name
    return check_text(_read(source), name)


def check_text(text: str, name: str) -> Checked:
    """Check plain text or JSONL rows; the first line that is not empty shows which it is."""
    citations: list[Found] = []
    sayings: list[Saying] = []
    for passage in _passages(text):
        for citation in find_citations(passage.text):
            line, column = _position(passage, citation.start)
            citations.append(Found(line, column, passage.field, citation))
        for saying in find_pseudo_scripture(passage.text):
            line, column = _position(passage, saying.start)
            sayings.append(Saying(line, column, passage.field, saying))
    return Checked(name, citations, sayings)


def _read(source: str) -> str:
    try:
        if source == "-":
            octets = sys.stdin.buffer.read()
        else:
            octets = Path(source).expanduser().read_bytes()
    except IsADirectoryError:
        raise DataError(f"{source}: is a folder; a text or JSONL file was expected.") from None
    except FileNotFoundError:
        raise DataError(
            f"{source}: no such file. Type the path of a text or JSONL file, or - to read what is "
            "piped in."
        ) from None
    except OSError as error:
        raise DataError(f"{source}: cannot be read: {error.strerror}.") from None
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{source}: not UTF-8 (byte {error.start + 1}). Save the file as UTF-8."
        ) from None


def _passages(text: str) -> Iterator[Passage]:
    """The whole of a plain text, or each text of each row."""
    lines = text.split("\n")
    first = next((line for line in lines if line.strip()), "")
    if _row(first) is None:
        yield Passage(1, None, text)
        return
    for number, line in enumerate(lines, start=1):
        row = _row(line)
        if row is None:
            if line.strip():
                yield Passage(number, None, line)
            continue
        yield from (Passage(number, field, value) for field, value in _texts(row))


def _row(line: str) -> dict[str, Any] | None:
    if not line.lstrip().startswith("{"):
        return None
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _texts(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for field in _FIELDS:
        if isinstance(row.get(field), str):
            yield field, row[field]
    messages = row.get("messages")
    for index, message in enumerate(messages if isinstance(messages, list) else []):
        if isinstance(message, dict) and isinstance(message.get("content"), str):
            yield f"messages[{index}]", message["content"]


def _position(passage: Passage, at: int) -> tuple[int, int]:
    """Line and column, both from 1, of a character of a passage."""
    if passage.field is not None:
        return passage.line, at + 1
    before = passage.text.count("\n", 0, at)
    return passage.line + before, at - passage.text.rfind("\n", 0, at)


def _citation_json(found: Found) -> dict[str, Any]:
    citation = found.citation
    return {
        "line": found.line,
        "column": found.column,
        "field": found.field,
        **citation._asdict(),
        "quotation": citation.quotation and citation.quotation._asdict(),
    }
