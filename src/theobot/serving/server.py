"""Listening: in this process until a signal comes, or in a thread for as long as a block lasts."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType

import uvicorn

from theobot.errors import SettingsError
from theobot.generation.live import LiveGenerator
from theobot.serving.app import build_app
from theobot.serving.engine import Engine
from theobot.serving.hosts import hosts_of
from theobot.serving.options import ServeOptions


def serve(
    generator: LiveGenerator,
    listening: socket.socket,
    options: ServeOptions,
    *,
    on_ready: Callable[[], None] = lambda: None,
) -> int:
    """Serve until Ctrl-C or SIGTERM; a second one cuts running answers off.

    Args:
        generator: who answers.
        listening: see `listen`.
        options: how the server behaves.
        on_ready: called once requests are taken.

    Returns:
        How many answers were cut off at the end.
    """
    engine = Engine(generator)
    server = _Server(engine, options)
    engine.start()
    on_ready()
    server.run([listening])
    return engine.close()


def listen(host: str, port: int) -> socket.socket:
    """Take a port; 0 takes a free one.

    Raises:
        SettingsError: it cannot be used.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, address = found[0][0], found[0][4]
        return socket.create_server(address, family=family, backlog=256)
    except (OSError, OverflowError) as error:
        # `create_server` adds words of its own to what the system says.
        reason = (getattr(error, "strerror", None) or str(error)).partition(" (")[0]
        raise SettingsError(
            f"--host {host} --port {port}: cannot be used ({reason}). Choose another port, or 0 "
            "for any."
        ) from None


def at_home(
    options: ServeOptions, listening: socket.socket, generator: LiveGenerator
) -> ServeOptions:
    """Options completed with what is known once there are a port and a model.

    Args:
        options: how the server behaves.
        listening: see `listen`.
        generator: who answers.
    """
    settings = options.settings
    port = listening.getsockname()[1]
    decoding = generator.describe()["decoding"]
    device = f"{decoding['device']}, {decoding['dtype']}" if "device" in decoding else ""
    return replace(options, device=device, hosts=hosts_of(settings.host, port, settings.name))


@contextmanager
def serving_in_thread(
    generator: LiveGenerator, options: ServeOptions | None = None
) -> Iterator[str]:
    """Serve on a free port of this machine inside the block; gives the address."""
    engine = Engine(generator)
    listening = listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    options = at_home(options or ServeOptions(), listening, generator)
    server = _Server(engine, options)
    engine.start()
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        engine.close()
        server.should_exit = True
        thread.join()


class _Server(uvicorn.Server):
    """uvicorn, saying nothing, that lets answers end before it closes their connections."""

    def __init__(self, engine: Engine, options: ServeOptions) -> None:
        config = uvicorn.Config(
            build_app(engine, options),
            http="h11",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level="error",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=int(options.settings.grace) + 5,
        )
        super().__init__(config)
        self._engine = engine
        self._grace = options.settings.grace

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more requests, let answers end, then close."""
        ended = asyncio.create_task(asyncio.to_thread(self._engine.close, self._grace))
        await super().shutdown(sockets)
        await ended

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """React to a signal; it is not raised again, as stopping is what it asked for."""
        if self.should_exit:
            # In a thread: the main one may be holding what this waits for.
            threading.Thread(target=self._engine.close, daemon=True).start()
        self.should_exit = True
