"""A broken data file -> valid JSONL of the seed's shape, with an account of every line.

Each line of the input is in the output, in the rejected part, or named as blank. Nothing is closed
by guessing: what can be read in two ways is rejected with its reason.
"""

from __future__ import annotations

import contextlib
import errno
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple

from theobot.data.lines import Line, read_lines
from theobot.data.loose_json import Found, read_objects
from theobot.data.outcomes import Outcome, finish
from theobot.data.scanner import FIRST_KEY, FIRST_KEYS, WRITTEN_AS_TEXT
from theobot.data.strict_json import read_strict
from theobot.data.tables import read_header, repair_table
from theobot.errors import DataError
from theobot.run_folder import move_into_place

LARGEST_OBJECT = 1 << 20
"""Letters of an object over many lines, after which it is given up."""

_MOST_EXTRA_KEYS = 64
_QUOTE = "[\"'“”‘’]"
_ASKS = rf"{_QUOTE}(?:prompt|messages|instruction|question){_QUOTE}\s*+:"
_ASKS_AT_START = re.compile(rf"[\s,]*+{_ASKS}")
_ANSWERS = re.compile(rf"{_QUOTE}(?:completion|output|answer){_QUOTE}\s*+:")
_STARTS = re.compile(rf"[\s\[,;\]\ufeff]*+\{{[\s{{]*+{FIRST_KEY}")
_STARTS_WITHOUT_BRACE = re.compile(rf"[\s,]*+{_ASKS}.*\}}[\s,;\]]*\Z")
_MAY_START = re.compile(
    rf"(?P<indent>[ \t]*+)[\[,\s\ufeff]*+\{{\s*+"
    rf"(?:\Z|{_QUOTE}(?!(?:role|content){_QUOTE})[A-Za-z_][\w .-]*+{_QUOTE}\s*+:)"
)
_INDENT = re.compile(r"[ \t]*+")
_ENDS = re.compile(r"\}[\s,;\]\}]*+\Z")
_BRACKETS = re.compile(r"[\s\[\],;\ufeff]+")


class Repair(NamedTuple):
    """How the repair of a file went.

    Args:
        output: the valid rows.
        rejected: what could not be mended; None when everything could.
        counts: objects by kind of outcome.
        kinds: repairs by what was mended.
    """

    output: Path
    rejected: Path | None
    counts: dict[str, int]
    kinds: dict[str, int]


def repair_file(
    source: Path,
    output: Path,
    report: Path | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> Repair:
    """Mend a file line by line, in memory that does not grow with it.

    Args:
        source: JSONL, JSON or CSV in any usual encoding and state.
        output: the file to write; what is rejected goes to the same name with `.rejected`.
        report: a JSON file for all repairs, rejections and blank lines.
        on_outcome: told all of them but valid lines.

    Raises:
        DataError: the source cannot be read, or something stands where a file has to be written.
    """
    source, output = source.expanduser(), output.expanduser()
    report = report.expanduser() if report else None
    rejects = Path(f"{output}.rejected")
    _refuse(source, [output, rejects, *([report] if report else [])])
    written: dict[Path, Path] = {}
    try:
        with contextlib.ExitStack() as stack:

            def create(path: Path) -> IO[bytes]:
                path.parent.mkdir(parents=True, exist_ok=True)
                # Half a file under its own name would look like a whole one.
                written[path] = path.with_name(f".{path.name}.tmp")
                return stack.enter_context(written[path].open("wb"))

            account = _Account(source, create(report) if report else None)
            rows, bad = create(output), None
            for outcome in repair_lines(read_lines(source)):
                account.add(outcome)
                if on_outcome and outcome.kind != "valid":
                    on_outcome(outcome)
                if outcome.kind == "rejected":
                    bad = bad or create(rejects)
                    bad.write(_as_it_was(outcome.text) + b"\n")
                elif outcome.text:
                    rows.write(outcome.text.encode() + b"\n")
            account.close()
        for path, temporary in written.items():
            move_into_place(temporary, path)
    except BaseException as error:
        for temporary in written.values():
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            if error.filename == str(source):
                raise DataError(f"{source}: cannot be read: {error.strerror}.") from None
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            advice = "Free some space, or choose" if full else "Choose"
            raise DataError(
                f"{output}: cannot be written: {error.strerror or error}. Nothing was kept. "
                f"{advice} another place with -o."
            ) from None
        raise
    return Repair(output, rejects if bad else None, dict(account.counts), dict(account.kinds))


def _as_it_was(text: str) -> bytes:
    """Bytes that were no UTF-8 become what they were; half pairs of UTF-16 stay readable."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _refuse(source: Path, targets: list[Path]) -> None:
    if not source.is_file():
        what = "is a folder" if source.is_dir() else "no such file"
        raise DataError(f"{source}: {what}. Type `theobot data fix FILE -o NEW_FILE`.")
    if source.stat().st_size == 0:
        raise DataError(f"{source}: is empty; there is nothing to mend.")
    names = [path.resolve() for path in (source, *targets)]
    problems = [
        f"{path}: exists already, and nothing is overwritten. Choose another name."
        for path in targets
        if path.exists() or path.is_symlink()
    ]
    if not problems and len(set(names)) < len(names):
        problems = [f"{targets[-1]}: is named for two files. Choose another name."]
    if problems:
        raise DataError(problems)


class _Account:
    """Counts, and the report, which is written as it grows."""

    def __init__(self, source: Path, file: IO[bytes] | None) -> None:
        self.counts: Counter[str] = Counter(valid=0, repaired=0, rejected=0, blank=0)
        self.kinds: Counter[str] = Counter()
        self._file = file
        self._separator = "\n"
        self._last = 0
        self._write(f'{{"file": {json.dumps(str(source))}, "found": [')

    def add(self, outcome: Outcome) -> None:
        # A bracket of an array or a CSV header is no row, and is listed but not counted.
        if outcome.text or outcome.kind != "repaired":
            self.counts[outcome.kind] += 1
        self._last = max(self._last, outcome.last)
        self.kinds.update(kind_of(repair) for repair in outcome.repairs)
        if outcome.kind == "valid":
            return
        entry: dict[str, Any] = {
            "line": outcome.first,
            "last_line": outcome.last,
            "outcome": outcome.kind,
        }
        if outcome.repairs:
            entry["repairs"] = list(outcome.repairs)
        if outcome.reason:
            entry["reason"] = outcome.reason
        self._write(self._separator + json.dumps(entry))
        self._separator = ",\n"

    def close(self) -> None:
        summary = {"lines": self._last, **self.counts, "repairs": dict(self.kinds)}
        self._write(f'\n], "summary": {json.dumps(summary)}}}\n')

    def _write(self, text: str) -> None:
        if self._file:
            self._file.write(text.encode())


def kind_of(repair: str) -> str:
    """A repair without what is its own: the key, the count, the characters."""
    return re.split(r" (?:in|of|after|before) |: | \(", repair, maxsplit=1)[0]


def repair_lines(lines: Iterable[Line]) -> Iterator[Outcome]:
    """What becomes of each line, in their order. Together the outcomes cover every line."""
    lines = iter(lines)
    for line in lines:
        if line.is_blank:
            yield Outcome("blank", line.number, line.number)
            continue
        table = read_header(line.text)
        if table:
            yield Outcome(
                "repaired", line.number, line.number, "", (*line.repairs, "CSV: its header")
            )
            yield from repair_table(table, lines)
        else:
            yield from _Objects().repair(chain([line], lines))


class _Objects:
    """Lines -> objects. An object that is not over at the end of its line takes further ones."""

    def __init__(self) -> None:
        self._extra_keys: set[str] = set()
        self._held: list[Line] = []
        self._size = self._tried = 0

    def repair(self, lines: Iterable[Line]) -> Iterator[Outcome]:
        for line in lines:
            if self._held and self._starts(line):
                yield from self._settle()
            if not self._held:
                alone = self._alone(line)
                if alone is not None:
                    yield from alone
                    continue
            self._held.append(line)
            self._size += len(line.text) + 1
            if line.problem or self._size > LARGEST_OBJECT:
                yield from self._settle()
            elif self._may_end(line):
                self._tried += self._size
                found = self._read(self._held)
                if all(one.row is not None for one in found):
                    yield from self._settle(found)
        if self._held:
            yield from self._settle()

    def _alone(self, line: Line) -> list[Outcome] | None:
        """Lines that are settled at a glance: blank, a bracket of an array, or valid."""
        here = line.number
        if line.problem:
            return None
        if line.is_blank:
            return [Outcome("blank", here, here)]
        if _BRACKETS.fullmatch(line.text):
            repairs = (*line.repairs, "bracket or comma of an array")
            return [Outcome("repaired", here, here, "", repairs)]
        try:
            row = read_strict(line.text)
        except (ValueError, RecursionError):
            return None
        if isinstance(row, str) and row.lstrip().startswith("{"):
            return [self._outcome(one, line.repairs, here, here) for one in self._read([line])]
        if not isinstance(row, dict):
            return None
        return [self._outcome(Found(line.text, row, []), line.repairs, here, here)]

    def _starts(self, line: Line) -> bool:
        """Whether a line begins an object while another is open."""
        text = line.text
        if line.problem or _STARTS.match(text) or WRITTEN_AS_TEXT.match(text):
            return True
        if (
            _ASKS_AT_START.match(text)
            and self._held[0].text.strip() not in ("{", "[{")
            and _ANSWERS.search(text)
            and _STARTS_WITHOUT_BRACE.match(text)
        ):
            return True
        found = _MAY_START.match(text)
        if found is None:
            return False
        opened = _MAY_START.match(self._held[0].text)
        return opened is None or len(found["indent"]) <= len(opened["indent"])

    def _may_end(self, line: Line) -> bool:
        if not _ENDS.search(line.text[-200:]):
            return False
        if line.text.lstrip().startswith("}") and self._indent(line) > self._indent(self._held[0]):
            return False
        # Each attempt reads the object from its start: bounded, or it would be quadratic.
        return self._tried + self._size <= 16 * self._size + (1 << 16)

    @staticmethod
    def _indent(line: Line) -> int:
        found = _INDENT.match(line.text)
        return found.end() if found else 0

    def _read(self, lines: list[Line]) -> list[Found]:
        ended = [line for line in lines if line.ending]
        # Where each line ends so, that is the file's way; where some do, it is the text's.
        whole_file = all(line.ending == "\r\n" for line in ended)
        text = "\n".join(
            line.text + ("\r" if line.ending == "\r\n" and not whole_file else "") for line in lines
        )
        return read_objects(text, frozenset(self._extra_keys))

    def _settle(self, found: list[Found] | None = None) -> Iterator[Outcome]:
        """Say what became of the held lines, and let them go."""
        held, first, last = self._held, self._held[0].number, self._held[-1].number
        problem = next((line.problem for line in held if line.problem), "")
        if not problem and self._size > LARGEST_OBJECT and len(held) > 1:
            problem = f"no end of the object within {LARGEST_OBJECT:,} letters"
        raw = "".join(line.whole for line in held[:-1]) + held[-1].text
        if problem:
            found = [Found(raw, None, [], problem)]
        elif found is None:
            found = self._read(self._held)
        mended = tuple(dict.fromkeys(repair for line in held for repair in line.repairs))
        if len(held) > 1:
            mended = (*mended, f"one object on {len(held)} lines")
        self._held, self._size, self._tried = [], 0, 0
        for one in found:
            if len(found) == 1 and one.row is None:
                one = one._replace(text=raw)
            yield self._outcome(one, mended, first, last)

    def _outcome(self, one: Found, mended: tuple[str, ...], first: int, last: int) -> Outcome:
        if one.row is None:
            return Outcome("rejected", first, last, one.text, (), one.reason)
        if not one.repairs and len(self._extra_keys) < _MOST_EXTRA_KEYS:
            self._extra_keys.update(set(one.row).difference(FIRST_KEYS))
        return finish(one, mended, first, last)
