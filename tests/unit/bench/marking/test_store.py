from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from theobot.bench.marking.entries import MarkEntry, PreferEntry
from theobot.bench.marking.sample import Card
from theobot.bench.marking.store import Item, Marker, MarksStore, Session
from theobot.errors import RunError

SESSION = Session("s1", "2026-01-01T00:00:00Z", None, "plan", 7, None, 0)
ITEMS = [
    Item("i1", "q1", "in_domain", "A", 6, "Ruth 1:16", False),
    Item("i2", "q2", "near_domain", None, 1, "q2", False),
]
ANSWERS = {"a1": ("i1", "h1"), "a2": ("i1", "h2"), "a3": ("i2", "h3"), "a4": ("i2", "h4")}
C1, C2, C3, P1 = "0" * 11 + "1", "0" * 11 + "2", "0" * 11 + "3", "0" * 11 + "4"
CARDS = [
    Card(C3, "i1", "a1", None, 2, C1),
    Card(C1, "i1", "a1", None, 0, None),
    Card(C2, "i2", "a3", None, 1, None),
]


@pytest.fixture
def store(tmp_path: Path):
    with MarksStore(tmp_path / "marks.sqlite", create=True) as made:
        made.begin(SESSION, ITEMS, ANSWERS)
        made.assign(Marker("Anna", "all"), "mark", CARDS)
        made.assign(Marker("Anna", "all"), "prefer", [Card(P1, "i1", "a2", "a1", 0, None)])
        yield made


def mark(number: int, card: str, marks: int, at: str = "2026-01-02T10:00:00.000Z", **more):
    return MarkEntry(id=f"{number:020x}", card=card, at=at, ms=1000, marks=marks, **more)


@contextlib.contextmanager
def raw_database(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        yield database


def test_everything_comes_back_as_it_went_in(store: MarksStore):
    assert store.session() == SESSION
    assert store.items() == ITEMS
    assert store.markers() == [Marker("Anna", "all")]
    assert [card.id for card in store.cards("anna", "mark")] == [C1, C2, C3]
    whole = mark(1, C1, 5, points=(0, 3), wrong=True, criteria={"clear": 2}, comment="Qur'an ﷺ\n")
    choice = PreferEntry(id="b" * 20, card=P1, at="2026-01-02T10:00:00Z", ms=5, choice="left",
                         reasons=("clear", "task"))  # fmt: skip
    assert store.add("anna", "mark", [whole], "file") == (1, 0, 0)
    assert store.add("anna", "prefer", [choice], "file") == (1, 0, 0)
    assert store.entries("anna", "mark") == [whole]
    assert store.entries("anna", "prefer") == [choice]
    [judged] = store.judgements("mark")
    assert (judged.marker, judged.card.id, judged.tariff, judged.late) == ("Anna", C1, 6, False)


def test_a_file_can_be_imported_twice_and_a_correction_is_a_new_row(store: MarksStore):
    first, better = mark(1, C1, 2), mark(2, C1, 4, at="2026-01-02T11:00:00.000Z")
    assert store.add("Anna", "mark", [first, better], "one") == (2, 0, 0)
    assert store.add("Anna", "mark", [better, first], "again") == (0, 2, 0)
    assert [one.entry for one in store.judgements("mark")] == [better]
    assert store.entries("Anna", "mark") == [first, better]
    # The time counts, not the order of import.
    middle = mark(3, C1, 3, at="2026-01-02T10:30:00.000Z")
    store.add("Anna", "mark", [middle], "late file")
    assert [one.entry for one in store.judgements("mark")] == [better]


def test_wrong_entries_are_refused_together_and_nothing_is_taken(store: MarksStore):
    store.add("Anna", "mark", [mark(1, C1, 2)], "one")
    wrong = [mark(2, C2, 1), mark(3, "f" * 12, 0), mark(4, C2, 2), mark(1, C1, 6)]
    with pytest.raises(RunError) as caught:
        store.add("Anna", "mark", wrong, "anna.json")
    assert len(caught.value.problems) == 3
    assert all(problem.startswith("anna.json: ") for problem in caught.value.problems)
    assert "has 2 marks, but the question is worth 1" in str(caught.value)
    assert "was changed since it was imported" in str(caught.value)
    assert len(store.entries("Anna", "mark")) == 1


def test_the_database_itself_refuses_marks_above_the_tariff_and_false_cards(store: MarksStore):
    store.add("Anna", "mark", [mark(1, C1, 6)], "one")
    with raw_database(store.path) as raw:
        raw.execute("PRAGMA foreign_keys = ON")
        copy = "INSERT INTO mark (entry, card, tariff, marks, points, wrong, scripture, criteria, "
        copy += "comment, ms, at, late) VALUES (?, ?, ?, ?, '[]', 0, 0, '{}', '', 0, 'now', 0)"
        for card, tariff, marks in [(C1, 6, 7), (C1, 6, -1), (C2, 6, 3), (P1, 6, 3), ("x", 1, 1)]:
            with pytest.raises(sqlite3.IntegrityError):
                raw.execute(copy, ("e", card, tariff, marks))


@pytest.mark.parametrize("table", ["mark", "preference", "event"])
def test_nothing_that_was_judged_can_be_changed_or_removed(store: MarksStore, table):
    store.add("Anna", "mark", [mark(1, C1, 6)], "one")
    entry = PreferEntry(id="b" * 20, card=P1, at="2026-01-02T10:00:00Z", ms=5, choice="poor")
    store.add("Anna", "prefer", [entry], "one")
    with raw_database(store.path) as raw:
        for statement in (f"UPDATE {table} SET at = 'x'", f"DELETE FROM {table}"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                raw.execute(statement)


def test_a_session_is_closed_once_and_later_marks_are_flagged(store: MarksStore):
    store.add("Anna", "mark", [mark(1, C1, 6)], "one")
    closed = store.close_session()
    assert store.close_session() == closed
    assert store.add("Anna", "mark", [mark(2, C2, 1)], "two") == (1, 0, 1)
    assert [one.late for one in store.judgements("mark")] == [False, True]
    with raw_database(store.path) as raw, pytest.raises(sqlite3.IntegrityError):
        raw.execute("UPDATE session SET closed = 'another day'")
    with raw_database(store.path) as raw:
        kinds = [kind for (kind,) in raw.execute("SELECT kind FROM event ORDER BY id")]
    assert kinds == ["begun", "assigned", "assigned", "added", "closed", "closed", "added"]


def test_the_write_ahead_log_and_foreign_keys_are_on(store: MarksStore):
    with raw_database(store.path) as raw:
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_missing_damaged_and_foreign_files_get_a_sentence(tmp_path: Path):
    with pytest.raises(RunError, match="theobot mark pack"):
        MarksStore(tmp_path / "none.sqlite")
    (tmp_path / "text.sqlite").write_text("these are no marks " * 100)
    with pytest.raises(RunError, match="cannot be used"):
        MarksStore(tmp_path / "text.sqlite")
    with raw_database(tmp_path / "other.sqlite") as raw:
        raw.execute("CREATE TABLE other (x)")
    with pytest.raises(RunError, match="another version"):
        MarksStore(tmp_path / "other.sqlite")


@pytest.mark.parametrize(
    "change",
    [
        {"id": "short"}, {"id": "g" * 20}, {"card": "1"}, {"at": "yesterday"}, {"ms": -1},
        {"marks": -1}, {"marks": 1.5}, {"marks": "3"}, {"marks": True}, {"points": [-1]},
        {"wrong": 1}, {"criteria": {"clear": 3}}, {"criteria": {"style": 1}},
        {"comment": "x" * 4001}, {"more": 1}, {"id": "a" * 20 + "\n"},
    ],
)  # fmt: skip
def test_entries_are_checked_to_the_letter(change):
    sound = {"id": "a" * 20, "card": C1, "at": "2026-01-02T10:00:00.000Z", "ms": 1, "marks": 3}
    MarkEntry.model_validate(sound)
    with pytest.raises(ValidationError):
        MarkEntry.model_validate(sound | change)


def test_an_entry_that_stands_twice_with_other_contents_is_refused(store):
    with pytest.raises(RunError, match="stands there twice"):
        store.add("Anna", "mark", [mark(1, C1, 2), mark(1, C1, 3)], "file")
    assert store.entries("Anna", "mark") == []


def test_an_entry_with_the_id_of_another_markers_is_refused(store):
    other = "0" * 11 + "9"
    store.assign(Marker("Ben", "shared"), "mark", [Card(other, "i1", "a1", None, 0, None)])
    store.add("Anna", "mark", [mark(1, C1, 2)], "file")
    with pytest.raises(RunError, match="is another marker's"):
        store.add("Ben", "mark", [mark(1, other, 2)], "file")
