"""Debian's Chromium, driven by playwright; in CI a missing browser is a failure."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    # Not of the session: while it is open, its event loop runs, and no test can start another.
    # The headless shell is the same Chromium without windows, and takes less of the processor.
    names = ("chromium-headless-shell", "chromium", "chromium-browser")
    chromium = next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        sentence = "no Chromium; on Debian: apt-get install chromium-headless-shell"
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as run:
        found = run.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield found
        found.close()
