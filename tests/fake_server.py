"""A loopback server with the outer form of OpenAI's API, which behaves as a test tells it.

As a program it answers honestly: `python tests/fake_server.py PORT [DIES_AFTER]`; after so many
requests it kills itself, unless it is told none.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """What comes back: JSON, or text as it is."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = {}


class Asked(NamedTuple):
    """A request as it came."""

    path: str
    body: dict[str, Any]
    headers: Mapping[str, str]


Behaviour = Callable[[Asked], Reply | None]


class FakeServer:
    """Answers in threads; `None` breaks the connection off in the middle of a reply."""

    def __init__(self, behave: Behaviour, port: int = 0) -> None:
        self.behave = behave
        self.asked: list[Asked] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        # A client that was killed in the middle of a request is nothing to report.
        self._server.handle_error = lambda request, address: None  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, asked: Asked) -> Reply | None:
        with self._lock:
            self.asked.append(asked)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return self.behave(asked)
        finally:
            with self._lock:
                self._at_once -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._serve({})

            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers["Content-Length"]))
                if sent:  # else taken back by the client
                    self._serve(json.loads(sent))

            def _serve(self, body: dict[str, Any]) -> None:
                reply = fake.answer(Asked(self.path.removeprefix("/v1/"), body, self.headers))
                text = "" if reply is None else reply.body
                data = (text if isinstance(text, str) else json.dumps(text)).encode()
                try:
                    self.send_response(200 if reply is None else reply.status)
                    for name, value in (reply.headers if reply else {}).items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(data) if reply else 100))
                    self.end_headers()
                    self.wfile.write(data)
                    self.close_connection = reply is None
                except ConnectionError:
                    pass  # the client has gone, as it may

            def log_message(self, *arguments: Any) -> None:
                pass

        return Handler


def completion(text: str, finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    """A reply to a raw prompt; `more` goes into its choice."""
    return {"choices": [{"text": text, "finish_reason": finish, **more}], "usage": usage(text)}


def chat(text: str | None, finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    """A reply to messages; `more` goes into its message."""
    message = {"role": "assistant", "content": text, **more}
    return {"choices": [{"message": message, "finish_reason": finish}], "usage": usage(text or "")}


def usage(text: str) -> dict[str, int]:
    return {"prompt_tokens": 1, "completion_tokens": len(text.split()[:1])}


def models(*names: str) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": name, "object": "model"} for name in names]}


def prompt_of(asked: Asked) -> str:
    """The question, in whatever form it came."""
    messages = asked.body.get("messages")
    return messages[-1]["content"] if messages else asked.body["prompt"]


def honest(asked: Asked) -> Reply:
    """Two models, which say different things, always the same to the same prompt."""
    if asked.path == "models":
        return Reply(models("base", "theobot"))
    said = f"{asked.body['model']} on {prompt_of(asked)} ({asked.body['max_tokens']})"
    words = f"{hashlib.sha256(said.encode()).hexdigest()} because of faith."
    return Reply(chat(words) if asked.path == "chat/completions" else completion(words))


def main() -> None:
    port, *dies_after = map(int, sys.argv[1:])
    lock, count = threading.Lock(), 0

    def behave(asked: Asked) -> Reply:
        nonlocal count
        with lock:
            count += 1
            if dies_after and count > dies_after[0]:
                os.kill(os.getpid(), signal.SIGKILL)
        return honest(asked)

    FakeServer(behave, port)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main()
