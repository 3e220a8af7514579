"""The tutorials are typed as they stand, in a folder of their own, and what comes back is compared.

In `docs/tutorials/*.md` a `console` block holds what is typed, and a `text` block what comes back:
`…` stands for anything within a line, and alone on a line for any lines. Comments before a
`console` block, which readers do not see, say the rest:

    <!-- not run: WHY -->              it installs something or opens a window
    <!-- exit: N -->                   the exit code; 0 without
    <!-- after: PAGE -->               what has to be typed before
    <!-- edit: FILE | OLD | NEW -->    what the text tells the reader to change
    <!-- marks: FILE, FILE -->         what the marking pages of `mark pack` save
    <!-- serve -->                     a server: started, asked and ended
    <!-- machine: NAME -->             a recorded machine of tests/unit/doctor/machines
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import runpy
import shlex
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from theobot import views
from theobot.cli import main
from theobot.doctor.facts import Facts
from theobot.doctor.finding import Severity
from theobot.doctor.findings import diagnose

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "tutorials"
MOST_NOT_RUN = 6
READ_MACHINE = runpy.run_path(str(ROOT / "tests/unit/doctor/conftest.py"))["read_machine"]

_PART = re.compile(r"<!-- (?P<note>.+?) -->|```(?P<kind>console|text)\n(?P<body>.*?)```", re.DOTALL)
_PROGRESS = re.compile(r"(?m)^(Training|Answering): \d+ of \d+.*\n")
"""On a terminal these are a bar."""


class Block(NamedTuple):
    """What is typed, with its notes, and what has to come back (None: not shown)."""

    commands: list[str]
    notes: dict[str, str]
    shown: str | None

    @property
    def run(self) -> bool:
        return "not run" not in self.notes


def blocks(page: Path) -> list[Block]:
    found: list[Block] = []
    notes: dict[str, str] = {}
    for part in _PART.finditer(page.read_text(encoding="utf-8")):
        if part["note"]:
            name, _, value = part["note"].partition(":")
            notes[name] = value.strip()
        elif part["kind"] == "console":
            found.append(Block(part["body"].splitlines(), notes, None))
            notes = {}
        else:
            assert found[-1].shown is None, f"{page.name}: two texts after {found[-1].commands}"
            found[-1] = found[-1]._replace(shown=part["body"])
    assert not notes, f"{page.name}: {notes} belongs to no command"
    return found


def pattern(shown: str) -> str:
    """A regular expression of whole outputs for a text with `…` in it."""
    lines = ["(?:.*\n)*" if line == "…" else _line(line) for line in shown.splitlines()]
    return "".join(lines)


def _line(line: str) -> str:
    # Columns are as wide as what stands in them.
    words = (" +".join(map(re.escape, re.split(" {2,}", part))) for part in line.split("…"))
    return ".*".join(words) + "\n"


class Reader:
    """Somebody who types what a page says, each page once."""

    def __init__(self, folder: Path, launch: Callable[..., Any]) -> None:
        self.folder, self.launch = folder, launch
        self.done: set[str] = set()
        self.standing: set[str] = set()
        (folder / "docs").mkdir()
        shutil.copytree(PAGES, folder / "docs" / "tutorials")

    def walk(self, name: str) -> None:
        """Type a page, and before it those that it names."""
        if name in self.done:
            return
        self.done.add(name)
        self.standing.add(name)
        for block in filter(lambda one: one.run, blocks(PAGES / name)):
            if before := block.notes.get("after"):
                self.walk(before)
                if before in self.standing:
                    pytest.skip(f"{before} failed")
            with contextlib.chdir(self.folder):
                told = self._type(block)
            if block.shown is not None:
                assert re.fullmatch(pattern(block.shown), told), (
                    f"{name}: {block.commands}\n--- shown\n{block.shown}\n--- came\n{told}"
                )
        self.standing.discard(name)

    def _type(self, block: Block) -> str:
        if "edit" in block.notes:
            edit(*(part.strip() for part in block.notes["edit"].split("|")))
        if "marks" in block.notes:
            save_marks(block.notes["marks"].split(", "))
        told = io.StringIO()
        for command in block.commands:
            program, *words = shlex.split(command)
            assert program == "theobot", command
            with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
                if "serve" in block.notes:
                    code = serve(self.launch, words, told)
                elif "machine" in block.notes:
                    code = doctor(block.notes["machine"])
                else:
                    code = main(words)
            assert code == int(block.notes.get("exit", 0)), f"{command}\n{told.getvalue()}"
        return _PROGRESS.sub("", told.getvalue())


def edit(file: str, old: str, new: str) -> None:
    text = Path(file).read_text(encoding="utf-8")
    assert text.count(old) == 1
    Path(file).write_text(text.replace(old, new), encoding="utf-8")


def save_marks(files: list[str]) -> None:
    """What the pages save (tests/browser/test_marking.py presses the keys): a mark for 60 words."""
    for marker, file in enumerate(files):
        page = next(Path().rglob(f"packs/{file.split('-')[1]}.html")).read_text(encoding="utf-8")
        data: dict[str, Any] = json.loads(
            page.partition('<script type="application/json" id="data">')[2].partition("<")[0]
        )
        entries = [
            {"id": f"{marker:04x}{number:016x}", "card": card["id"],
             "at": "2026-01-02T10:00:00.000Z", "ms": 30_000,
             "marks": min(card["marks"], len(card["answers"][0].split()) // 60)}
            for number, card in enumerate(data["cards"])
        ]  # fmt: skip
        head = {key: data[key] for key in ("format", "session", "marker", "mode")}
        saved = head | {"saved": "2026-01-02T11:00:00.000Z", "entries": entries}
        Path(file).write_text(json.dumps(saved), encoding="utf-8")


def doctor(machine: str) -> int:
    """`theobot doctor` on a recorded machine: all but the looking."""
    facts = Facts.model_validate(READ_MACHINE(machine)["facts"])
    findings = diagnose(facts)
    views.show_doctor(facts, findings)
    return int(any(one.severity is Severity.ERROR for one in findings))


def serve(launch, words: list[str], told: io.StringIO) -> int:
    """Start it on a free port, let a pupil with the class code in, and end it."""
    code = words[words.index("--class-code") + 1]
    server = launch(*words, "--port", 0)
    server.wait_for(lambda: re.search(f"{code}.*\n", server.err()))
    # As on a terminal, where the address on stdout stands between the notes on stderr.
    notes, marker, rest = server.err().partition("Token, shown")
    told.write(notes + server.out() + marker + rest)
    port = re.search(r"(?m)^http://[^/]+:(\d+)/$", server.out())
    assert port, server.out()
    address = f"http://127.0.0.1:{port[1]}"
    assert httpx2.get(f"{address}/").status_code == 200
    assert httpx2.get(f"{address}/about").status_code == 401
    seat = {"X-Class-Code": code, "X-Seat": "seat-0001"}
    about = httpx2.get(f"{address}/about", headers=seat).json()
    assert about["hints_first"]["on"]
    assert about["scripture"]["on"]
    server.send(signal.SIGINT)
    ended: int = server.end().code
    return ended


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, launch) -> Reader:
    return Reader(tmp_path_factory.mktemp("newcomer"), launch)


@pytest.mark.parametrize("page", sorted(path.name for path in PAGES.glob("[0-9]*.md")))
def test_what_a_tutorial_says_comes_back(reader: Reader, page: str):
    reader.walk(page)


def test_few_commands_are_not_run_and_each_says_why():
    left_out = [block for page in PAGES.glob("*.md") for block in blocks(page) if not block.run]
    assert all(block.notes["not run"] for block in left_out)
    assert len(left_out) <= MOST_NOT_RUN


def test_a_text_that_differs_is_noticed():
    assert re.fullmatch(pattern("a  b … d\n…\nz\n"), "a    b c d\nx\ny\nz\n")
    for other in ("a b c\nz\n", "a  b c d\nz\nmore\n", "a  b c d\nx\n"):
        assert not re.fullmatch(pattern("a  b … d\n…\nz\n"), other)
