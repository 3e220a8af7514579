"""One answer, from a plan to its last word: whole, or piece by piece.

The reader may go away, the time may run out, the model may fail: each ends the answer in the
engine, so that nobody computes for nobody.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from theobot.serving.engine import Engine, Failed, QueueFullError, StoppingError, Work
from theobot.serving.options import TextFilter
from theobot.serving.protocol import AnswerExtension, Finish, ScriptureGiven
from theobot.serving.refusals import NO_STORE, RefusalError
from theobot.serving.replies import FixedReply, Reply, WrittenReply, refusal_of

_Result = TypeVar("_Result")


class Plan(NamedTuple):
    """What to answer and how.

    Args:
        model: name of the model for the record.
        work: for the engine; or the whole answer, where that is fixed.
        chat: whether it is a turn of a conversation, or a text continued.
        stream: whether pieces are sent as they come.
        usage: whether a stream ends with token counts.
        check: the filter that the answer has to pass, if any.
        given: scripture that was put before the question.
        hints_first: whether hints are asked for instead of an answer.
        notice: what the reader should know beside the answer.
    """

    model: str
    work: Work | FixedReply
    chat: bool
    stream: bool
    usage: bool
    check: TextFilter | None = None
    given: tuple[ScriptureGiven, ...] = ()
    hints_first: bool = False
    notice: str | None = None


Ended = Callable[[Reply, str | None], None]
"""Told once an answer has ended, however it did, with its notice."""


async def respond(
    request: Request,
    engine: Engine,
    plan: Plan,
    *,
    fingerprint: str,
    deadline: float,
    on_end: Ended | None = None,
) -> Response:
    """Answer a request.

    Args:
        request: its body was read.
        engine: writes the answer.
        plan: what to answer.
        fingerprint: names model and adapter.
        deadline: seconds for the whole answer.
        on_end: see `Ended`.

    Raises:
        RefusalError: there will be no answer.
    """
    reply = _reply(engine, plan, deadline)
    head = _Head(plan, fingerprint)

    def ended() -> None:
        reply.cancel()
        if on_end is not None:
            on_end(reply, head.notice(reply))

    handed_over = False
    try:
        await _unless_gone(request, reply.begin())
        if plan.stream:
            handed_over = True
            return _EventStream(_events(head, reply), ended)
        text = await _unless_gone(request, _whole(reply))
        return JSONResponse(head.whole(text, reply), headers=NO_STORE)
    except _GoneError:
        return Response(status_code=499)
    finally:
        if not handed_over:
            ended()


def _reply(engine: Engine, plan: Plan, deadline: float) -> Reply:
    if isinstance(plan.work, FixedReply):
        return plan.work
    try:
        return WrittenReply(engine.submit(plan.work), deadline, plan.check)
    except QueueFullError:
        message = f"{engine.open} answers are being written or waited for. Ask again in a moment."
        raise RefusalError(429, message, code="queue_full", retry_after=2) from None
    except StoppingError:
        raise refusal_of(Failed("stopping", "The server is being stopped.")) from None


class _Head:
    """The parts of an answer that are the same in all its chunks."""

    def __init__(self, plan: Plan, fingerprint: str) -> None:
        self.plan = plan
        self._same = {
            "id": f"{'chatcmpl' if plan.chat else 'cmpl'}-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": plan.model,
            "system_fingerprint": fingerprint,
        }

    def notice(self, reply: Reply) -> str | None:
        """What the reader should know by now."""
        return " ".join(part for part in (self.plan.notice, reply.notice) if part) or None

    def whole(self, text: str, reply: Reply) -> dict[str, Any]:
        """The answer in one object."""
        choice: dict[str, Any] = {"index": 0, "finish_reason": reply.finish, "logprobs": None}
        usage = reply.usage().model_dump()
        if self.plan.chat:
            choice["message"] = {"role": "assistant", "content": text}
        else:
            choice["text"] = text
        kind = "chat.completion" if self.plan.chat else "text_completion"
        whole = {**self._same, "object": kind, "choices": [choice], "usage": usage}
        return {**whole, **self._extension(reply)}

    def chunks(self, reply: Reply, piece: str | None) -> list[dict[str, Any]]:
        """A chunk of text; None gives those that end a stream."""
        if piece is not None:
            return [self._chunk({"content": piece}, None)]
        last = self._chunk({}, reply.finish)
        if reply.notice:
            last |= self._extension(reply)
        if not self.plan.usage:
            return [last]
        counts = {**self._chunk({}, None), "choices": [], "usage": reply.usage().model_dump()}
        return [last, counts]

    def first(self, reply: Reply) -> list[dict[str, Any]]:
        """The chunk before any text."""
        if not self.plan.chat:
            return []
        return [self._chunk({"role": "assistant", "content": ""}, None) | self._extension(reply)]

    def _extension(self, reply: Reply) -> dict[str, Any]:
        told = AnswerExtension(
            scripture_given=list(self.plan.given),
            hints_first=self.plan.hints_first,
            notice=self.notice(reply),
        )
        return {"theobot": told.model_dump()}

    def _chunk(self, delta: dict[str, str], finish: Finish | None) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish, "logprobs": None}
        if self.plan.chat:
            choice["delta"] = delta
            return {**self._same, "object": "chat.completion.chunk", "choices": [choice]}
        choice["text"] = delta.get("content", "")
        return {**self._same, "object": "text_completion", "choices": [choice]}


async def _whole(reply: Reply) -> str:
    """The text; of an answer that was withheld nothing but why."""
    text = "".join([piece async for piece in reply.pieces()])
    return reply.notice or "" if reply.finish == "content_filter" and reply.notice else text


async def _events(head: _Head, reply: Reply) -> AsyncIterator[str]:
    """The lines of a stream; a failure in the middle is its last event, and no [DONE] follows."""
    for chunk in head.first(reply):
        yield _event(chunk)
    try:
        async for piece in reply.pieces():
            for chunk in head.chunks(reply, piece):
                yield _event(chunk)
    except RefusalError as refusal:
        yield _event(refusal.body())
        return
    for chunk in head.chunks(reply, None):
        yield _event(chunk)
    yield "data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


class _EventStream(StreamingResponse):
    """A stream whose end is noticed, also when the reader goes away."""

    def __init__(self, events: AsyncIterator[str], ended: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream", headers=NO_STORE)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()


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
        with suppress(asyncio.CancelledError):
            await asyncio.gather(work, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
