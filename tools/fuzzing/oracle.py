"""What may come of a damaged file: a result, or one clear sentence. Nothing else, and soon."""

from __future__ import annotations

import faulthandler
import hashlib
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple, Protocol

from fuzzing.mutation import Mutator, extremes
from theobot.errors import TheobotError

USUAL, LARGE = 2.0, 20.0
"""Seconds of computing for a damaged file of usual size, and for one of a megabyte."""
_SHOWN = 8


class Target(Protocol):
    """A parser, with sound files to begin from.

    `corpus` has them by the name of the file that each stands for; `dictionary` the words that mean
    something to the parser.
    """

    name: str
    corpus: Sequence[tuple[str, bytes]]
    dictionary: tuple[str, ...]

    def run(self, file: str, data: bytes) -> None:
        """Do all that a command would do with such a file."""
        ...

    def close(self) -> None:
        """Give back what was held."""
        ...


class Fault(NamedTuple):
    """What must not come of a file. `sign` is the same for the same fault."""

    sign: str
    detail: str
    file: str
    data: bytes


class Outcome(NamedTuple):
    """How a target did: inputs, how many were refused in a sentence, seconds, kinds of faults."""

    inputs: int
    refused: int
    seconds: float
    slowest: float
    faults: list[Fault]


class _TooLongError(BaseException):
    """The alarm; no `except Exception` may swallow it."""


def fuzz(target: Target, inputs: int, seed: int, *, with_extremes: bool = True) -> Outcome:
    """Try a target on as many damaged files as are asked for.

    Args:
        target: the parser.
        inputs: how many files, extremes not counted.
        seed: of the damage.
        with_extremes: also try what is very large or deep, which takes a minute.
    """
    mutator = Mutator(seed, target.dictionary)
    faults: dict[str, Fault] = {}
    refused, tried, slowest, began = 0, 0, 0.0, time.monotonic()
    for file, data, limit in _files(target, mutator, inputs, with_extremes):
        start = time.monotonic()
        found = attempt(target, file, data, limit)
        slowest = max(slowest, time.monotonic() - start)
        tried += 1
        if isinstance(found, Fault):
            faults.setdefault(found.sign, found)
        else:
            refused += found
    return Outcome(tried, refused, time.monotonic() - began, slowest, list(faults.values()))


def _files(
    target: Target, mutator: Mutator, inputs: int, with_extremes: bool
) -> Iterator[tuple[str, bytes, float]]:
    for file, data in target.corpus:
        yield file, data, USUAL
    if with_extremes:
        seen = set()
        for file, data in target.corpus:
            if file not in seen:
                yield from ((file, large, LARGE) for large in extremes(data, 1))
            seen.add(file)
    for _ in range(inputs):
        file, data = mutator.random.choice(target.corpus)
        yield file, mutator.damage(data), USUAL


def attempt(target: Target, file: str, data: bytes, limit: float) -> Fault | bool:
    """Try one file: a fault, or whether it was refused in a sentence."""
    try:
        with _alarm(limit):
            target.run(file, data)
    except TheobotError as error:
        problem = _unclear(error)
        return Fault(problem, str(error)[:500], file, data) if problem else True
    except _TooLongError as error:
        sign = f"longer than {limit:g} s in {_place(error)}"
        return Fault(sign, "", file, data)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        sign = f"{type(error).__name__} in {_place(error)}"
        detail = "".join(traceback.format_exception(error))[-3000:]
        return Fault(sign, detail, file, data)
    return False


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise _TooLongError

    before = signal.signal(signal.SIGPROF, ring)
    # Code that never comes back to Python hears no alarm; this one ends the process.
    faulthandler.dump_traceback_later(30 * seconds + 600, exit=True)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGPROF, before)


def _unclear(error: TheobotError) -> str:
    if not error.problems or not all(problem.strip() for problem in error.problems):
        return f"an empty sentence from {_place(error)}"
    if any("Traceback (most recent" in problem for problem in error.problems):
        return f"a traceback in a sentence from {_place(error)}"
    return ""


def _place(error: BaseException) -> str:
    """The innermost line of Theobot."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "theobot" in Path(frame.filename).parts]
    last = (ours or frames)[-1]
    return f"{Path(last.filename).name}:{last.lineno} {last.name}"


def show(name: str, outcome: Outcome, folder: Path | None) -> None:
    """Print how a target did; faults are written below the folder, each with its file."""
    print(
        f"{name:<12} {outcome.inputs:>7,} inputs in {outcome.seconds:6.1f} s, "
        f"{outcome.refused:,} refused, slowest {outcome.slowest:.2f} s, "
        f"{len(outcome.faults)} kinds of faults"
    )
    for fault in outcome.faults[: None if folder else _SHOWN]:
        print(f"  {fault.file}: {fault.sign}", file=sys.stderr)
        if folder is not None:
            stem = f"{name}-{hashlib.sha256(fault.sign.encode()).hexdigest()[:8]}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / stem).write_bytes(fault.data)
            (folder / f"{stem}.txt").write_text(f"{fault.file}: {fault.sign}\n\n{fault.detail}")
