"""Fixtures of the pipeline's tests."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from theobot.bench.questions import SETS


@pytest.fixture(scope="session")
def make_question_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes so many made-up questions of each set into a new folder."""

    def make(count: int, ending: str = "?") -> Path:
        folder = tmp_path_factory.mktemp("questions")
        for name in SETS:
            text = "".join(f"What is {name} number {number}{ending}\n" for number in range(count))
            (folder / f"{name}_questions.txt").write_text(text)
        return folder

    return make


@pytest.fixture(scope="session")
def two_ranks() -> Callable[[], list[dict[str, str]]]:
    """What torchrun and `accelerate launch` tell each of two processes by its environment."""

    def tell() -> list[dict[str, str]]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        each = ({"RANK": rank, "LOCAL_RANK": rank} for rank in "01")
        return [{**shared, "GLOO_SOCKET_IFNAME": "lo", **one} for one in each]

    return tell
