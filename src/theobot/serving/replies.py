"""Answers as their readers see them: one that is being written, or a text that was fixed before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from theobot.serving.engine import Begun, Done, Event, Failed, Piece, Ticket
from theobot.serving.options import TextFilter
from theobot.serving.protocol import Finish, Usage
from theobot.serving.refusals import RefusalError
from theobot.serving.screen import Screen

_STATUS = {"too_long": 400, "prompt": 400, "model": 500, "bug": 500, "stopping": 503}
_CODES = {
    "too_long": "context_length_exceeded",
    "prompt": "prompt_refused",
    "model": "model_failed",
    "bug": "internal_error",
    "stopping": "stopping",
}


class Reply(Protocol):
    """An answer on its way; its figures grow while it is written.

    `text` is what was shown so far, `notice` a sentence for the reader that came up meanwhile.
    """

    text: str
    finish: Finish | None
    notice: str | None

    async def begin(self) -> None:
        """Wait until the question is accepted; raises RefusalError if it is not."""
        ...

    def pieces(self) -> AsyncIterator[str]:
        """The text as it comes; raises RefusalError where it breaks off."""
        ...

    def usage(self) -> Usage:
        """Tokens so far."""
        ...

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        ...


class FixedReply:
    """A text that no model wrote."""

    def __init__(self, text: str, finish: Finish) -> None:
        self.text = text
        self.finish: Finish | None = finish
        self.notice: str | None = None

    async def begin(self) -> None:
        """See `Reply`."""

    async def pieces(self) -> AsyncIterator[str]:
        """See `Reply`."""
        yield self.text

    def usage(self) -> Usage:
        """None were read or written."""
        return Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0)

    def cancel(self) -> None:
        """See `Reply`."""


class WrittenReply:
    """An answer that the engine writes.

    Args:
        ticket: the claim to it.
        deadline: seconds from now after which it is ended as it stands.
        check: the filter that it has to pass, if any.
    """

    def __init__(self, ticket: Ticket, deadline: float, check: TextFilter | None) -> None:
        self._ticket = ticket
        self._seconds = deadline
        self._ends_at = ticket.loop.time() + deadline
        self._screen = Screen(check)
        self._prompt_tokens = 0
        self._new_tokens = 0
        self._failed: Failed | None = None
        self.text = ""
        self.finish: Finish | None = None
        self.notice: str | None = None

    async def begin(self) -> None:
        """See `Reply`; the prompt is accepted then."""
        try:
            event = await self._next()
        except TimeoutError:
            raise self._busy() from None
        if isinstance(event, Failed):
            raise refusal_of(event)
        assert isinstance(event, Begun), "an accepted prompt is the first event"
        self._prompt_tokens = event.prompt_tokens

    async def pieces(self) -> AsyncIterator[str]:
        """See `Reply`; pieces that wait together come at once."""
        while self.finish is None:
            written = await self._some_more()
            shown = self._screen.pass_on(written, last=self.finish is not None)
            if self._screen.objection is not None:
                self.finish, self.notice = "content_filter", self._screen.objection
                self.cancel()
            if shown:
                self.text += shown
                yield shown

    async def _some_more(self) -> str:
        """Wait for text; sets `finish` at the end."""
        text = ""
        if self._failed is not None:
            raise refusal_of(self._failed)
        try:
            event: Event | None = await self._next()
        except TimeoutError:
            if not self._new_tokens:
                raise self._busy() from None
            self.finish = "length"
            self.notice = f"The answer was ended after {self._seconds:g} seconds."
            self.cancel()
            return text
        while event is not None:
            if isinstance(event, Failed):
                self._failed = event
            if isinstance(event, Piece):
                text += event.text
                self._new_tokens = event.new_tokens
            if isinstance(event, Done):
                self.finish, self._new_tokens = event.finish, event.new_tokens
            event = self._ticket.at_once()
        return text

    def usage(self) -> Usage:
        """See `Reply`."""
        return Usage(
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._new_tokens,
            total_tokens=self._prompt_tokens + self._new_tokens,
        )

    def cancel(self) -> None:
        """See `Reply`."""
        self._ticket.cancel()

    def _busy(self) -> RefusalError:
        """The time is up and nothing was written: no answer is better than an empty one."""
        message = f"No answer could begin within {self._seconds:g} seconds. Ask again later."
        return RefusalError(503, message, code="busy", retry_after=30)

    async def _next(self) -> Event:
        async with asyncio.timeout_at(self._ends_at):
            return await self._ticket.next()


def refusal_of(failed: Failed) -> RefusalError:
    """What a client is told about a failure of the engine."""
    return RefusalError(
        _STATUS[failed.reason],
        failed.message,
        code=_CODES[failed.reason],
        retry_after=5 if failed.reason == "stopping" else None,
    )
