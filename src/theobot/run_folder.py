"""What a run is called and which files it holds: the hand-over between commands.

In runs/<name>/ lie:

    config.json       resolved settings        state.json     running | finished | interrupted ...
    environment.json  machine and versions     metrics.jsonl  one line per logged step
    dataset.json      counts and fingerprint   checkpoints/   complete ones only
    adapter/          a standard PEFT folder   loss.svg       bench/
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from theobot.errors import RunError

LOCK = ".lock"
"""Lies in a folder while a process works in it."""
_PROBE = ".writable"

HOME_ADAPTER = Path("~/Theobot/adapter")
"""Where the seed's training script saved its adapter."""
_OF_AN_END = ("reason", "failure")
"""Entries of state.json that only a run which ended early has."""


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
        self.report = self.bench / "report.json"

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name

    @property
    def own_names(self) -> set[str]:
        """Names of all that training and benchmark put directly into the folder."""
        paths = (value for value in vars(self).values() if isinstance(value, Path))
        names = _with_hidden(path.name for path in paths if path.parent == self.path)
        return {*names, f".{self.adapter.name}.writing"}

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
        harmless = _with_hidden(
            file.name for file in (self.dataset, self.environment, self.state, self.config)
        )
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
            probe = self.path / _PROBE
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

    def begin(self, **changes: Any) -> None:
        """Call the run running, forget how an earlier try ended, and change some entries."""
        kept = {name: value for name, value in self.read_state().items() if name not in _OF_AN_END}
        write_json(self.state, {**kept, "status": "running", **changes})

    def last_step(self) -> int | None:
        """The last step that was logged; None if there is none."""
        lines = read_metrics(self.metrics)
        return int(lines[-1]["step"]) if lines else None


def _with_hidden(names: Iterable[str]) -> set[str]:
    """With the names of what lies there for a moment, or after a kill."""
    some = list(names)
    return {*some, *(f".{name}.tmp" for name in some), LOCK, _PROBE}


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


def newest_finished_run(root: Path = Path("runs")) -> tuple[RunFolder | None, list[RunFolder]]:
    """The newest finished run below a folder, and those too damaged to tell; no demo counts."""
    newest, damaged = None, []
    for run in list_runs(root):
        try:
            if run.finished and not run.read_state().get("demo"):
                newest = run
        except RunError:
            damaged.append(run)
    return newest, damaged


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
    octets = _octets(run.path)
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
        verdict=_verdict(run),
        octets=octets,
    )


def _octets(folder: Path) -> int:
    """Size of all files below a folder, in which a training may be at work."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(place, name).stat().st_size
    return total


_VERDICTS = {True: "plan met", False: "plan not met", None: "cannot tell"}


def _verdict(run: RunFolder) -> str:
    """What its benchmark decided, in two words; the report has the sentence."""
    if not run.report.exists():
        return "not judged yet" if (run.bench / "answers.jsonl").exists() else "-"
    try:
        return _VERDICTS[read_json(run.report)["decision"]["met"]]
    except (RunError, KeyError, TypeError):
        return "damaged"


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


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The whole lines of metrics.jsonl; what a kill or a power cut left of others is left out."""
    lines = []
    if path.is_file():
        for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if isinstance(line, dict) and isinstance(line.get("step"), int):
                lines.append(line)
    return lines


def file_sha256(path: Path) -> str:
    """Hash of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes of Theobot out of a folder.

    The system lets go when this process ends, however it ends. Not covered: file systems without
    locks, such as some network drives, and Windows.

    Raises:
        RunError: another process holds it, or it cannot be written.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    path = folder / LOCK
    with explain_write_errors(folder):
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it may have removed the file since it was opened here.
            ours = path.exists() and os.path.samestat(os.fstat(lock), path.stat())
        except BlockingIOError:
            ours = False
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK):
                raise
            ours = True
        if not ours:
            holder = os.read(lock, 20).decode(errors="replace") or "unknown"
            raise RunError(
                f"{folder}: another process (number {holder}) is at work in it. Wait until it has "
                "ended, or choose another folder; nothing was changed."
            )
        # The number is a help; on a full disk the lock alone has to do.
        with contextlib.suppress(OSError):
            os.ftruncate(lock, 0)
            os.write(lock, str(os.getpid()).encode())
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink()
    finally:
        os.close(lock)


def write_json(path: Path, value: object) -> None:
    """Write JSON for machines, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file beside its place, flush it to disk and rename it into place.

    Raises:
        RunError: the folder is read-only or the disk is full.
    """
    write_texts({path: text})


def write_texts(texts: Mapping[Path, str]) -> None:
    """Write files that belong together, all or none.

    None gets its name before all are on the disk, and what has its name when another one fails to
    get its own is taken away again.

    Raises:
        RunError: a folder is read-only or the disk is full.
    """
    temporary = {path: path.with_name(f".{path.name}.tmp") for path in texts}
    at, in_place = Path(), []
    try:
        for at, text in texts.items():
            with temporary[at].open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        for at in texts:
            temporary[at].replace(at)
            in_place.append(at)
    except OSError as error:
        for one in [*temporary.values(), *in_place]:
            with contextlib.suppress(OSError):
                one.unlink(missing_ok=True)
        raise RunError(write_problem(at, error)) from None


def move_into_place(temporary: Path, path: Path) -> None:
    """Flush a finished file to disk and give it its name, replacing what was there.

    Raises:
        OSError: the folder is read-only or the disk is full.
    """
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


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
