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


@pytest.mark.parametrize(
    ("flag", "word"),
    [
        (r"C:\Users\me\adapter", r"C:\Users\me\adapter"),
        ("a|b", '"a|b"'),
        ("a<b>c", '"a<b>c"'),
        ("#token*?", '"#token*?"'),
        ("C:\\my runs\\", '"C:\\my runs\\\\"'),
        ("", '""'),
        ("Zoë", '"Zoë"'),
    ],
)
def test_no_sign_of_a_flag_is_one_of_the_batch_file(tmp_path, flag, word):
    windows, _ = write_launchers(tmp_path, ["--token", flag])
    assert windows.read_bytes().decode().endswith(f"--token {word}\r\npause\r\n")


@pytest.mark.parametrize("flag", ['my"secret"token', "two\nlines"])
def test_what_a_batch_file_cannot_pass_on_is_refused_and_not_repeated(tmp_path, flag):
    with pytest.raises(SettingsError, match="quotation mark or a line break") as refused:
        write_launchers(tmp_path, ["--token", flag])
    assert flag not in str(refused.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="access as on Unix")
def test_only_their_owner_can_read_them(tmp_path):
    (tmp_path / "Theobot.command").write_text("# Written by: theobot serve --make-launcher")
    for file in write_launchers(tmp_path, ["--token", "a-secret-token"]):
        assert file.stat().st_mode & 0o777 == 0o700


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
