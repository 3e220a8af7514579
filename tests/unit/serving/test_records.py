from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from theobot.errors import SettingsError
from theobot.serving.records import Records


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_a_file_a_day_that_only_its_owner_reads(tmp_path):
    records = Records(tmp_path / "log", 30)
    now = datetime(2026, 3, 1, 23, 59, tzinfo=UTC)
    records.write({"answer": "Ελπίδα"}, now)
    records.write({"answer": "two\nlines"}, now + timedelta(minutes=2))
    folder = tmp_path / "log"
    first, second = (folder / f"2026-03-0{day}.jsonl" for day in (1, 2))
    assert json.loads(first.read_text(encoding="utf-8")) == {
        "time": "2026-03-01T23:59:00+00:00",
        "answer": "Ελπίδα",
    }
    assert second.read_text(encoding="utf-8").count("\n") == 1
    assert first.stat().st_mode & 0o077 == 0
    assert folder.stat().st_mode & 0o077 == 0


def test_a_file_that_is_made_anew_within_the_day_is_its_owners_too(tmp_path):
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    records = Records(tmp_path, 30)
    records.write({"n": 1}, noon)
    file = tmp_path / "2026-03-01.jsonl"
    file.unlink()
    records.write({"n": 2}, noon)
    records.write({"n": 3}, noon)
    assert [json.loads(line)["n"] for line in file.read_text().splitlines()] == [2, 3]
    assert file.stat().st_mode & 0o077 == 0


def test_old_files_go_at_the_start_and_when_a_day_begins(tmp_path):
    today = datetime.now(UTC)
    for days in (0, 6, 7, 8, 400):
        (tmp_path / f"{(today - timedelta(days)).date()}.jsonl").touch()
    (tmp_path / "2001-01-01.jsonl.kept").touch()
    (tmp_path / "notes.txt").touch()
    records = Records(tmp_path, 7)
    assert len(names(tmp_path)) == 3 + 2
    records.write({}, today + timedelta(days=5))
    assert len(names(tmp_path)) == 1 + 1 + 2
    assert {"2001-01-01.jsonl.kept", "notes.txt"} <= set(names(tmp_path))


def test_readers_are_told_for_how_long(tmp_path):
    assert "kept for 1 day." in Records(tmp_path, 1).notice()
    assert "kept for 30 days." in Records(tmp_path, 30).notice()


def test_a_folder_that_cannot_be_one(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="cannot be used as a folder"):
        Records(tmp_path / "file", 3)


def test_half_a_line_does_not_spoil_the_next(tmp_path):
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    records = Records(tmp_path, 30)
    for number in range(2):
        records.write({"n": number}, noon)
    file = tmp_path / "2026-03-01.jsonl"
    file.write_bytes(file.read_bytes()[:-5])
    records.write({"n": 2}, noon)
    first, half, last = file.read_text().splitlines()
    assert [json.loads(line)["n"] for line in (first, last)] == [0, 2]
    assert half.startswith('{"time"')
