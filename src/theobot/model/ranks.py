"""The processes of one run, as torchrun or `accelerate launch` start them, and how they agree.

A process is known by its rank; the first one (rank 0) alone writes files and speaks to the person.
Started without a launcher, a run is one process, and everything here is a matter of course.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from theobot.errors import RunError, TheobotError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

_FIRST_SPEAKS = 10.0
"""Seconds in which the first process of a machine tells an error that all have."""


def rank() -> int:
    """Number of this process among all, from 0."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """Number of this process among those on its machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def world_size() -> int:
    """How many processes the run has."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process writes and speaks."""
    return rank() == 0


def leave_word_to_first() -> None:
    """Before an error is told: wait for the machine's first process, which often has the same one.

    When it has told it and ended, the launcher ends this process too. One that is still there
    afterwards has an error of its own.
    """
    if local_rank() > 0:
        time.sleep(_FIRST_SPEAKS)


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Join the other processes, and leave them at the end.

    Args:
        device: where this process computes; gradients travel by nccl between GPUs, and by gloo
            between CPUs, as do the processes' messages to each other.

    Raises:
        RunError: the others did not come.
    """
    if world_size() == 1:
        yield
        return
    import torch
    from torch import distributed

    if distributed.is_initialized():
        yield
        return
    backend = "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl"
    with _peers():
        distributed.init_process_group(backend)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def gathered(value: T) -> list[T]:
    """The value of each process, by rank; all must call it at the same point."""
    if world_size() == 1:
        return [value]
    from torch import distributed

    values: list[Any] = [None] * world_size()
    with _peers():
        distributed.all_gather_object(values, value)
    return values


def from_first(value: T) -> T:
    """The first process's value, in all processes."""
    return gathered(value)[0]


def add_up(tensor: torch.Tensor) -> None:
    """Replace a tensor by its sum over all processes."""
    if world_size() == 1:
        return
    from torch import distributed

    with _peers():
        distributed.all_reduce(tensor)


@contextlib.contextmanager
def together() -> Iterator[None]:
    """A stretch that succeeds in all processes or in none.

    What one process fails with is raised in the others too, at the end of their stretch, so that
    nobody waits for one that is gone. Inside there must be no other exchange between processes.
    """
    failure: Exception | None = None
    try:
        yield
    except Exception as error:
        failure = error
    for number, message in enumerate(gathered(_message(failure))):
        if failure is None and message is not None:
            failure = message
            failure.add_note(f"raised in process {number}")
    if failure is not None:
        raise failure


def _message(failure: Exception | None) -> TheobotError | None:
    """What the others are told: a person's mistake as it is, anything else in a sentence."""
    if failure is None or isinstance(failure, TheobotError):
        return failure
    return RunError(f"Process {rank()} of the run failed: {type(failure).__name__}: {failure}")


@contextlib.contextmanager
def _peers() -> Iterator[None]:
    """An error of torch in an exchange means that another process is gone."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise RunError(
            f"Process {rank()} of {world_size()}: another process of the run cannot be reached "
            f"any more; its own message says why. ({str(error).splitlines()[0]})"
        ) from error
