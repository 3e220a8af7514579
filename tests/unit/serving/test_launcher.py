from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from theobot.errors import SettingsError
from theobot.serving.launcher import write_launchers

FLAGS = ["--adapter", "/my adapters/50%/it's", "--port", "0"]


def test_both_start_the_server_in_their_own_folder(tmp_path):
    windows, mac = write_launchers(tmp_path, FLAGS)
    assert (windows.name, mac.name) == ("Theobot.bat", "Theobot.command")
    batch = windows.read_bytes().decode()
    assert batch.count("\r\n") == batch.count("\n")
    assert 'cd /d "%~dp0"' in batch
    assert '"/my adapters/50%%/it\'s" --port 0' in batch
    assert "-m theobot serve --open --adapter" in batch


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_the_shell_script_passes_every_flag_on(tmp_path, monkeypatch):
    show = tmp_path / "python with spaces"
    show.write_text('#!/bin/sh\npwd\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    show.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(show))
    _, script = write_launchers(tmp_path, FLAGS)
    told = subprocess.run([script], cwd="/", capture_output=True, text=True, check=True)
    assert told.stdout.splitlines() == [
        str(tmp_path.resolve()), "-m", "theobot", "serve", "--open", *FLAGS,
    ]  # fmt: skip


def test_its_own_files_are_replaced_and_others_are_not(tmp_path):
    write_launchers(tmp_path, [])
    write_launchers(tmp_path, FLAGS)
    assert "--port" in (tmp_path / "Theobot.command").read_text(encoding="utf-8")
    (tmp_path / "Theobot.bat").write_text("echo mine", encoding="utf-8")
    with pytest.raises(SettingsError, match="something else"):
        write_launchers(tmp_path, [])


def test_a_folder_that_cannot_be_written():
    with pytest.raises(SettingsError, match="cannot be written"):
        write_launchers(Path("/nowhere/at/all"), [])
