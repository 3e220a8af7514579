"""The one thread that owns the model: requests of many readers become one batch that never stops.

A request joins the batch at the next token and leaves it at its last one, or as soon as its reader
goes away. Readers wait in an event loop; between the two there is a lock and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from theobot.data.prompt import Turn
from theobot.errors import ModelError, PromptError
from theobot.generation.generator import Arm
from theobot.generation.live import LiveBatch, LiveGenerator, Update
from theobot.serving.stops import StopTexts

MOST_ROWS = 64
"""Answers that are written at the same time."""

MOST_WAITING = 128
"""Answers that wait for one of those to end; further ones are refused."""

MOST_PROMPT = 8192
"""Tokens of a prompt: while a long one is read, everybody waits."""

logger = logging.getLogger("theobot.serving")

Reason = Literal["too_long", "prompt", "model", "bug", "stopping"]
"""Why there is no answer: the prompt does not fit, the model's template refuses it, the model
fails, a fault of ours, the end."""


class Work(NamedTuple):
    """What a reader wants.

    Args:
        prompt: a conversation, or a text to continue as it stands.
        arm: who answers.
        max_new_tokens: most tokens of the answer.
        stops: texts that end the answer, and do not belong to it.
    """

    prompt: Sequence[Turn] | str
    arm: Arm
    max_new_tokens: int
    stops: Sequence[str] = ()


class Begun(NamedTuple):
    """The prompt was accepted; the first event of an answer."""

    prompt_tokens: int


class Piece(NamedTuple):
    """The next piece of the answer."""

    text: str
    new_tokens: int


class Done(NamedTuple):
    """The answer is whole; the pieces joined are its text."""

    finish: Literal["stop", "length"]
    new_tokens: int


class Failed(NamedTuple):
    """There is no (further) answer."""

    reason: Reason
    message: str


Event = Begun | Piece | Done | Failed


class QueueFullError(Exception):
    """Too many answers are being written and waited for."""


class StoppingError(Exception):
    """The server is about to end."""


class Ticket:
    """A reader's claim to an answer, inside one event loop."""

    def __init__(self, engine: Engine, key: int) -> None:
        self._engine = engine
        self._key = key
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self.loop = asyncio.get_running_loop()
        self.put = self._events.put_nowait

    async def next(self) -> Event:
        """Wait for the next event; none follows a `Done` or a `Failed`."""
        return await self._events.get()

    def at_once(self) -> Event | None:
        """The next event if it is there already."""
        return None if self._events.empty() else self._events.get_nowait()

    def cancel(self) -> None:
        """The answer is not wanted any more; harmless after its end."""
        self._engine.forget(self._key)


@dataclass(eq=False)
class _Reader:
    """A request inside the thread."""

    work: Work
    ticket: Ticket
    stops: StopTexts


@dataclass
class _Mail:
    """What readers left for the thread; guarded by the engine's lock."""

    new: list[tuple[int, _Reader]] = field(default_factory=list)
    forgotten: set[int] = field(default_factory=set)


class Engine:
    """Answers requests of any number of event loops with one generator.

    Args:
        generator: used by this engine's thread alone.
        most_rows: answers written at the same time.
        most_waiting: answers that may wait beyond those.
        most_prompt: tokens of a prompt.
    """

    def __init__(
        self,
        generator: LiveGenerator,
        *,
        most_rows: int = MOST_ROWS,
        most_waiting: int = MOST_WAITING,
        most_prompt: int = MOST_PROMPT,
    ) -> None:
        self.generator = generator
        self._most_rows = most_rows
        self._most = most_rows + most_waiting
        self._most_prompt = most_prompt
        self._changed = threading.Condition()
        self._mail = _Mail()
        self._keys = 0
        self._open: set[int] = set()
        self._ends_at: float | None = None
        self.cut_off = 0
        # A daemon: a bug in the main thread must not leave a process that never ends.
        self._thread = threading.Thread(target=self._run, name="answers", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether new work is taken."""
        return self._thread.is_alive() and self._ends_at is None

    @property
    def open(self) -> int:
        """Answers being written and waited for."""
        return len(self._open)

    def submit(self, work: Work) -> Ticket:
        """Ask for an answer, from inside an event loop.

        Raises:
            QueueFullError: too many are waiting already.
            StoppingError: the engine is being closed.
        """
        with self._changed:
            if not self.alive:
                raise StoppingError
            if len(self._open) >= self._most:
                raise QueueFullError
            self._keys += 1
            ticket = Ticket(self, self._keys)
            reader = _Reader(work, ticket, StopTexts(work.stops))
            self._open.add(self._keys)
            self._mail.new.append((self._keys, reader))
            self._changed.notify()
            return ticket

    def forget(self, key: int) -> None:
        """Drop an answer at the next token."""
        with self._changed:
            if key in self._open:
                self._open.discard(key)
                self._mail.forgotten.add(key)
                self._changed.notify()

    def close(self, grace: float = 0.0) -> int:
        """Take no more work, let answers end for some seconds, cut off the others, stop the thread.

        Returns:
            How many answers were cut off.
        """
        with self._changed:
            at = time.monotonic() + grace
            self._ends_at = at if self._ends_at is None else min(at, self._ends_at)
            self._changed.notify()
        self._thread.join()
        return self.cut_off

    def _run(self) -> None:
        readers: dict[int, _Reader] = {}
        batch = self.generator.live_batch(self._most_rows)
        while (mail := self._next_mail(readers)) is not None:
            outbox: list[tuple[Ticket, Event]] = []
            for key in mail.forgotten:
                readers.pop(key, None)
            try:
                batch.drop(mail.forgotten)
                for key, reader in mail.new:
                    if key not in mail.forgotten:
                        outbox += self._begin(batch, readers, key, reader)
                # Readers need not wait for their prompt to be read to know that it will be.
                _deliver(outbox)
                outbox = []
                if len(batch):
                    updates = batch.step()
                    batch.drop(self._take_in(readers, updates, outbox))
            except Exception as error:
                # Nobody but these readers is to suffer, and the next ones get a fresh batch.
                readers.update((key, new) for key, new in mail.new if key in self._open)
                outbox += _fail_all(readers, error)
                self._finished(list(readers))
                readers.clear()
                batch = self.generator.live_batch(self._most_rows)
            _deliver(outbox)
        self.cut_off = len(readers)
        stopping = Failed("stopping", "The server is being stopped. Ask again in a moment.")
        _deliver([(reader.ticket, stopping) for reader in readers.values()])

    def _next_mail(self, readers: dict[int, _Reader]) -> _Mail | None:
        """Wait until there is something to do; None at the end."""
        with self._changed:
            while not (self._mail.new or self._mail.forgotten or readers):
                if self._ends_at is not None:
                    return None
                self._changed.wait()
            mail, self._mail = self._mail, _Mail()
            if self._ends_at is not None and time.monotonic() >= self._ends_at:
                readers.update(mail.new)
                for key in mail.forgotten:
                    readers.pop(key, None)
                return None
            return mail

    def _begin(
        self, batch: LiveBatch, readers: dict[int, _Reader], key: int, reader: _Reader
    ) -> list[tuple[Ticket, Event]]:
        work = reader.work
        try:
            tokens = batch.add(key, work.prompt, work.arm, work.max_new_tokens)
        except ModelError as error:
            self._finished([key])
            reason: Reason = "prompt" if isinstance(error, PromptError) else "too_long"
            return [(reader.ticket, Failed(reason, str(error)))]
        except Exception:
            self._finished([key])
            return [(reader.ticket, _told_bug())]
        if tokens > self._most_prompt:
            batch.drop([key])
            self._finished([key])
            message = f"The prompt has {tokens} tokens; {self._most_prompt} are read at most."
            return [(reader.ticket, Failed("too_long", message))]
        readers[key] = reader
        return [(reader.ticket, Begun(tokens))]

    def _take_in(
        self,
        readers: dict[int, _Reader],
        updates: Sequence[Update],
        outbox: list[tuple[Ticket, Event]],
    ) -> list[int]:
        """Turn updates into events; returns whose answers a stop text has ended."""
        ended: list[int] = []
        finished: list[int] = []
        for update in updates:
            reader = readers[update.key]
            answer = update.answer
            text = reader.stops.pass_on(update.piece, last=answer is not None)
            if text:
                outbox.append((reader.ticket, Piece(text, update.new_tokens)))
            if answer is None and not reader.stops.found:
                continue
            cut = answer is not None and answer.stop_reason == "length" and not reader.stops.found
            outbox.append((reader.ticket, Done("length" if cut else "stop", update.new_tokens)))
            if answer is None:
                ended.append(update.key)
            finished.append(update.key)
        for key in finished:
            del readers[key]
        self._finished(finished)
        return ended

    def _finished(self, keys: Sequence[int]) -> None:
        if keys:
            with self._changed:
                self._open.difference_update(keys)


def _fail_all(readers: dict[int, _Reader], error: Exception) -> list[tuple[Ticket, Event]]:
    failed = Failed("model", str(error)) if isinstance(error, ModelError) else _told_bug()
    return [(reader.ticket, failed) for reader in readers.values()]


def _told_bug() -> Failed:
    """Inside an except block: the traceback goes to the terminal, a sentence to the reader."""
    logger.exception("This is a bug in Theobot. Please report it with the lines below.")
    return Failed("bug", "The server met a fault of its own; its terminal says which.")


def _deliver(outbox: Sequence[tuple[Ticket, Event]]) -> None:
    """Hand events to the loops of their readers, all events of one loop at once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Ticket, Event]]] = {}
    for ticket, event in outbox:
        by_loop.setdefault(ticket.loop, []).append((ticket, event))
    for loop, pairs in by_loop.items():
        with suppress(RuntimeError):  # a loop that is closed has no readers any more
            loop.call_soon_threadsafe(_put, pairs)


def _put(pairs: Sequence[tuple[Ticket, Event]]) -> None:
    for ticket, event in pairs:
        ticket.put(event)
