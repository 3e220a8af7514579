"""Python's garbage collector, which would spend seconds of each command on what it imports.

torch, transformers and PEFT make a million objects that stay. The collector would look through them
again and again while they are imported, and once more when the interpreter ends.
"""

from __future__ import annotations

import atexit
import gc

_USUAL = gc.get_threshold()
_SELDOM = 1_000_000
"""New objects between two collections; a start with nano then has none instead of 500."""

_frozen = False
"""Whether imports were frozen here; to count what is frozen would look through all of it."""


def rest() -> None:
    """Collect seldom until `resume`, and not at all when the interpreter ends."""
    gc.set_threshold(_SELDOM, *_USUAL[1:])
    # Frozen objects are passed over, and the operating system takes them back faster.
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)


def resume() -> None:
    """Collect as Python does by itself: the imports are over, and the work begins.

    What was imported is passed over from now on, or each full collection would take half a second.
    Only once in a process: what a first model left behind must not be frozen by the next one.
    """
    global _frozen
    gc.set_threshold(*_USUAL)
    if not _frozen:
        _frozen = True
        gc.freeze()
