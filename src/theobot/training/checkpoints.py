"""Checkpoints on disk: whole or not at all, and no more of them than are needed.

Under FSDP each process holds a part of the adapter, which is brought together first.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch.distributed.tensor import DTensor
from transformers.trainer import TRAINER_STATE_NAME

from theobot.model import ranks
from theobot.run_folder import explain_write_errors, file_sha256, read_json, write_json

CHECKSUMS = "checksums.json"
"""SHA-256 of each file of a checkpoint, by name."""
_PROGRESS = "progress.json"
_KEPT_CHECKPOINTS = 2


def complete_checkpoints(checkpoints: Path) -> list[Path]:
    """Checkpoints that were published whole, oldest step first."""
    found = [
        path
        for path in checkpoints.glob("checkpoint-*")
        if path.name.removeprefix("checkpoint-").isdigit() and (path / TRAINER_STATE_NAME).is_file()
    ]
    return sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")))


def usable_checkpoints(checkpoints: Path) -> list[Path]:
    """Complete checkpoints whose best step, which the end of the run may need, is there as well."""
    found = complete_checkpoints(checkpoints)
    steps = {None, *(int(path.name.removeprefix("checkpoint-")) for path in found)}
    return [path for path in found if _best_step(path) in steps]


def _best_step(checkpoint: Path) -> int | None:
    state = json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
    step: int | None = state.get("best_global_step")
    return step


def write_progress(checkpoint: Path, pass_tokens: int, loss: float | None) -> None:
    """Note what transformers does not, so that a resumed run computes and tells the same.

    Args:
        checkpoint: the folder.
        pass_tokens: token budget of a pass, which memory may have changed.
        loss: of the last step, nats per token.
    """
    write_json(checkpoint / _PROGRESS, {"pass_tokens": pass_tokens, "loss": loss})


def read_progress(checkpoint: Path) -> tuple[int | None, float | None]:
    """Token budget and loss, as `write_progress` noted them; None from an earlier version."""
    noted = read_json(file) if (file := checkpoint / _PROGRESS).exists() else {}
    return noted.get("pass_tokens"), noted.get("loss")


def write_checksums(checkpoint: Path) -> None:
    """Note what the files of a checkpoint hold, so that damage shows before it is used."""
    sums = {path.name: file_sha256(path) for path in sorted(checkpoint.iterdir())}
    write_json(checkpoint / CHECKSUMS, sums)


def set_damaged_aside(checkpoints: Path, on_note: Callable[[str], None]) -> None:
    """Rename checkpoints whose files are not what was saved; the run goes on from an older one.

    Those of earlier versions have no checksums; of them only the state is read.

    Args:
        checkpoints: of a run.
        on_note: told of each.
    """
    for path in complete_checkpoints(checkpoints):
        if _is_sound(path):
            continue
        aside = path.with_name(path.name.replace("checkpoint", "damaged"))
        on_note(f"{path}: damaged (not what was saved there). It is set aside as {aside.name}.")
        with explain_write_errors(checkpoints):
            shutil.rmtree(aside, ignore_errors=True)
            path.rename(aside)


def _is_sound(checkpoint: Path) -> bool:
    sums = checkpoint / CHECKSUMS
    try:
        _best_step(checkpoint)
        wanted = json.loads(sums.read_text(encoding="utf-8")) if sums.exists() else {}
        return all(file_sha256(checkpoint / name) == value for name, value in wanted.items())
    except (OSError, ValueError, AttributeError):
        return False


def drop_old_checkpoints(checkpoints: Path, best_step: int | None) -> None:
    """Keep the newest checkpoints, and that of the best step."""
    for old in complete_checkpoints(checkpoints)[:-_KEPT_CHECKPOINTS]:
        if old.name != f"checkpoint-{best_step}":
            shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def staged(staging: Path) -> Iterator[Path]:
    """An empty folder, made and removed again by the first process."""
    if ranks.is_first():
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
    try:
        yield staging
    finally:
        if ranks.is_first():
            shutil.rmtree(staging, ignore_errors=True)


@contextlib.contextmanager
def as_write_errors(folder: Path) -> Iterator[None]:
    """Turn what torch and safetensors raise when a file cannot be written into an OSError.

    torch's RuntimeError does not name the cause; the space left in `folder` tells a full disk.
    """
    try:
        yield
    except (RuntimeError, SafetensorError) as error:
        full = shutil.disk_usage(folder).free < 2**20
        number = errno.ENOSPC if full else errno.EIO
        raise OSError(number, os.strerror(number), str(folder)) from error


def publish(source: Path, target: Path) -> None:
    """Flush a folder to disk and rename it into place, replacing what was there.

    The new name is on the disk too when it returns: what it replaces may be deleted. Not so on
    Windows, which flushes no folders.
    """
    for path in [*source.rglob("*"), source]:
        _flush(path)
    if target.exists():
        shutil.rmtree(target)
    source.rename(target)
    _flush(target.parent)


def _flush(path: Path) -> None:
    on_windows = sys.platform == "win32"
    if on_windows and path.is_dir():
        return
    # Windows flushes only what may be written; elsewhere a read-only file will do.
    descriptor = os.open(path, os.O_RDWR if on_windows else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of which FSDP may hold a part in each process; all must ask for it."""
    full: torch.Tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor.detach()
    return full


def whole_adapter(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The trained weights by name, on the CPU; all processes must ask for them."""
    trained = ((name, part) for name, part in model.named_parameters() if part.requires_grad)
    return {name: whole(part).cpu() for name, part in trained}


def gather_adapter(model: torch.nn.Module) -> None:
    """After training under FSDP: give each process the whole adapter instead of its part."""
    for module in model.modules():
        for name, part in list(module.named_parameters(recurse=False)):
            if part.requires_grad and isinstance(part, DTensor):
                setattr(module, name, torch.nn.Parameter(whole(part)))
