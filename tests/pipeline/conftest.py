"""Fixtures of the pipeline's tests."""

from __future__ import annotations

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
