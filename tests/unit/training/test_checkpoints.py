"""Checkpoints reach the disk whole, under every system's rules."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from theobot.training.checkpoints import publish


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """`os.open` and `os.fsync` as Windows has them: no folders, nothing that is only read."""
    real_open, real_fsync, read_only = os.open, os.fsync, set()

    def windows_open(path: Path, flags: int, *rest: int) -> int:
        if path.is_dir():
            raise PermissionError(13, "Permission denied", str(path))
        descriptor = real_open(path, flags, *rest)
        (read_only.discard if flags & os.O_RDWR else read_only.add)(descriptor)
        return descriptor

    def windows_fsync(descriptor: int) -> None:
        if descriptor in read_only:
            raise OSError(9, "Bad file descriptor")
        real_fsync(descriptor)

    monkeypatch.setattr("os.open", windows_open)
    monkeypatch.setattr("os.fsync", windows_fsync)
    monkeypatch.setattr("sys.platform", "win32")


def make(folder: Path) -> Path:
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "file").write_text("new")
    return folder


def test_a_folder_is_published_under_the_rules_of_windows(windows, tmp_path):
    target = tmp_path / "target"
    publish(make(tmp_path / "source"), target)
    assert (target / "inner" / "file").read_text() == "new"


def test_what_is_published_replaces_what_was_there_and_may_be_read_only(tmp_path):
    source, target = make(tmp_path / "source"), make(tmp_path / "target")
    (target / "old").touch()
    (source / "inner" / "file").chmod(0o444)
    publish(source, target)
    assert [path.name for path in target.iterdir()] == ["inner"]
    assert not source.exists()
