"""One marker's page on 127.0.0.1, with every mark on disk as soon as it is given.

Only this machine can reach it, and only the browser that was given the secret address may use it:
another site that the browser has open, and a name that points here, are refused (exact Host and
Origin, a token in the path, no cross-origin permission). A body has a limit, and so has waiting.
"""

from __future__ import annotations

import hmac
import json
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from theobot.bench.marking.entries import MarkEntry
from theobot.bench.marking.pack import content_policy, render_page
from theobot.bench.marking.store import MarksStore
from theobot.errors import RunError, SettingsError, TheobotError

HOST = "127.0.0.1"
BODY_LIMIT = 2**20
_PATIENCE = 15.0
"""Seconds for which a request may be silent."""

_ENTRIES = TypeAdapter(Annotated[list[MarkEntry], Field(max_length=10_000)])


class MarkServer(ThreadingHTTPServer):
    """Serves one marker; listens as soon as it is made.

    Args:
        store: the SQLite file.
        data: of the page (see `pack.page_data`), in mode "mark".
        port: 0 takes a free one.

    Raises:
        SettingsError: the port cannot be used.
    """

    daemon_threads = True

    def __init__(self, store: Path, data: Mapping[str, Any], port: int = 0) -> None:
        self.store = store
        self.data = data
        self.token = secrets.token_urlsafe(24)
        self.saved = 0
        self._counting = threading.Lock()
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise SettingsError(
                f"--port {port}: cannot be used ({reason}). Choose another one, or 0 for any."
            ) from None

    @property
    def origin(self) -> str:
        """Where pages of this server come from, as browsers write it."""
        return f"http://{HOST}:{self.server_port}"

    @property
    def address(self) -> str:
        """The page, token included."""
        return f"{self.origin}/{self.token}/"

    def page(self) -> str:
        """The page with everything its marker saved so far."""
        with MarksStore(self.store) as store:
            saved = store.entries(self.data["marker"], "mark")
        return render_page(self.data, saved, server=True)

    def save(self, body: bytes) -> int:
        """Take entries in; returns how many are new.

        Raises:
            ValidationError: the body holds no entries.
            RunError: they are not this marker's.
        """
        entries = _ENTRIES.validate_json(body)
        with MarksStore(self.store) as store:
            added = store.add(self.data["marker"], "mark", entries, "server")
        with self._counting:
            self.saved += added.new
        return added.new

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle of an answer is nothing to report."""


def serve_page(
    store: Path, data: Mapping[str, Any], port: int, on_ready: Callable[[str], None]
) -> int:
    """Serve until Ctrl-C or SIGTERM; returns how many judgements came in.

    Args:
        store: the SQLite file.
        data: of the page.
        port: 0 takes a free one.
        on_ready: told the address, once it answers.

    Raises:
        SettingsError: the port cannot be used.
    """
    server = MarkServer(store, data, port)
    with _stopped_by_signals(server):
        on_ready(server.address)
        server.serve_forever(poll_interval=0.1)
    server.server_close()
    return server.saved


@contextmanager
def _stopped_by_signals(server: MarkServer) -> Iterator[None]:
    """End the loop on a signal; outside the main thread, signals are not ours.

    A request that is cut off was not answered, so that the page will send it again.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        # `shutdown` waits for the loop that this very thread runs.
        threading.Thread(target=server.shutdown, daemon=True).start()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.signal(one, stop) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


class _Handler(BaseHTTPRequestHandler):
    server: MarkServer
    timeout = _PATIENCE
    server_version = "marking"
    sys_version = ""

    def do_GET(self) -> None:
        if self._refused(""):
            return
        try:
            page = self.server.page()
        except TheobotError as error:
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        else:
            self._answer(HTTPStatus.OK, page, "text/html")

    def do_POST(self) -> None:
        if self._refused("marks"):
            return
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            self._answer(HTTPStatus.LENGTH_REQUIRED, "A length was expected.")
        elif len(length) > 9 or int(length) > BODY_LIMIT:
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"At most {BODY_LIMIT} bytes.")
        else:
            self._save(self.rfile.read(int(length)))

    def _save(self, body: bytes) -> None:
        try:
            new = self.server.save(body)
        except ValidationError:
            self._answer(HTTPStatus.BAD_REQUEST, "A list of entries was expected.")
        except RunError as error:
            self._answer(HTTPStatus.CONFLICT, str(error))
        else:
            self._answer(HTTPStatus.OK, json.dumps({"new": new}), "application/json")

    def _refused(self, place: str) -> bool:
        """Whether the request is of somebody else, or for something else; answers then."""
        host = self.headers.get_all("Host") or []
        origin = self.headers.get_all("Origin") or []
        # A browser names the origin of every request that changes something.
        named = self.command == "GET" and not origin
        if host != [f"{HOST}:{self.server.server_port}"]:
            self._answer(HTTPStatus.MISDIRECTED_REQUEST, "This host is not served here.")
        elif not named and origin != [self.server.origin]:
            self._answer(HTTPStatus.FORBIDDEN, "Another site may not ask.")
        elif not self._has_token(place):
            self._answer(HTTPStatus.NOT_FOUND, "Open the whole address that was shown.")
        elif place and self.headers.get_content_type() != "application/json":
            self._answer(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "JSON was expected.")
        else:
            return False
        return True

    def _has_token(self, place: str) -> bool:
        expected = f"/{self.server.token}/{place}"
        return hmac.compare_digest(self.path.encode("utf-8", "replace"), expected.encode())

    def _answer(self, status: HTTPStatus, text: str, kind: str = "text/plain") -> None:
        body = text.encode()
        self.close_connection = True
        self.send_response(status)
        for name, value in {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Content-Security-Policy": f"{content_policy(server=True)}; base-uri 'none'; "
            "frame-ancestors 'none'",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "Connection": "close",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the token out of logs, and the terminal for the person."""
