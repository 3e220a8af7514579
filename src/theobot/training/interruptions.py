"""What ends a run early: Ctrl-C, a signal, a full disk, an error. Nothing of it is lost."""

from __future__ import annotations

import contextlib
import errno
import math
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from theobot.errors import RunError, TheobotError
from theobot.model import ranks
from theobot.run_folder import RunFolder, write_problem

_TEXT_KEPT = 2000
"""Characters of an error's text, from its end."""
_NO_WRITING = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
}
"""What a disk says; other errors of the system come from elsewhere, such as a tracker's network."""
_SAME_SIGNAL = 5.0
"""Seconds in which a launcher's signal is that of the person, sent on."""


@contextlib.contextmanager
def recorded_failure(folder: RunFolder) -> Iterator[None]:
    """Note in state.json why a run ended early, and tell a full disk in a sentence.

    `theobot doctor --run` reads it: `status`, `reason`, and of a failure also its kind, the end of
    its text, the last logged step and the time (UTC).
    """
    try:
        yield
    except BaseException as error:
        problem = _write_failure(folder, error)
        reason = problem or f"{type(error).__name__}: {error}"
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        # The disk may be full; the first failure is the one to tell.
        with contextlib.suppress(TheobotError):
            if ranks.is_first():
                folder.update_state(
                    status=status, reason=reason, failure=_failure(folder, error, reason)
                )
        if problem:
            raise RunError(problem) from error
        raise


def _failure(folder: RunFolder, error: BaseException, reason: str) -> dict[str, object]:
    return {
        "error": type(error).__name__,
        "text": reason[-_TEXT_KEPT:],
        "step": folder.last_step(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _write_failure(folder: RunFolder, error: BaseException) -> str | None:
    """A sentence when an error means that nothing more can be written, else None."""
    if not isinstance(error, OSError) or error.errno is None:
        return None
    of_run = str(error.filename or "").startswith(str(folder.path))
    if error.errno not in _NO_WRITING and not of_run:
        return None
    problem = write_problem(folder.path, error)
    if not folder.config.is_file():
        return problem
    return f"{problem} Go on with `theobot train --output {folder.path} --resume`."


@contextlib.contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; the second one interrupts at once.

    With several processes a terminal sends Ctrl-C to each of them, and their launcher sends it on:
    that is one and the same.
    """
    stop = threading.Event()
    again_from = math.inf

    def on_signal(number: int, frame: object) -> None:
        nonlocal again_from
        if time.monotonic() >= again_from:
            raise KeyboardInterrupt
        if not stop.is_set():
            again_from = time.monotonic() + (_SAME_SIGNAL if ranks.world_size() > 1 else 0)
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {
        number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
