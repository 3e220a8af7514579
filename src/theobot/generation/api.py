"""Speaking to an OpenAI-compatible server: JSON there and back, patient with a busy one.

What passes by itself (no connection, a full queue, a server being restarted) is tried again;
what does not (an unknown model, a prompt too long) is told at once, in the server's own words.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from types import FrameType, TracebackType
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

import httpx2

from theobot.errors import ServerError, SettingsError

_Found = TypeVar("_Found")

TOKEN_VARIABLE = "THEOBOT_SERVER_TOKEN"
"""Environment variable with the server's token; no other program's token is ever sent."""

PATIENCE = 300.0
"""Seconds from a first failure during which a request is tried again."""

_TIMEOUT = 1800.0
"""Seconds for an answer: long, since a server that computes slowly keeps the others waiting."""

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_MOST_SHOWN = 300
_ENDS = ("/chat/completions", "/completions", "/models")


class _Failure(NamedTuple):
    """Why a try failed, whether another may not, and the pause the server asks for."""

    words: str
    status: int | None = None
    passing: bool = True
    pause: float = 0.0


def run(main: Coroutine[Any, Any, _Found]) -> _Found:
    """As `asyncio.run`, but SIGTERM ends it as Ctrl-C does: what runs is cancelled.

    An exception raised by the signal itself may come between two lines of the event loop, after a
    step has been taken from its queue and before it is run. The task of that step then waits for
    ever, and the loop, which is to end when all tasks have, waits for the task.

    Raises:
        KeyboardInterrupt: stopped by Ctrl-C or SIGTERM.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    # A handler of its own is left to who set it, as asyncio does with that of Ctrl-C.
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.default_int_handler:
        return asyncio.run(main)
    task: asyncio.Task[Any] | None = None
    stopped = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        if task is not None and not task.done():
            task.get_loop().call_soon_threadsafe(task.cancel)

    async def stoppable() -> _Found:
        nonlocal task
        task = asyncio.current_task()
        if stopped and task is not None:
            task.cancel()
        return await main

    signal.signal(signal.SIGTERM, stop)
    try:
        found = asyncio.run(stoppable())
    except asyncio.CancelledError:
        if not stopped:
            raise
    finally:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    if stopped:
        raise KeyboardInterrupt
    return found


class ApiClient:
    """One server, for the event loop it is used in; any number of requests at a time.

    Args:
        url: address of the API, with or without "/v1" at its end.
        token: sent as a bearer token; by default that of `THEOBOT_SERVER_TOKEN`, if any.
        timeout: seconds to wait for an answer.
        patience: seconds during which what passes by itself is tried again.
        on_wait: told in a sentence what is waited for, at most once in half a minute.
        sleep: how to wait; another one in tests.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout: float = _TIMEOUT,
        patience: float = PATIENCE,
        on_wait: Callable[[str], None] = lambda text: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.url = normalise_url(url)
        self.patience = patience
        self._on_wait = on_wait
        self._told = -_LONGEST_PAUSE
        self._sleep = sleep
        self._http = httpx2.AsyncClient(
            headers=_authorization(token or os.environ.get(TOKEN_VARIABLE, "")),
            timeout=httpx2.Timeout(timeout, connect=10.0),
            # Without TLS there is nothing to verify, and reading all certificates takes a while.
            verify=self.url.startswith("https:"),
            # No other program's proxy for a server on this machine.
            trust_env=not _is_loopback(self.url),
            limits=httpx2.Limits(max_connections=None),
        )

    async def __aenter__(self) -> Self:
        """Nothing to do: connections are made when needed."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def get(self, path: str) -> dict[str, Any]:
        """Fetch a JSON object, such as "models".

        Raises:
            ServerError: see `post`.
        """
        return await self._send("GET", path, None)

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send a JSON object, such as to "chat/completions", and return the answer.

        Raises:
            ServerError: refused, or nothing sound came back while patience lasted. Its `status`
                is the HTTP status, or None when there was no answer at all.
        """
        return await self._send("POST", path, body)

    async def _send(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        address = f"{self.url}/{path}"
        deadline: float | None = None
        pause = _FIRST_PAUSE
        while True:
            found = await self._try(method, address, body)
            if not isinstance(found, _Failure):
                return found
            now = time.monotonic()
            # From the first failure on: an answer may have taken longer than all patience.
            deadline = now + self.patience if deadline is None else deadline
            # Spread out, so that many requests do not come back at the same moment.
            wait = max(found.pause, pause * random.uniform(0.7, 1.3))
            if not found.passing or now + wait > deadline:
                raise ServerError(f"{address}: {found.words}", found.status)
            if now - self._told >= _LONGEST_PAUSE:
                self._told = now
                self._on_wait(f"{address}: {found.words} Trying again.")
            await self._sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _try(
        self, method: str, address: str, body: dict[str, Any] | None
    ) -> dict[str, Any] | _Failure:
        try:
            answer = await self._http.request(method, address, json=body)
        except httpx2.RequestError as error:
            return _Failure(_words_of(error))
        value = _json_of(answer)
        if answer.is_success and isinstance(value, dict) and not value.get("error"):
            return value
        passing = answer.is_success or answer.status_code in _PASSING
        return _Failure(_refusal(answer, value), answer.status_code, passing, _retry_after(answer))


def _authorization(token: str) -> dict[str, str]:
    token = token.strip()
    if not (token.isascii() and token.isprintable()):
        raise SettingsError(f"{TOKEN_VARIABLE}: holds letters that no token has. Copy it again.")
    return {"Authorization": f"Bearer {token}"} if token else {}


def normalise_url(url: str) -> str:
    """The address under which "/models" is found: "host:8000" -> "http://host:8000/v1".

    Raises:
        SettingsError: no address, or one with a password in it.
    """
    whole = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(whole)
        sound = parts.scheme in ("http", "https") and parts.port != 0 and httpx2.URL(whole).host
    except (ValueError, httpx2.InvalidURL):
        sound = ""
    if not sound or parts.query or parts.fragment or any(map(str.isspace, url)):
        raise SettingsError(
            f'--server "{url}": no address of a server; such as http://127.0.0.1:8000 was expected.'
        )
    if "@" in parts.netloc:
        # Not repeated: the address is kept in files, the password must not even be shown.
        raise SettingsError(
            f"--server {parts.scheme}://...@{parts.hostname}: the address holds a name or "
            f"password. Leave it out, and set a token in {TOKEN_VARIABLE}."
        )
    whole = whole.rstrip("/")
    for end in _ENDS:
        whole = whole.removesuffix(end)
    return whole if urlsplit(whole).path else f"{whole}/v1"


def _is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


def _json_of(answer: httpx2.Response) -> Any:
    try:
        return answer.json()
    except (ValueError, RecursionError):
        return None


def _refusal(answer: httpx2.Response, value: Any) -> str:
    """What is wrong with an answer, as far as possible in the server's own words."""
    told = None
    if isinstance(value, dict):
        told = value.get("error") or value.get("detail") or value.get("message")
    told = told.get("message") if isinstance(told, dict) else told
    if answer.is_success and told is None:
        return "answered with something that is no JSON object of this protocol."
    words = " ".join(str(told or answer.text or answer.reason_phrase).split())[:_MOST_SHOWN]
    hint = f" Set the token in {TOKEN_VARIABLE}." if answer.status_code in (401, 403) else ""
    return f"refused with status {answer.status_code}: {words.rstrip('.')}.{hint}"


def _retry_after(answer: httpx2.Response) -> float:
    """Seconds that the server asks to wait, where it says a number of them; else 0."""
    wished = answer.headers.get("Retry-After", "")
    return min(float(wished), _LONGEST_PAUSE) if wished.isascii() and wished.isdigit() else 0.0


def _words_of(error: httpx2.RequestError) -> str:
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return f"no server answers there ({error}). Start it, or check the address."
    if isinstance(error, httpx2.TimeoutException):
        return "the server took too long to answer."
    return f"the connection broke ({str(error) or type(error).__name__})."
