"""Files to double-click: they start the server and open the page, on Windows and on macOS."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from theobot.errors import SettingsError

_MARK = "Written by: theobot serve --make-launcher"

_PLAIN = re.compile(r"[\w.:\\/-]+", re.ASCII)
"""A word that no sign of a batch file is in."""

_UNSAYABLE = re.compile(r'["\x00-\x1f]')
"""What no quotation mark of a batch file can shield."""


def write_launchers(folder: Path, flags: Sequence[str]) -> list[Path]:
    """Write `Theobot.bat` and `Theobot.command`; they may hold a token and are their owner's alone.

    Args:
        folder: where; both start the server in the folder in which they lie.
        flags: of `theobot serve`, beside --open.

    Returns:
        The files.

    Raises:
        SettingsError: a file of that name is there and is not one of these, or cannot be written;
            or a flag holds what a batch file cannot.
    """
    command = [sys.executable, "-m", "theobot", "serve", "--open", *flags]
    files = {
        folder / "Theobot.bat": _windows(command),
        folder / "Theobot.command": _unix(command),
    }
    for file, text in files.items():
        try:
            if file.exists() and _MARK not in file.read_text(encoding="utf-8", errors="replace"):
                raise SettingsError(f"{file}: exists already and is something else. Move it away.")
            # Before there is anything to read in it.
            file.touch(mode=0o700)
            file.chmod(0o700)
            file.write_text(text, encoding="utf-8", newline="")
        except OSError as error:
            raise SettingsError(f"{file}: cannot be written ({error.strerror}).") from None
    return list(files)


def _windows(command: Sequence[str]) -> str:
    typed = " ".join(_quoted_for_windows(part) for part in command)
    lines = ["@echo off", f"rem {_MARK}", "chcp 65001 >nul", 'cd /d "%~dp0"', typed, "pause"]
    return "".join(f"{line}\r\n" for line in lines)


def _quoted_for_windows(part: str) -> str:
    """A word of a batch file."""
    if _PLAIN.fullmatch(part):
        return part
    if _UNSAYABLE.search(part):
        # Not repeated: it may be the token.
        raise SettingsError(
            "--make-launcher: a flag holds a quotation mark or a line break, which Theobot.bat "
            "cannot pass on. Choose a value without."
        )
    # A backslash before the closing mark would make that a part of the word.
    last = "\\" * (len(part) - len(part.rstrip("\\")))
    return '"' + part.replace("%", "%%") + last + '"'


def _unix(command: Sequence[str]) -> str:
    lines = [
        "#!/bin/sh",
        f"# {_MARK}",
        'cd "$(dirname "$0")" || exit',
        f"exec {shlex.join(command)}",
    ]
    return "".join(f"{line}\n" for line in lines)
