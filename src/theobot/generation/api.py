"""Speaking to an OpenAI-compatible server: JSON there and back, patient with a busy one.

What passes by itself (no connection, a full queue, a server being restarted) is tried again;
what does not (an unknown model, a prompt too long) is told at once, in the server's own words.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2

from theobot.errors import ServerError, SettingsError

TOKEN_VARIABLE = "THEOBOT_SERVER_TOKEN"
"""Environment variable with the server's token; no other program's token is ever sent."""

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_MOST_SHOWN = 300


class ApiClient:
    """One server. Safe for several threads.

    Args:
        url: address of the API, with or without "/v1" at its end.
        token: sent as a bearer token; by default that of `THEOBOT_SERVER_TOKEN`, if any.
        timeout: seconds to wait for an answer.
        patience: seconds during which what passes by itself is tried again.
        sleep: how to wait; another one in tests.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout: float = 600.0,
        patience: float = 300.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = normalise_url(url)
        self.patience = patience
        self._sleep = sleep
        token = token or os.environ.get(TOKEN_VARIABLE)
        self._http = httpx2.Client(
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx2.Timeout(timeout, connect=10.0),
            # No other program's proxy for a server on this machine.
            trust_env=not _is_loopback(self.url),
            limits=httpx2.Limits(max_connections=None),
        )

    def __enter__(self) -> Self:
        """Nothing to do: connections are made when needed."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str) -> dict[str, Any]:
        """Fetch a JSON object, such as "models".

        Raises:
            ServerError: see `post`.
        """
        return self._send("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send a JSON object, such as to "chat/completions", and return the answer.

        Raises:
            ServerError: refused, or nothing sound came back while patience lasted. Its `status`
                is the HTTP status, or None when there was no answer at all.
        """
        return self._send("POST", path, body)

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        address = f"{self.url}/{path}"
        deadline = time.monotonic() + self.patience
        pause = _FIRST_PAUSE
        while True:
            try:
                answer = self._http.request(method, address, json=body)
                problem, wished = _problem(answer), _retry_after(answer)
                if problem is None:
                    return dict(answer.json())
                status: int | None = answer.status_code
                passing = status in _PASSING or answer.is_success
            except httpx2.TransportError as error:
                problem, wished, status, passing = _words(error), None, None, True
            # Spread out, so that many requests do not come back at the same moment.
            wait = wished if wished is not None else pause * random.uniform(0.7, 1.3)
            if not passing or time.monotonic() + wait > deadline:
                raise ServerError(f"{address}: {problem}", status)
            self._sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE)


def normalise_url(url: str) -> str:
    """The address under which "/models" is found: "host:8000" -> "http://host:8000/v1".

    Raises:
        SettingsError: no address.
    """
    whole = url if "://" in url else f"http://{url}"
    parts = urlsplit(whole)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise SettingsError(
            f'--server "{url}": no address of a server; such as http://127.0.0.1:8000 was expected.'
        )
    whole = whole.rstrip("/")
    return whole if parts.path.rstrip("/") else f"{whole}/v1"


def _is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


def _problem(answer: httpx2.Response) -> str | None:
    """What is wrong with an answer, or None."""
    try:
        value = answer.json()
    except ValueError:
        value = None
    if answer.is_success:
        if isinstance(value, dict) and "error" not in value:
            return None
        return "answered with something that is no JSON object of this protocol."
    told = value.get("error", value.get("detail")) if isinstance(value, dict) else None
    told = told.get("message") if isinstance(told, dict) else told
    words = " ".join(str(told or answer.text or answer.reason_phrase).split())[:_MOST_SHOWN]
    hint = f" Set the token in {TOKEN_VARIABLE}." if answer.status_code in (401, 403) else ""
    return f"refused with status {answer.status_code}: {words}{hint}"


def _retry_after(answer: httpx2.Response) -> float | None:
    """Seconds that the server asks to wait, where it says a number of them."""
    try:
        return min(max(float(answer.headers["Retry-After"]), 0.0), _LONGEST_PAUSE)
    except (KeyError, ValueError):
        return None


def _words(error: httpx2.TransportError) -> str:
    if isinstance(error, httpx2.ConnectError):
        return "no server answers there. Start it, or check the address."
    if isinstance(error, httpx2.TimeoutException):
        return "the server took too long to answer."
    return f"the connection broke ({str(error) or type(error).__name__})."
