"""How much one client may ask for: so many questions a minute, so many answers at a time."""

from __future__ import annotations

import math
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_MOST_CLIENTS = 10_000
"""Clients that are remembered; beyond, those that were silent longest are forgotten."""


class PerMinute:
    """Counts events of the last sixty seconds for each client.

    Args:
        most: events in a minute.
        clock: seconds that only ever grow.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def wait(self, client: str) -> int:
        """Whole seconds until the client may do the next thing; 0 for now."""
        times = self._recent(client)
        if len(times) < self._most:
            return 0
        return max(1, math.ceil(times[0] + 60 - self._clock()))

    def count(self, client: str) -> None:
        """The client has done it."""
        self._times.setdefault(client, deque()).append(self._clock())
        self._times.move_to_end(client)
        while len(self._times) > _MOST_CLIENTS:
            self._times.popitem(last=False)

    def _recent(self, client: str) -> deque[float]:
        times = self._times.get(client, deque())
        while times and times[0] <= self._clock() - 60:
            times.popleft()
        if not times:
            self._times.pop(client, None)
        return times


class AtATime:
    """Counts what each client has open.

    Args:
        most: for one client; None for any number.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._open: Counter[str] = Counter()

    @contextmanager
    def one_more(self, client: str) -> Iterator[bool]:
        """Count one more inside the block; gives whether the client may have it."""
        if self._most is not None and self._open[client] >= self._most:
            yield False
            return
        self._open[client] += 1
        try:
            yield True
        finally:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]
