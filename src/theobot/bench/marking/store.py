"""The marks of all markers in one SQLite file, which can be killed at any moment without loss.

Nothing here says which answer is whose: answers stand under random ids, and the key lies elsewhere.
Judgements and events are only ever added; a correction is a new row, and the latest one counts.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from theobot.bench.marking.entries import MarkEntry, PreferEntry, entry_problems
from theobot.bench.marking.sample import Card, Mode
from theobot.errors import RunError

_VERSION = 1
_WAIT = 15.0
"""Seconds for which another process may be writing."""

_SCHEMA = """
CREATE TABLE session (
  id TEXT PRIMARY KEY, created TEXT NOT NULL, closed TEXT, plan_hash TEXT NOT NULL,
  seed INTEGER NOT NULL, sample INTEGER, left_out INTEGER NOT NULL,
  only_one INTEGER NOT NULL DEFAULT 1 UNIQUE CHECK (only_one = 1));
CREATE TABLE marker (
  id INTEGER PRIMARY KEY, alias TEXT NOT NULL UNIQUE COLLATE NOCASE,
  role TEXT NOT NULL CHECK (role IN ('all', 'shared')));
CREATE TABLE item (
  id TEXT PRIMARY KEY, question_id TEXT NOT NULL UNIQUE, set_name TEXT NOT NULL, theme TEXT,
  tariff INTEGER NOT NULL CHECK (tariff >= 1), cluster TEXT NOT NULL,
  alike INTEGER NOT NULL CHECK (alike IN (0, 1)));
CREATE TABLE answer (
  id TEXT PRIMARY KEY, item_id TEXT NOT NULL REFERENCES item, text_sha256 TEXT NOT NULL);
CREATE TABLE assignment (
  id TEXT PRIMARY KEY, marker_id INTEGER NOT NULL REFERENCES marker,
  mode TEXT NOT NULL CHECK (mode IN ('mark', 'prefer')),
  item_id TEXT NOT NULL REFERENCES item, left_answer TEXT NOT NULL REFERENCES answer,
  right_answer TEXT REFERENCES answer, order_no INTEGER NOT NULL,
  repeat_of TEXT REFERENCES assignment, tariff INTEGER NOT NULL,
  UNIQUE (marker_id, mode, order_no), UNIQUE (id, mode, tariff),
  CHECK ((mode = 'mark') = (right_answer IS NULL)));
CREATE TABLE mark (
  id INTEGER PRIMARY KEY, entry TEXT NOT NULL UNIQUE, card TEXT NOT NULL,
  mode TEXT NOT NULL DEFAULT 'mark' CHECK (mode = 'mark'), tariff INTEGER NOT NULL,
  marks INTEGER NOT NULL CHECK (marks BETWEEN 0 AND tariff), points TEXT NOT NULL,
  wrong INTEGER NOT NULL CHECK (wrong IN (0, 1)),
  scripture INTEGER NOT NULL CHECK (scripture IN (0, 1)), criteria TEXT NOT NULL,
  comment TEXT NOT NULL, ms INTEGER NOT NULL CHECK (ms >= 0), at TEXT NOT NULL,
  late INTEGER NOT NULL CHECK (late IN (0, 1)),
  FOREIGN KEY (card, mode, tariff) REFERENCES assignment (id, mode, tariff));
CREATE TABLE preference (
  id INTEGER PRIMARY KEY, entry TEXT NOT NULL UNIQUE, card TEXT NOT NULL,
  mode TEXT NOT NULL DEFAULT 'prefer' CHECK (mode = 'prefer'), tariff INTEGER NOT NULL,
  choice TEXT NOT NULL CHECK (choice IN ('left', 'right', 'equal', 'poor')),
  reasons TEXT NOT NULL, comment TEXT NOT NULL, ms INTEGER NOT NULL CHECK (ms >= 0),
  at TEXT NOT NULL, late INTEGER NOT NULL CHECK (late IN (0, 1)),
  FOREIGN KEY (card, mode, tariff) REFERENCES assignment (id, mode, tariff));
CREATE TABLE event (
  id INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL,
  detail TEXT NOT NULL CHECK (json_valid(detail)));
CREATE TRIGGER closed_once BEFORE UPDATE OF closed ON session WHEN OLD.closed IS NOT NULL
  BEGIN SELECT RAISE(ABORT, 'a session is closed once'); END;
"""
_APPEND_ONLY = """
CREATE TRIGGER {table}_{what} BEFORE {what} ON {table}
  BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END;
"""
_TABLES: dict[Mode, str] = {"mark": "mark", "prefer": "preference"}


class Session(NamedTuple):
    """What the marking is of. `left_out`: questions not drawn since an answer names its model."""

    id: str
    created: str
    closed: str | None
    plan_hash: str
    seed: int
    sample: int | None
    left_out: int


class Item(NamedTuple):
    """A question of the sample, under its random id."""

    id: str
    question_id: str
    set: str
    theme: str | None
    tariff: int
    cluster: str
    alike: bool


class Marker(NamedTuple):
    """Someone who marks: everything, or what all markers share."""

    alias: str
    role: Literal["all", "shared"]


class Judgement(NamedTuple):
    """The latest judgement of one card by its marker."""

    marker: str
    mode: Mode
    card: Card
    tariff: int
    entry: MarkEntry | PreferEntry
    late: bool


class Added(NamedTuple):
    """What became of entries: new ones, ones that were there already, and new but late ones."""

    new: int
    known: int
    late: int


class MarksStore:
    """One connection to the marks of a benchmark; not to be shared among threads.

    Args:
        path: the SQLite file; made when `create` is set.
        create: whether it may be made.

    Raises:
        RunError: it is missing, damaged, of another version, or cannot be written.
    """

    def __init__(self, path: Path, create: bool = False) -> None:
        if not create and not path.exists():
            raise RunError(
                f"{path}: no such file. `theobot mark pack DIR` begins a marking session."
            )
        self.path = path
        with self._explained():
            self._db = sqlite3.connect(path, timeout=_WAIT, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._make_tables()

    def __enter__(self) -> MarksStore:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the last one folds the write-ahead log into the file."""
        self._db.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside or nothing, with no other process writing meanwhile; may be nested."""
        if self._db.in_transaction:
            yield
            return
        with self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def session(self) -> Session | None:
        """The session, if it has begun."""
        rows = self._rows(f"SELECT {', '.join(Session._fields)} FROM session")
        return Session(*rows[0]) if rows else None

    def begin(self, session: Session, items: Sequence[Item], answers: Mapping[str, Any]) -> None:
        """Lay down what is to be marked.

        Args:
            session: its facts.
            items: the questions.
            answers: for each answer's id its item and the hash of its text.
        """
        with self.transaction():
            self._db.execute(
                f"INSERT INTO session ({', '.join(Session._fields)}) VALUES (?,?,?,?,?,?,?)",
                session,
            )
            self._db.executemany("INSERT INTO item VALUES (?,?,?,?,?,?,?)", items)
            # In the order of their random ids: the order of rows must not tell the arms.
            rows = sorted((key, *value) for key, value in answers.items())
            self._db.executemany("INSERT INTO answer VALUES (?,?,?)", rows)
            self._note("begun", questions=len(items))

    def items(self) -> list[Item]:
        """The questions of the sample."""
        return [
            Item(*row)._replace(alike=bool(row[-1])) for row in self._rows("SELECT * FROM item")
        ]

    def answer_hashes(self) -> dict[str, str]:
        """SHA-256 of each answer's text by the answer's id."""
        return dict(self._rows("SELECT id, text_sha256 FROM answer"))

    def markers(self) -> list[Marker]:
        """All markers in the order in which they were added."""
        return [Marker(*row) for row in self._rows("SELECT alias, role FROM marker ORDER BY id")]

    def assign(self, marker: Marker, mode: Mode, cards: Sequence[Card]) -> None:
        """Give a marker what to judge in this mode, once; a new marker is added."""
        with self.transaction():
            self._db.execute("INSERT OR IGNORE INTO marker (alias, role) VALUES (?, ?)", marker)
            tariffs = {item.id: item.tariff for item in self.items()}
            # Repeats last, since they refer to others.
            for card in sorted(cards, key=lambda card: card.repeats is not None):
                self._db.execute(
                    "INSERT INTO assignment SELECT ?, id, ?, ?, ?, ?, ?, ?, ? FROM marker "
                    "WHERE alias = ?",
                    (card.id, mode, *card[1:], tariffs[card.item], marker.alias),
                )
            self._note("assigned", marker=marker.alias, mode=mode, cards=len(cards))

    def cards(self, marker: str, mode: Mode) -> list[Card]:
        """What a marker sees, in order; empty when nothing was assigned in this mode."""
        return [Card(*row) for row in self._rows(
            "SELECT a.id, item_id, left_answer, right_answer, order_no, repeat_of "
            "FROM assignment a JOIN marker m ON m.id = marker_id "
            "WHERE alias = ? AND mode = ? ORDER BY order_no", (marker, mode)
        )]  # fmt: skip

    def add(
        self, marker: str, mode: Mode, entries: Sequence[MarkEntry | PreferEntry], source: str
    ) -> Added:
        """Add judgements, all or none; those that are there already are passed over.

        Args:
            marker: who judged.
            mode: how.
            entries: what; each must be of a card of this marker, within its tariff.
            source: the file they came from, or "server".

        Raises:
            RunError: an entry is of no card of this marker, above its tariff, or was imported
                before with other contents.
        """
        with self.transaction():
            tariffs = self._tariffs(marker, mode)
            known = self._entries(marker, mode)
            problems = [text for entry in entries for text in entry_problems(entry, tariffs, known)]
            problems += _repeated(entries) + self._of_others(marker, mode, entries)
            if problems:
                raise RunError([f"{source}: {problem}" for problem in problems])
            session = self.session()
            late = int(session is not None and session.closed is not None)
            new = list({entry.id: entry for entry in entries if entry.id not in known}.values())
            for entry in new:
                self._insert(mode, entry, tariffs[entry.card], late)
            if new:
                self._note("added", marker=marker, mode=mode, source=source, entries=len(new),
                           late=late)  # fmt: skip
        return Added(len(new), len(entries) - len(new), len(new) * late)

    def entries(self, marker: str, mode: Mode) -> list[MarkEntry | PreferEntry]:
        """Every judgement of a marker, corrected ones included, in the order of arrival."""
        return list(self._entries(marker, mode).values())

    def judgements(self, mode: Mode) -> list[Judgement]:
        """The latest judgement of every card, by marker and place."""
        latest: dict[str, Judgement] = {}
        rows = self._rows(
            f"SELECT m.alias, c.id, c.item_id, c.left_answer, c.right_answer, c.order_no, "
            f"c.repeat_of, c.tariff, j.* FROM {_TABLES[mode]} j JOIN assignment c ON c.id = j.card "
            "JOIN marker m ON m.id = c.marker_id ORDER BY m.id, c.order_no, j.at, j.id"
        )
        for row in rows:
            card, entry, late = Card(*row[1:7]), _entry(mode, row[8:]), bool(row[-1])
            latest[card.id] = Judgement(row[0], mode, card, row[7], entry, late)
        return list(latest.values())

    def close_session(self) -> str:
        """Note that the key has been opened, the first time; returns when that was."""
        with self.transaction():
            now = _now()
            self._db.execute("UPDATE session SET closed = ? WHERE closed IS NULL", (now,))
            self._note("closed")
            (closed,) = self._db.execute("SELECT closed FROM session").fetchone()
        return str(closed)

    def _make_tables(self) -> None:
        with self.transaction():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version == _VERSION:
                return
            if version != 0 or self._db.execute("SELECT 1 FROM sqlite_master").fetchone():
                raise RunError(
                    f"{self.path}: made by another version of Theobot. Use that one, or choose "
                    "another folder; nothing was changed."
                )
            guards = "".join(
                _APPEND_ONLY.format(table=table, what=what)
                for table in ("mark", "preference", "event")
                for what in ("UPDATE", "DELETE")
            )
            # executescript would commit first, and two processes may be starting at once.
            for statement in _statements(_SCHEMA + guards):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {_VERSION}")

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._explained():
            return self._db.execute(query, values).fetchall()

    def _tariffs(self, marker: str, mode: Mode) -> dict[str, int]:
        return dict(self._rows(
            "SELECT a.id, tariff FROM assignment a JOIN marker m ON m.id = marker_id "
            "WHERE alias = ? AND mode = ?", (marker, mode)
        ))  # fmt: skip

    def _entries(self, marker: str, mode: Mode) -> dict[str, MarkEntry | PreferEntry]:
        rows = self._rows(
            f"SELECT j.* FROM {_TABLES[mode]} j JOIN assignment a ON a.id = card "
            "JOIN marker m ON m.id = marker_id WHERE alias = ? ORDER BY j.id", (marker,)
        )  # fmt: skip
        return {row[1]: _entry(mode, row) for row in rows}

    def _of_others(
        self, marker: str, mode: Mode, entries: Sequence[MarkEntry | PreferEntry]
    ) -> list[str]:
        """Entries that bear the id of another marker's."""
        taken = {row[0] for row in self._rows(
            f"SELECT j.entry FROM {_TABLES[mode]} j JOIN assignment a ON a.id = card "
            "JOIN marker m ON m.id = marker_id WHERE alias <> ?", (marker,)
        )}  # fmt: skip
        return [f"entry {entry.id} is another marker's." for entry in entries if entry.id in taken]

    def _insert(self, mode: Mode, entry: MarkEntry | PreferEntry, tariff: int, late: int) -> None:
        values = {"entry": entry.id, "card": entry.card, "tariff": tariff}
        for key, value in entry.model_dump(exclude={"id", "card"}).items():
            values[key] = json.dumps(value) if isinstance(value, tuple | dict) else value
        values |= {"late": late}
        names, holes = ", ".join(values), ", ".join("?" * len(values))
        self._db.execute(
            f"INSERT INTO {_TABLES[mode]} ({names}) VALUES ({holes})", list(values.values())
        )

    def _note(self, kind: str, **detail: Any) -> None:
        row = (_now(), kind, json.dumps(detail, ensure_ascii=False))
        self._db.execute("INSERT INTO event (at, kind, detail) VALUES (?, ?, ?)", row)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as error:
            raise RunError(
                f"{self.path}: cannot be used: {error}. Close other programs that hold it, see "
                "that the disk has room, or restore the file; what was saved before is still there."
            ) from error


def _repeated(entries: Sequence[MarkEntry | PreferEntry]) -> list[str]:
    """Entries of which two bear the same id and say different things."""
    first: dict[str, MarkEntry | PreferEntry] = {}
    return [
        f"entry {entry.id} stands there twice, with different contents."
        for entry in entries
        if first.setdefault(entry.id, entry) != entry
    ]


def _entry(mode: Mode, row: Sequence[Any]) -> MarkEntry | PreferEntry:
    """A row of `mark` or `preference` as it came in."""
    if mode == "mark":
        _, entry, card, _, _, marks, points, wrong, scripture, criteria, comment, ms, at, _ = row
        return MarkEntry(
            id=entry, card=card, at=at, ms=ms, comment=comment, marks=marks,
            points=tuple(json.loads(points)), wrong=bool(wrong), scripture=bool(scripture),
            criteria=json.loads(criteria),
        )  # fmt: skip
    _, entry, card, _, _, choice, reasons, comment, ms, at, _ = row
    return PreferEntry(
        id=entry, card=card, at=at, ms=ms, comment=comment, choice=choice,
        reasons=tuple(json.loads(reasons)),
    )  # fmt: skip


def _statements(script: str) -> Iterator[str]:
    """The statements of a script one by one."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
