"""Who may ask what, decided before anything else looks at a request.

A server on a teacher's machine is reachable from every page in that machine's browser, and one in
a school from everybody on its network. Refused are other names (see `hosts`), other origins,
anything that a form could send, missing tokens, bodies without end, and too much at a time.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from theobot.serving.limits import AtATime, PerMinute
from theobot.serving.options import ServeOptions
from theobot.serving.refusals import RefusalError

BODY_LIMIT = 256 * 1024
"""Bytes of a request."""

_BODY_SECONDS = 15.0
_DRAINED = 16 * 2**20
_WRONG_A_MINUTE = 20
"""Wrong tokens and class codes of one address, after which it has to wait."""

_ANSWERS = frozenset({"/v1/chat/completions", "/v1/completions"})
_OF_PUPILS = frozenset({"/about", "/citations", "/v1/models", "/v1/chat/completions"})
_SEAT = re.compile(r"[A-Za-z0-9_-]{8,64}")


class _Client(NamedTuple):
    """Who asks: a name for the counts, and the pupil's seat, if it is one."""

    name: str
    seat: str | None = None


class Guard:
    """ASGI middleware around the whole application.

    Args:
        app: sees only requests that are in order, each with its body.
        options: what the server demands.
    """

    def __init__(self, app: ASGIApp, options: ServeOptions) -> None:
        self._app = app
        self._options = options
        self._at_a_time = AtATime(options.per_client)
        self._per_minute = PerMinute(options.settings.per_minute)
        self._wrong = PerMinute(_WRONG_A_MINUTE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        try:
            self._check_sender(headers)
            client = self._check_access(scope, headers)
            if scope["method"] == "POST":
                _check_kind(headers)
                receive = _replay(await _read_body(headers, receive), receive)
            if scope["path"] in _ANSWERS and scope["method"] == "POST":
                await self._pass_on_counted(client, scope, receive, send)
                return
        except RefusalError as refusal:
            await refusal.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check_sender(self, headers: Headers) -> None:
        hosts = headers.getlist("host")
        if self._options.hosts is not None and not (
            len(hosts) == 1 and self._options.hosts.accept(hosts[0])
        ):
            raise RefusalError(421, "This server is not known by that name.", code="wrong_host")
        origins = headers.getlist("origin")
        own = {f"{scheme}://{host}" for scheme in ("http", "https") for host in hosts}
        if any(origin not in own for origin in origins):
            raise RefusalError(403, "Another site may not ask.", code="wrong_origin")

    def _check_access(self, scope: Scope, headers: Headers) -> _Client:
        options, path = self._options, scope["path"]
        class_code = options.settings.class_code
        address = scope["client"][0] if scope.get("client") else "unknown"
        open_to_all = path in ("/", "/health") or path.startswith("/page/")
        if open_to_all or (options.token is None and class_code is None):
            return _Client(address)
        if wait := self._wrong.wait(address):
            message = "Too many wrong tokens or class codes came from this address."
            raise RefusalError(429, message, code="too_many_wrong", retry_after=wait)
        kind, _, token = headers.get("authorization", "").partition(" ")
        if options.token and kind.lower() == "bearer" and _same(token, options.token):
            return _Client(address)
        code = headers.get("x-class-code")
        knows_code = class_code and code is not None and _same(code, class_code)
        # A pupil who knows the code may not guess tokens beside it without end.
        if token or (code is not None and not knows_code):
            self._wrong.count(address)
        if knows_code:
            return _pupil(headers, path)
        if class_code:
            raise RefusalError(401, "The class code is needed.", code="class_code_needed")
        raise RefusalError(401, "The server's token is needed.", code="token_needed")

    async def _pass_on_counted(
        self, client: _Client, scope: Scope, receive: Receive, send: Send
    ) -> None:
        scope["theobot.seat"] = client.seat
        if client.seat is not None:
            if wait := self._per_minute.wait(client.seat):
                message = f"{self._options.settings.per_minute} questions a minute are the most."
                raise RefusalError(429, message, code="too_many_questions", retry_after=wait)
            self._per_minute.count(client.seat)
        with self._at_a_time.one_more(client.name) as may:
            if not may:
                message = f"{self._options.per_client} answers at a time are the most for one."
                raise RefusalError(429, message, code="too_many_at_a_time", retry_after=5)
            await self._app(scope, receive, send)


def _pupil(headers: Headers, path: str) -> _Client:
    seat = headers.get("x-seat", "")
    if not _SEAT.fullmatch(seat):
        message = "X-Seat: 8 to 64 letters, digits, - or _ were expected."
        raise RefusalError(400, message, param="X-Seat", code="seat_needed")
    if path not in _OF_PUPILS:
        raise RefusalError(403, "A class code does not open this address.", code="not_for_pupils")
    return _Client(f"seat {seat}", seat)


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.strip().encode(), expected.encode())


def _check_kind(headers: Headers) -> None:
    """Only JSON: a form of another site can send anything else without asking the browser."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        message = "Content-Type: application/json was expected."
        raise RefusalError(415, message, param="Content-Type", code="json_expected")


async def _read_body(headers: Headers, receive: Receive) -> bytes:
    """The whole body, whether its length was announced or not."""
    body = bytearray()
    seen = 0
    # A client that waits for leave to send (Expect) needs no more than the refusal.
    announced = headers.get("content-length", "")
    known = announced.isascii() and announced.isdigit()
    # Python reads no number of thousands of digits.
    large = known and (len(announced) > 9 or int(announced) > BODY_LIMIT)
    patient = not (large and "expect" in headers)
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            more = patient
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RefusalError(400, "The request broke off.")
                seen += len(message.get("body", b""))
                more = message.get("more_body", False) and seen <= _DRAINED
                # What is too long is read to its end all the same: many clients read no answer
                # before they have sent everything.
                if seen <= BODY_LIMIT:
                    body += message.get("body", b"")
    except TimeoutError:
        raise RefusalError(408, f"The body took longer than {_BODY_SECONDS:g} seconds.") from None
    if seen > BODY_LIMIT or not patient:
        raise RefusalError(413, f"At most {BODY_LIMIT:,} bytes are read.", code="too_large")
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body at once, and then whatever else comes."""
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
