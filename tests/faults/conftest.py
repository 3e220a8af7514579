"""What the tests of faults share: small disks, full ones, damage, and runs to do it to.

The faults are real: signals, limits of the system, mounts, and files changed byte by byte. Where a
system does not allow one (mounting needs the right to), its test is skipped and says so.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import runpy
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

FAKES = runpy.run_path(str(Path(__file__).parents[1] / "fake_server.py"))
WEIGHTS = "adapter/adapter_model.safetensors"


@contextlib.contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """The system refuses to make any file of this process larger, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


@pytest.fixture(scope="session")
def full_disk() -> Callable[[int], contextlib.AbstractContextManager[None]]:
    """See `no_file_above`."""
    return no_file_above


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    typed = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(typed, capture_output=True, check=False).returncode:
        pytest.skip("this system does not let us mount a small file system")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.fixture
def fill() -> Callable[[Path, int], Path]:
    """Fills a disk but for so many bytes; gives the file to delete again."""

    def run(disk: Path, left: int) -> Path:
        filler = disk / "filler"
        filler.write_bytes(b"x" * (os.statvfs(disk).f_bavail * 4096 - left))
        return filler

    return run


@pytest.fixture
def locked() -> Iterator[Callable[[Path], None]]:
    """Makes a folder read-only, for root as well; it can be written again after the test."""
    changed: list[Path] = []
    restore = _without_roots_rights() if os.geteuid() == 0 else (lambda: None)

    def run(folder: Path) -> None:
        folder.chmod(0o555)
        changed.append(folder)

    yield run
    restore()
    for folder in changed:
        folder.chmod(0o755)


_CAPABILITIES_3 = 0x20080522
_OVERRIDES = 0b110
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH (linux/capability.h)."""


def _without_roots_rights() -> Callable[[], None]:
    """Let file modes count for this thread of root; gives what undoes that."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_3, 0)
    data = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, data) == 0
    before = data[0]

    def put(effective: int) -> None:
        data[0] = effective
        assert libc.capset(header, data) == 0

    put(before & ~_OVERRIDES)
    return lambda: put(before)


class Damage:
    """What disks and power cuts do to files."""

    @staticmethod
    def cut(file: Path) -> None:
        """Lose the second half."""
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    @staticmethod
    def flip(file: Path, place: float = 0.6) -> None:
        """Turn one bit round."""
        raw = bytearray(file.read_bytes())
        raw[int(len(raw) * place)] ^= 4
        file.write_bytes(raw)

    @staticmethod
    def zero_end(file: Path) -> None:
        """Keep the length; the last third was never written."""
        raw = file.read_bytes()
        kept = len(raw) * 2 // 3
        file.write_bytes(raw[:kept] + bytes(len(raw) - kept))

    @staticmethod
    def lose(file: Path) -> None:
        file.unlink()


@pytest.fixture(scope="session")
def damage() -> type[Damage]:
    return Damage


class Runs:
    """Training on the tiny base: an undisturbed run, and one that was interrupted."""

    def __init__(self, base: Path, folder: Path) -> None:
        self.folder = folder
        self.base = base
        self.rows = folder / "rows.jsonl"
        with self.rows.open("w", encoding="utf-8") as out:
            for number in range(20):
                row = {
                    "prompt": f"User: What is number {number} about?\nAssistant:",
                    "completion": "Peace and justice. " * (1 + number % 5) + f"It is {number}.",
                }
                out.write(json.dumps(row) + "\n")
        self.whole = folder / "whole"
        self.stopped = folder / "stopped"

    def words(self, output: Path, *more: object) -> list[object]:
        """A training of 20 steps with a checkpoint every sixth one."""
        common = ["train", "--model", self.base, "--data", self.rows, "--output", output]
        short = ["--training.num-train-epochs", 4, "--training.gradient-accumulation-steps", 4]
        rest = ["--training.save-steps", 6, "--training.no-bf16", "--lora.r", 4]
        return [*common, *short, *rest, "--lora.lora-dropout", 0.1, *more]

    def copy(self, target: Path) -> Path:
        """The interrupted run, with checkpoints of steps 6 and 7."""
        return Path(shutil.copytree(self.stopped, target))

    def adapter(self) -> bytes:
        """The adapter of the undisturbed run."""
        return (self.whole / WEIGHTS).read_bytes()

    def goes_on(self, typed: Callable[..., Any], run: Path, *parts: str) -> None:
        """Go on with a run, which must end as the undisturbed one did."""
        typed("train", "--output", run, "--resume").ended(0, *parts)
        assert (run / WEIGHTS).read_bytes() == self.adapter()
        lines = (run / "metrics.jsonl").read_text().splitlines()
        steps = [json.loads(line)["step"] for line in lines]
        assert steps == list(range(steps[0], 21))


@pytest.fixture(scope="session")
def runs(tiny_base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Both runs, trained once."""
    from theobot.config import TrainSettings, load_settings
    from theobot.training.plan import plan_training
    from theobot.training.train import train

    made = Runs(tiny_base_folder, tmp_path_factory.mktemp("runs"))

    def stop_in_step_7(report: Any) -> None:
        if report.step == 6:
            os.kill(os.getpid(), signal.SIGINT)

    for folder, on_report in ((made.whole, lambda report: None), (made.stopped, stop_in_step_7)):
        flags = {
            "model": str(made.base),
            "data": str(made.rows),
            "output": str(folder),
            "lora": {"r": 4, "lora_dropout": 0.1},
            "training": {
                "bf16": False,
                "num_train_epochs": 4,
                "gradient_accumulation_steps": 4,
                "save_steps": 6,
            },
        }
        plan = plan_training(load_settings(TrainSettings, None, flags))
        train(plan, on_report=on_report, on_note=lambda note: None)
    names = sorted(path.name for path in (made.stopped / "checkpoints").iterdir())
    assert names == ["checkpoint-6", "checkpoint-7"]
    return made


@pytest.fixture(scope="session")
def fakes() -> dict[str, Any]:
    """The names of tests/fake_server.py."""
    return FAKES
