"""Requests to `serve`, straight into the application: bodies, paths and headers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from theobot.config import ServeSettings
from theobot.errors import ServerError
from theobot.generation.scripted import ScriptedGenerator
from theobot.serving.app import build_app
from theobot.serving.engine import Engine
from theobot.serving.hosts import hosts_of
from theobot.serving.options import ServeOptions

TOKEN = "secret-token"
_CHAT, _TEXT, _CITE = "/v1/chat/completions", "/v1/completions", "/citations"
_ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why John 3:16?"}]
_SMALL: dict[str, Any] = {"model": "theobot", "max_tokens": 3}
_BODIES: list[tuple[str, dict[str, Any]]] = [
    (_CHAT, {**_SMALL, "messages": _ASKED, "temperature": 0, "n": 1, "stop": ["x", "\n"]}),
    (_CHAT, {**_SMALL, "messages": _ASKED[1:], "stream": True, "seed": 5,
             "stream_options": {"include_usage": True}}),
    (_CHAT, {"model": "base", "messages": [{"role": "user", "content": [{"type": "text",
             "text": "Why?"}]}], "theobot": {"scripture": True, "hints_first": True}}),
    (_TEXT, {**_SMALL, "prompt": "User: Why?\nAssistant:", "echo": False, "best_of": 1}),
    (_CITE, {"text": "Genesis 1:1 and Surah 2:256"}),
]  # fmt: skip
_HEADERS = [
    ["GET", "/v1/models", "127.0.0.1:8000", "", f"Bearer {TOKEN}", "", "", ""],
    ["POST", _CHAT, "localhost:8000", "http://localhost:8000", f"bearer {TOKEN}", "", "", "100"],
    ["POST", _CITE, "[::1]:8000", "", "", "class-code", "seat-1234", ""],
    ["GET", "/page/page.js", "school.example", "http://school.example", "Basic eA==", "", "", ""],
]

_SINGLE = {
    "method": "POST",
    "path": _CHAT,
    "host": "127.0.0.1:8000",
    "origin": "http://127.0.0.1:8000",
    "authorization": f"Bearer {TOKEN}",
    "x-class-code": "class-code",
    "x-seat": "seat-1234",
    "content-length": "100",
}
"""Parts of a head of which one alone is damaged, in their order."""
_PLACES = {name: place for place, name in enumerate(_SINGLE)}


class Http:
    """The application as a server builds it, with a token, a class code and a scripted model."""

    name = "http"
    dictionary = (
        *("model", "messages", "role", "content", "max_tokens", "stream", "stop", "prompt", "text"),
        *("theobot", "base", "user", "assistant", "developer", "temperature", "logprobs", "type"),
        *("127.0.0.1:8000", "[::1]:8000", "localhost:0", "@", "Bearer", TOKEN, "..%2f", "null"),
    )

    def __init__(self, folder: Path) -> None:
        self.engine = Engine(ScriptedGenerator(lambda question, arm: f"{arm} says so to you"))
        self.engine.start()
        self.loop = asyncio.new_event_loop()
        settings = ServeSettings(class_code="class-code", per_minute=10**9)
        options = ServeOptions(
            settings=settings, hosts=hosts_of("127.0.0.1", 8000, ("school.example",)), token=TOKEN
        )
        # The guard forgets nothing within a minute; a new one for each request knows no one.
        self.options = options
        self.app = build_app(self.engine, options)
        self.corpus = [(path, json.dumps(body).encode()) for path, body in _BODIES]
        self.corpus += [("headers", json.dumps(lines).encode()) for lines in _HEADERS]
        self.corpus += [(name, text.encode()) for name, text in _SINGLE.items()]

    def run(self, file: str, data: bytes) -> None:
        """See `oracle.Target`."""
        head = ["POST", file, "127.0.0.1:8000", "", f"Bearer {TOKEN}", "", "", ""]
        body = data
        if file in _SINGLE:
            head[_PLACES[file]] = data.decode("utf-8", "replace")
            head[1] = _CHAT if file != "path" else head[1]
            if file == "x-class-code":
                head[4], head[6] = "", "seat-1234"
            body = json.dumps(_BODIES[0][1]).encode()
        elif file == "headers":
            head, body = self._head_of(data), json.dumps(_BODIES[0][1]).encode()
        status, sent = self._wait(self._ask(head, body))
        assert status < 500 or status == 503, f"status {status}: {sent[:300]!r}"
        if 400 <= status != 499 and head[0] != "HEAD":
            told = json.loads(sent)["error"]
            assert set(told) == {"message", "type", "param", "code"}
            raise ServerError(told["message"], status)

    @staticmethod
    def _head_of(data: bytes) -> list[str]:
        """The parts of a request's head; whatever the file says, as a server would hand it on."""
        try:
            parts = json.loads(data)
        except (ValueError, RecursionError):
            parts = data.decode("latin-1").split("\n")
        parts = [str(part) for part in parts] if isinstance(parts, list) else [str(parts)]
        return [*parts, *[""] * 8][:8]

    async def _ask(self, head: list[str], body: bytes) -> tuple[int, bytes]:
        method, path, host, origin, token, code, seat, length = head
        names = {"host": host, "origin": origin, "authorization": token, "x-class-code": code,
                 "x-seat": seat, "content-length": length,
                 "content-type": "application/json"}  # fmt: skip
        headers = [
            (name.encode(), value.encode("latin-1", "replace"))
            for name, value in names.items()
            if value
        ]
        scope = {
            "type": "http", "http_version": "1.1", "asgi": {"version": "3.0"}, "method": method,
            "path": path, "raw_path": path.encode("utf-8", "replace"), "query_string": b"",
            "root_path": "", "scheme": "http", "headers": headers, "client": ("127.0.0.1", 9),
            "server": ("127.0.0.1", 8000),
        }  # fmt: skip
        sent: list[dict[str, Any]] = []
        asked = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if asked:
                return asked.pop()
            return await asyncio.Event().wait() or {}  # type: ignore[return-value]

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)  # type: ignore[arg-type]
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])

    def _wait(self, asked: Coroutine[Any, Any, tuple[int, bytes]]) -> tuple[int, bytes]:
        return self.loop.run_until_complete(asked)

    def close(self) -> None:
        """Stop the thread that writes answers."""
        self.engine.close()
        self.loop.close()
