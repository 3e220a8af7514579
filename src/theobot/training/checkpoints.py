"""Checkpoints on disk: whole or not at all, and no more of them than are needed.

Under FSDP each process holds a part of the adapter, which is brought together first.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch.distributed.tensor import DTensor
from transformers.trainer import TRAINER_STATE_NAME

from theobot.model import ranks

_KEPT_CHECKPOINTS = 2


def complete_checkpoints(checkpoints: Path) -> list[Path]:
    """Checkpoints that were published whole, oldest step first."""
    found = [
        path
        for path in checkpoints.glob("checkpoint-*")
        if path.name.removeprefix("checkpoint-").isdigit() and (path / TRAINER_STATE_NAME).is_file()
    ]
    return sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")))


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
    """Flush a folder to disk and rename it into place, replacing what was there."""
    for path in [*source.rglob("*"), source]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    if target.exists():
        shutil.rmtree(target)
    source.rename(target)


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
