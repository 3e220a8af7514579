"""Files to double-click: they start the server and open the page, on Windows and on macOS."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from theobot.errors import SettingsError

_MARK = "Written by: theobot serve --make-launcher"


def write_launchers(folder: Path, flags: Sequence[str]) -> list[Path]:
    """Write `Theobot.bat` and `Theobot.command`.

    Args:
        folder: where; both start the server in the folder in which they lie.
        flags: of `theobot serve`, beside --open.

    Returns:
        The files.

    Raises:
        SettingsError: a file of that name is there and is not one of these, or cannot be written.
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
            file.write_text(text, encoding="utf-8", newline="")
            if file.suffix == ".command":
                file.chmod(0o755)
        except OSError as error:
            raise SettingsError(f"{file}: cannot be written ({error.strerror}).") from None
    return list(files)


def _windows(command: Sequence[str]) -> str:
    typed = " ".join(_quoted_for_windows(part) for part in command)
    lines = ["@echo off", f"rem {_MARK}", "chcp 65001 >nul", 'cd /d "%~dp0"', typed, "pause"]
    return "".join(f"{line}\r\n" for line in lines)


def _quoted_for_windows(part: str) -> str:
    """A word of a batch file; no path or flag holds a quotation mark."""
    escaped = part.replace("%", "%%")
    return f'"{escaped}"' if any(sign in part for sign in " &()[]{}^=;!'+,`~") else escaped


def _unix(command: Sequence[str]) -> str:
    lines = [
        "#!/bin/sh",
        f"# {_MARK}",
        'cd "$(dirname "$0")" || exit',
        f"exec {shlex.join(command)}",
    ]
    return "".join(f"{line}\n" for line in lines)
