"""One answer, from an accepted request to its last word: whole, or piece by piece.

The reader may go away, the time may run out, the model may fail: each ends the answer in the
engine, so that nobody computes for nobody.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from theobot.serving.engine import (
    Begun,
    Done,
    Engine,
    Event,
    Failed,
    Piece,
    QueueFullError,
    StoppingError,
    Ticket,
    Work,
)
from theobot.serving.protocol import AnswerExtension, Finish, Usage
from theobot.serving.refusals import NO_STORE, RefusalError

_Result = TypeVar("_Result")

_STATUS = {"too_long": 400, "model": 500, "bug": 500, "stopping": 503}
_CODES = {
    "too_long": "context_length_exceeded",
    "model": "model_failed",
    "bug": "internal_error",
    "stopping": "stopping",
}


class Plan(NamedTuple):
    """What to answer and how.

    Args:
        work: for the engine.
        model: name of the model for the record.
        chat: whether it is a turn of a conversation, or a text continued.
        stream: whether pieces are sent as they come.
        usage: whether a stream ends with token counts.
        extension: what the reader should know beside the answer.
    """

    work: Work
    model: str
    chat: bool
    stream: bool
    usage: bool
    extension: AnswerExtension


class Answer:
    """An answer that is being written, as its reader sees it."""

    def __init__(self, ticket: Ticket, deadline: float) -> None:
        self._ticket = ticket
        self._ends_at = ticket.loop.time() + deadline
        self._seconds = deadline
        self.prompt_tokens = 0
        self.new_tokens = 0
        self.finish: Finish = "stop"

    async def begin(self) -> None:
        """Wait until the prompt is accepted.

        Raises:
            RefusalError: it is not, or nothing happened in time.
        """
        try:
            event = await self._next()
        except TimeoutError:
            message = f"No answer could begin within {self._seconds:g} seconds. Ask again later."
            raise RefusalError(503, message, code="busy", retry_after=30) from None
        if isinstance(event, Failed):
            raise refusal_of(event)
        assert isinstance(event, Begun), "an accepted prompt is the first event"
        self.prompt_tokens = event.prompt_tokens

    async def pieces(self) -> AsyncIterator[str]:
        """The text as it comes, pieces that wait together at once.

        Raises:
            RefusalError: the engine cannot go on.
        """
        event: Event | None = None
        while not isinstance(event, Done):
            try:
                event = await self._next()
            except TimeoutError:
                self.finish = "length"
                return
            text = ""
            while isinstance(event, Piece):
                text += event.text
                self.new_tokens = event.new_tokens
                event = self._ticket.at_once()
            if text:
                yield text
            if isinstance(event, Failed):
                raise refusal_of(event)
            if isinstance(event, Done):
                self.finish, self.new_tokens = event.finish, event.new_tokens

    def usage(self) -> Usage:
        """Tokens so far."""
        return Usage(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.new_tokens,
            total_tokens=self.prompt_tokens + self.new_tokens,
        )

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


async def respond(
    request: Request, engine: Engine, plan: Plan, fingerprint: str, deadline: float
) -> Response:
    """Answer a request.

    Raises:
        RefusalError: there will be no answer.
    """
    try:
        ticket = engine.submit(plan.work)
    except QueueFullError:
        message = f"{engine.open} answers are being written or waited for. Ask again in a moment."
        raise RefusalError(429, message, code="queue_full", retry_after=2) from None
    except StoppingError:
        raise refusal_of(Failed("stopping", "The server is being stopped.")) from None
    answer = Answer(ticket, deadline)
    head = _Head(plan, fingerprint)
    handed_over = False
    try:
        await _unless_gone(request, answer.begin())
        if plan.stream:
            handed_over = True
            return _EventStream(_events(head, answer), ticket)
        text = await _unless_gone(request, _whole(answer))
        return JSONResponse(head.whole(text, answer), headers=NO_STORE)
    except _GoneError:
        return Response(status_code=499)
    finally:
        if not handed_over:
            ticket.cancel()


class _Head:
    """The parts of an answer that are the same in all its chunks."""

    def __init__(self, plan: Plan, fingerprint: str) -> None:
        self.plan = plan
        prefix = "chatcmpl" if plan.chat else "cmpl"
        self._same = {
            "id": f"{prefix}-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": plan.model,
            "system_fingerprint": fingerprint,
        }

    def whole(self, text: str, answer: Answer) -> dict[str, Any]:
        """The answer in one object."""
        choice: dict[str, Any] = {
            "index": 0,
            "finish_reason": answer.finish,
            "logprobs": None,
        }
        usage = answer.usage().model_dump()
        if not self.plan.chat:
            choice["text"] = text
            return {**self._same, "object": "text_completion", "choices": [choice], "usage": usage}
        choice["message"] = {"role": "assistant", "content": text}
        return {
            **self._same,
            "object": "chat.completion",
            "choices": [choice],
            "usage": usage,
            "theobot": self.plan.extension.model_dump(),
        }

    def first(self) -> dict[str, Any] | None:
        """The chunk before any text."""
        if not self.plan.chat:
            return None
        chunk = self._chunk({"role": "assistant", "content": ""}, None)
        return {**chunk, "theobot": self.plan.extension.model_dump()}

    def piece(self, text: str) -> dict[str, Any]:
        """A chunk of text."""
        return self._chunk({"content": text}, None)

    def last(self, answer: Answer) -> dict[str, Any]:
        """The chunk that says how it ended."""
        return self._chunk({}, answer.finish)

    def usage(self, answer: Answer) -> dict[str, Any]:
        """The chunk of token counts."""
        return {**self._chunk({}, None), "choices": [], "usage": answer.usage().model_dump()}

    def _chunk(self, delta: dict[str, str], finish: Finish | None) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish, "logprobs": None}
        if self.plan.chat:
            choice["delta"] = delta
            return {**self._same, "object": "chat.completion.chunk", "choices": [choice]}
        choice["text"] = delta.get("content", "")
        return {**self._same, "object": "text_completion", "choices": [choice]}


async def _whole(answer: Answer) -> str:
    return "".join([piece async for piece in answer.pieces()])


async def _events(head: _Head, answer: Answer) -> AsyncIterator[str]:
    """The lines of a stream; a failure in the middle is its last event, and no [DONE] follows."""
    if (first := head.first()) is not None:
        yield _event(first)
    try:
        async for piece in answer.pieces():
            yield _event(head.piece(piece))
    except RefusalError as refusal:
        yield _event(refusal.body())
        return
    yield _event(head.last(answer))
    if head.plan.usage:
        yield _event(head.usage(answer))
    yield "data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


class _EventStream(StreamingResponse):
    """A stream that gives up its answer when the reader goes away."""

    def __init__(self, events: AsyncIterator[str], ticket: Ticket) -> None:
        super().__init__(events, media_type="text/event-stream", headers=NO_STORE)
        self._ticket = ticket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ticket.cancel()


class _GoneError(Exception):
    """The reader has closed the connection."""


async def _unless_gone(request: Request, wanted: Awaitable[_Result]) -> _Result:
    """Wait for something while its reader is there."""
    work = asyncio.ensure_future(wanted)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise _GoneError
        return work.result()
    finally:
        for task in (work, gone):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
