"""Listening: in this process until a signal comes, or in a thread for as long as a block lasts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socket import AF_INET, SOCK_STREAM, socket

import uvicorn
from starlette.types import ASGIApp

from theobot.generation.live import LiveGenerator
from theobot.serving.app import build_app
from theobot.serving.engine import Engine
from theobot.serving.options import ServeOptions


def make_server(app: ASGIApp) -> uvicorn.Server:
    """A server that says nothing by itself and keeps no log of who asked."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            access_log=False,
            log_level="error",
            server_header=False,
            proxy_headers=False,
        )
    )


@contextmanager
def serving_in_thread(
    generator: LiveGenerator, options: ServeOptions | None = None
) -> Iterator[str]:
    """Serve on a free port of this machine inside the block; gives the address."""
    engine = Engine(generator)
    listening = socket(AF_INET, SOCK_STREAM)
    listening.bind(("127.0.0.1", 0))
    server = make_server(build_app(engine, options or ServeOptions()))
    engine.start()
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        engine.close()
        server.should_exit = True
        thread.join()
