"""Where facts are read from: a root folder, variables, and other programs, each with its time."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from theobot.config import TrainSettings
from theobot.errors import RunError
from theobot.run_folder import RunFolder, read_json

_AFTER_KILL = 1.0
"""Seconds to wait for a killed process; one that hangs in a driver does not end at all."""


class Ran(NamedTuple):
    """What a program wrote; `code` is None if it was stopped because its time was over."""

    out: str
    err: str
    code: int | None


def run_program(words: Sequence[str], seconds: float, environment: Mapping[str, str]) -> Ran:
    """Run a program for at most so long, and keep what it wrote until then.

    Raises:
        OSError: there is no such program.
    """
    process = subprocess.Popen(
        list(words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=dict(environment),
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=seconds)
        return Ran(out, err, process.returncode)
    except subprocess.TimeoutExpired:
        return _stopped(process)


def _stopped(process: subprocess.Popen[str]) -> Ran:
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    try:
        return Ran(*process.communicate(timeout=_AFTER_KILL), None)
    except subprocess.TimeoutExpired as error:
        return Ran(_text(error.stdout), _text(error.stderr), None)


def _text(octets: bytes | str | None) -> str:
    return octets.decode(errors="replace") if isinstance(octets, bytes) else octets or ""


@dataclass(frozen=True)
class Machine:
    """A machine to look at; by default this one.

    Args:
        root: folder below which /dev, /proc, /sys and so on lie.
        environment: the variables.
        home: the person's home.
        system: `platform.system()`.
        release: `platform.release()`.
        model: the base model to be used.
        output: where runs are kept.
        run: the run whose failure the person asked about.
        online: ask the Hub, too.
        access: as `os.access`.
        run_program: as `run_program`.
        find_program: as `shutil.which`.
    """

    root: Path = Path("/")
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    home: Path = field(default_factory=Path.home)
    system: str = field(default_factory=platform.system)
    release: str = field(default_factory=platform.release)
    model: str = TrainSettings().model
    output: Path = Path("runs")
    run: RunFolder | None = None
    online: bool = False
    access: Callable[[Path, int], bool] = os.access
    run_program: Callable[[Sequence[str], float, Mapping[str, str]], Ran] = run_program
    find_program: Callable[[str], str | None] = shutil.which

    def path(self, name: str) -> Path:
        """A path of the machine, such as "/dev/kfd", below the root."""
        return self.root / name.lstrip("/")

    def text(self, name: str) -> str | None:
        """A small file's text without the space around it; None if it cannot be read."""
        return read_small(self.path(name))

    def may_use(self, path: Path) -> bool:
        """Whether this process may read and write there."""
        return self.access(path, os.R_OK | os.W_OK)


def read_small(path: Path) -> str | None:
    """A small file's text without the space around it; None if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def this_machine(run: Path | None = None, model: str | None = None, *, online: bool) -> Machine:
    """This machine, with the base model that the person named, or that of the run.

    Args:
        run: a run folder that the person named; without it the newest run in ./runs is looked at.
        model: the base model to be used.
        online: ask the Hub, too.

    Raises:
        RunError: `run` is no run folder.
    """
    settings = TrainSettings()
    if run is None:
        return Machine(model=model or settings.model, online=online)
    folder = RunFolder(run)
    if not _is_run(folder):
        raise RunError(f"{folder.path}: is no run folder. `theobot runs` lists those in ./runs.")
    own = read_json(folder.config).get("model") if folder.config.is_file() else None
    return Machine(
        model=model or own or settings.model, output=folder.path, run=folder, online=online
    )


def newest_run(folder: Path) -> RunFolder | None:
    """The newest run below a folder, even if it failed before its settings were written down."""
    found = [RunFolder(child) for child in folder.iterdir()] if os.path.isdir(folder) else []
    return max(filter(_is_run, found), key=_begun, default=None)


def _is_run(run: RunFolder) -> bool:
    return os.path.isfile(run.config) or os.path.isfile(run.state)


def _begun(run: RunFolder) -> float:
    return (run.config if os.path.isfile(run.config) else run.state).stat().st_mtime
