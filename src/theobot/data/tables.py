"""Records of a CSV file -> rows of the seed's shape."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any, NamedTuple

from theobot.data.lines import Line
from theobot.data.loose_json import Found
from theobot.data.outcomes import Outcome, finish
from theobot.data.shapes import QUESTION_COLUMNS, from_cells


class Table(NamedTuple):
    """What a header says: columns in their order, and what stands between cells."""

    columns: list[str]
    delimiter: str


def read_header(header: str) -> Table | None:
    """The columns of a table's header, or None when the line is no such header."""
    for delimiter in ",;\t|":
        columns = [cell.strip().strip('"').lower() for cell in header.split(delimiter)]
        names = set(columns)
        pairs = QUESTION_COLUMNS.items()
        if len(names) == len(columns) and any({a, b} <= names for a, b in pairs):
            return Table(columns, delimiter)
    return None


class _Fed:
    """Hands lines to the csv module and remembers which ones a record took."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self.taken: list[Line] = []

    def __iter__(self) -> _Fed:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.taken.append(line)
        return line.whole


def repair_table(table: Table, lines: Iterator[Line]) -> Iterator[Outcome]:
    """Records of a table. The csv module refuses a cell of more than 131,072 letters."""
    fed = _Fed(lines)
    records = csv.reader(fed, delimiter=table.delimiter, strict=True)
    while True:
        fed.taken = []
        cells: list[str] = []
        reason = ""
        try:
            cells = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            reason = f"CSV: {error}"
        if fed.taken:
            yield _record(table, cells, reason, fed.taken)


def _record(table: Table, cells: list[str], reason: str, taken: list[Line]) -> Outcome:
    first, last = taken[0].number, taken[-1].number
    raw = "".join(line.whole for line in taken).removesuffix("\n").removesuffix("\r")
    reason = next((line.problem for line in taken if line.problem), reason)
    if all(line.is_blank for line in taken):
        return Outcome("blank", first, last)
    if not reason and len(cells) != len(table.columns):
        reason = f"CSV: {len(cells)} cells, {len(table.columns)} were expected"
    if reason:
        return Outcome("rejected", first, last, raw, (), reason)
    mended = tuple(dict.fromkeys(repair for line in taken for repair in line.repairs))
    row: dict[str, Any] = from_cells(table.columns, cells)
    return finish(Found(raw, row, ["CSV: a record"]), mended, first, last)
