from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx2
import pytest

from theobot.config import ServeSettings
from theobot.generation.scripted import ScriptedBatch, ScriptedGenerator
from theobot.serving.options import ServeOptions
from theobot.serving.server import serving_in_thread


def echo(question: str, arm: str) -> str:
    return f"{arm} on {question}"


class GatedGenerator(ScriptedGenerator):
    """Writes a word for each row whenever the test lets it."""

    def __init__(self, script=echo, **options) -> None:
        super().__init__(script, **options)
        self.steps = threading.Semaphore(0)
        self.batch: ScriptedBatch | None = None

    def let(self, steps: int) -> None:
        self.steps.release(steps)

    def live_batch(self, most_rows: int) -> ScriptedBatch:
        generator = self

        class Gated(ScriptedBatch):
            def step(self):
                generator.steps.acquire()
                return super().step()

        self.batch = Gated(self, most_rows)
        return self.batch


@pytest.fixture
def gated() -> Iterator[GatedGenerator]:
    """Opened at the end, so that its engine can end."""
    generator = GatedGenerator()
    yield generator
    generator.let(10_000)


Open = Callable[..., httpx2.Client]


@pytest.fixture(scope="module")
def client() -> Iterator[httpx2.Client]:
    """Of a server without any options, answered by `echo`."""
    serving = serving_in_thread(ScriptedGenerator(echo))
    with serving as address, httpx2.Client(base_url=address, timeout=60) as opened:
        yield opened


@pytest.fixture
def open_server() -> Iterator[Open]:
    """Start a server and give a client of it; typed settings and options by name."""
    with ExitStack() as stack:

        def start(generator=None, options: dict | None = None, **settings) -> httpx2.Client:
            chosen = ServeOptions(settings=ServeSettings(**settings), **(options or {}))
            generator = generator or ScriptedGenerator(echo)
            url = stack.enter_context(serving_in_thread(generator, chosen))
            return stack.enter_context(httpx2.Client(base_url=url, timeout=60))

        yield start
