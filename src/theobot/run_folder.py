"""What a run is called and which files it holds: the hand-over between commands.

In runs/<name>/ lie:

    config.json       resolved settings        state.json     running | finished | interrupted ...
    environment.json  machine and versions     metrics.jsonl  one line per logged step
    dataset.json      counts and fingerprint   checkpoints/   complete ones only
    adapter/          a standard PEFT folder   loss.svg       bench/
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from theobot.errors import RunError

HOME_ADAPTER = Path("~/Theobot/adapter")
"""Where the seed's training script saved its adapter."""


class RunFolder:
    """Paths and small JSON files of one run.

    Args:
        path: the folder; need not exist yet.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).expanduser()
        self.config = self.path / "config.json"
        self.environment = self.path / "environment.json"
        self.dataset = self.path / "dataset.json"
        self.state = self.path / "state.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.adapter = self.path / "adapter"
        self.loss_svg = self.path / "loss.svg"
        self.bench = self.path / "bench"

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name

    @property
    def exists(self) -> bool:
        """Whether the folder already holds a run."""
        return self.config.exists() or self.adapter.exists() or self.checkpoints.exists()

    @property
    def finished(self) -> bool:
        """Whether training ran to its end and saved an adapter."""
        return bool(self.read_state().get("status") == "finished") and self.adapter.is_dir()

    def refuse_if_taken(self) -> None:
        """Refuse a folder that already holds something.

        Raises:
            RunError: the folder holds a run, or other files.
        """
        if self.exists:
            raise RunError(
                f"{self.path}: already holds a run. Go on with it by --resume, "
                "or choose another folder with --output."
            )
        # What a run writes before config.json may lie there when it was killed in that moment.
        harmless = {self.dataset.name, self.environment.name, self.state.name}
        if self.path.exists() and (
            not self.path.is_dir() or any(p.name not in harmless for p in self.path.iterdir())
        ):
            raise RunError(
                f"{self.path}: is not empty and is no run of Theobot. Choose a new folder "
                "with --output; nothing was overwritten."
            )

    def make(self) -> None:
        """Make the folder and see that it can be written.

        Raises:
            RunError: it cannot.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise RunError(write_problem(self.path, error)) from None

    def read_state(self) -> dict[str, Any]:
        """State of the run; empty when there is none."""
        return read_json(self.state) if self.state.exists() else {}

    def update_state(self, **changes: Any) -> None:
        """Change some entries of state.json."""
        write_json(self.state, {**self.read_state(), **changes})


def new_run_folder(model: str, root: Path = Path("runs")) -> RunFolder:
    """The default folder of a new run: runs/<date>-<model>, numbered when taken."""
    short = model.rstrip("/").rsplit("/", 1)[-1].lower()
    stem = f"{datetime.now():%Y-%m-%d}-{short}"
    folder = RunFolder(root / stem)
    number = 2
    while folder.path.exists():
        folder = RunFolder(root / f"{stem}-{number}")
        number += 1
    return folder


def list_runs(root: Path) -> list[RunFolder]:
    """Runs directly below a folder, oldest first."""
    if not root.is_dir():
        return []
    found = [RunFolder(child) for child in root.iterdir() if (child / "config.json").is_file()]
    return sorted(found, key=lambda run: run.config.stat().st_mtime)


def newest_finished_run(root: Path = Path("runs")) -> RunFolder | None:
    """The newest finished run below a folder; a demo's never counts."""
    runs = [run for run in list_runs(root) if run.finished and not run.read_state().get("demo")]
    return runs[-1] if runs else None


class RunSummary(NamedTuple):
    """One line of `theobot runs`. `best_loss` is the dev loss where there is one."""

    name: str
    status: str
    data: str
    model: str
    steps: str
    best_loss: float | None
    verdict: str
    octets: int


def summarise_run(run: RunFolder) -> RunSummary:
    """What a run is about; a damaged one is named so instead of hiding the others."""
    octets = sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file())
    try:
        config, state = read_json(run.config), run.read_state()
        rows = read_json(run.dataset)["train"]["rows"] if run.dataset.exists() else "?"
    except (RunError, KeyError, TypeError):
        return RunSummary(run.name, "damaged", "?", "?", "?", None, "-", octets)
    status = str(state.get("status", "unknown"))
    losses = (state.get(name) for name in ("best_dev_loss", "final_loss"))
    return RunSummary(
        name=run.name,
        status=f"{status} (demo)" if state.get("demo") else status,
        data=f"{Path(str(config.get('data'))).name}, {rows} rows",
        model=str(config.get("model", "?")),
        steps=f"{state.get('step', '?')}/{state.get('total_steps', '?')}",
        best_loss=next((loss for loss in losses if isinstance(loss, float)), None),
        verdict="not judged yet" if (run.bench / "answers.jsonl").exists() else "-",
        octets=octets,
    )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object written by Theobot.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path}: no such file; is this a run folder of Theobot?") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: damaged ({error}). Restore it, or train anew.") from None
    if not isinstance(value, dict):
        raise RunError(f"{path}: damaged (a JSON object was expected).")
    return value


def file_sha256(path: Path) -> str:
    """Hash of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, value: object) -> None:
    """Write JSON for machines, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file beside its place, flush it to disk and rename it into place.

    Raises:
        RunError: the folder is read-only or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise RunError(write_problem(path, error)) from None


@contextlib.contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a read-only folder below `path` into a sentence."""
    try:
        yield
    except OSError as error:
        raise RunError(write_problem(path, error)) from error


def write_problem(path: Path, error: OSError) -> str:
    """One sentence for a failed write."""
    reason = error.strerror or str(error)
    return (
        f"{path}: cannot be written: {reason}. Free some space or choose another folder "
        "with --output; what was saved before is still there."
    )
