"""The record of questions and answers that a school may switch on: a file a day, gone in time."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from theobot.errors import SettingsError

_NAME = re.compile(r"(\d{4}-\d\d-\d\d)\.jsonl")


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class Records:
    """Writes `YYYY-MM-DD.jsonl` (UTC) into a folder and deletes those that are too old.

    Args:
        folder: made if need be; only its owner can read what is written.
        days: how long a file is kept after its day.

    Raises:
        SettingsError: the folder cannot be written.
    """

    def __init__(self, folder: Path, days: int) -> None:
        self.folder = folder
        self.days = days
        self._today: date | None = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._begin_day(datetime.now(UTC).date())
        except OSError as error:
            raise SettingsError(
                f"--log {folder}: cannot be used as a folder for records ({error.strerror})."
            ) from None

    def write(self, entry: dict[str, Any], now: datetime | None = None) -> None:
        """Append one entry, with the time.

        Args:
            entry: what is kept.
            now: the time; by default this moment.
        """
        now = now or datetime.now(UTC)
        if now.date() != self._today:
            self._begin_day(now.date())
        line = json.dumps({"time": now.isoformat(timespec="seconds"), **entry}, ensure_ascii=False)
        # The file may have been taken away since the day began, by a request to forget.
        with open(self._file(now.date()), "ab+", opener=_for_its_owner) as out:
            # A server that was killed, or a full disk, may have left half a line.
            if out.tell():
                out.seek(-1, os.SEEK_END)
                line = line if out.read() == b"\n" else f"\n{line}"
            out.write(f"{line}\n".encode())

    def notice(self) -> str:
        """What readers are told."""
        return (
            "Questions and answers on this server are recorded and kept for "
            f"{self.days} {'day' if self.days == 1 else 'days'}. Do not write names or anything "
            "personal."
        )

    def _file(self, day: date) -> Path:
        return self.folder / f"{day.isoformat()}.jsonl"

    def _begin_day(self, today: date) -> None:
        """Delete files whose time is over; others in the folder are nobody's business."""
        first_kept = today - timedelta(days=self.days)
        for file in self.folder.iterdir():
            named = _NAME.fullmatch(file.name)
            if named and named[1] < first_kept.isoformat():
                file.unlink()
        self._file(today).touch(mode=0o600)
        self._today = today
