"""A file in any usual encoding -> its lines as text, a block at a time."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from theobot.data.scanner import FIRST_KEYS

BLOCK = 1 << 20
"""Bytes read at a time. A longer line is taken apart between two of its objects."""

LONGEST = 1 << 24
"""Letters after which a line without such a place is taken apart anywhere."""

_OBJECT_ENDS = re.compile(rf'\}}[\s,]*+(?=\{{\s*+"(?:{"|".join(FIRST_KEYS)})"\s*+:)')
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Where a byte is no UTF-8, Python hands it on as one of these letters.
_BYTES = range(0xDC80, 0xDD00)
_UNDECODED = re.compile("[\udc80-\udcff]")


class Line(NamedTuple):
    r"""One line, or a part of a very long one.

    Args:
        number: its number, from 1.
        text: its letters, without the end of the line.
        ending: "\n", "\r\n", or "" at the end of the file or of a part.
        repairs: what was mended in reading it.
        problem: why it cannot be read as text.
    """

    number: int
    text: str
    ending: str
    repairs: tuple[str, ...] = ()
    problem: str = ""

    @property
    def is_blank(self) -> bool:
        """Whether nothing stands on it."""
        return not self.text.strip("\ufeff \t\r\n\0") and not self.problem

    @property
    def whole(self) -> str:
        """The line with its end."""
        return self.text + self.ending


def read_lines(path: Path) -> Iterator[Line]:
    """All lines of a file in UTF-8, UTF-16, Windows-1252 or Latin-1.

    Held at a time are one block and one line, and of a line longer than `LONGEST` a part.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        encoding, mark = _encoding(file)
        first = [f"byte order mark ({encoding})"] if mark else []
        if encoding != "utf-8":
            first.append(f"{encoding} became utf-8")
        for line in _split(_decoded(file, encoding)):
            repairs = [*first, *(["CRLF at the end of the line"] if line.ending == "\r\n" else [])]
            first = []
            if encoding == "utf-8":
                line = _as_windows(line)
            yield line._replace(repairs=(*repairs, *line.repairs))


def _encoding(file: BinaryIO) -> tuple[str, bool]:
    """The encoding, and whether a mark says so; the file then stands behind the mark."""
    start = file.read(4096)
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            file.seek(len(mark))
            return encoding, True
    file.seek(0)
    pairs = len(start) // 2
    # Nearly every other byte of plain English in UTF-16 is zero.
    if pairs and start[1::2].count(0) > 0.7 * pairs:
        return "utf-16-le", False
    if pairs and start[0::2].count(0) > 0.7 * pairs:
        return "utf-16-be", False
    return "utf-8", False


def _decoded(file: BinaryIO, encoding: str) -> Iterator[str]:
    errors = "surrogateescape" if encoding == "utf-8" else "surrogatepass"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    while block := file.read(BLOCK):
        yield decoder.decode(block)
    left = decoder.getstate()[0]
    yield left.decode("ascii", "surrogateescape") if encoding == "utf-8" else "\ufffd" * bool(left)


def _split(blocks: Iterator[str]) -> Iterator[Line]:
    number, rest = 1, ""
    for block in blocks:
        *lines, rest = (rest + block).split("\n")
        for text in lines:
            yield _line(number, text, "\n")
            number += 1
        if len(rest) > BLOCK:
            part, rest = _head(rest)
            if part:
                yield Line(number, part, "")
    if rest:
        yield _line(number, rest, "")


def _line(number: int, text: str, ending: str) -> Line:
    if ending and text.endswith("\r"):
        return Line(number, text[:-1], "\r\n")
    return Line(number, text, ending)


def _head(text: str) -> tuple[str, str]:
    """What of an unfinished line can be handed on, and the rest."""
    end = 0
    for between in _OBJECT_ENDS.finditer(text):
        end = between.end()
    if not end and len(text) > LONGEST:
        end = len(text)
    return text[:end], text[end:]


def _as_windows(line: Line) -> Line:
    """Read the bytes of a line that are no UTF-8 as Windows-1252, which holds Latin-1."""
    if line.text.isascii() or not _UNDECODED.search(line.text):
        return line
    if any(ord(letter) > 0x7F and ord(letter) not in _BYTES for letter in line.text):
        return line._replace(problem="mixes UTF-8 with another encoding")
    raw = line.text.encode("ascii", "surrogateescape")
    try:
        name, text = "Windows-1252", raw.decode("cp1252")
    except UnicodeDecodeError:
        name, text = "Latin-1", raw.decode("latin-1")
    return line._replace(text=text, repairs=(f"{name} became UTF-8",))
