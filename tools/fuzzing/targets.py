"""The parsers that take a stranger's file, by name."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fuzzing.oracle import Target

TARGETS = {
    "dataset": ("of_data", "Dataset"),
    "repair": ("of_data", "Repair"),
    "tables": ("of_data", "Tables"),
    "scripture": ("of_data", "Scripture"),
    "settings": ("of_data", "Settings"),
    "questions": ("of_bench", "Questions"),
    "answers": ("of_bench", "Answers"),
    "marks": ("of_bench", "Marks"),
    "replies": ("of_bench", "Replies"),
    "run": ("of_models", "Run"),
    "adapter": ("of_models", "Adapter"),
    "weights": ("of_models", "Weights"),
    "http": ("of_http", "Http"),
}
"""Module and class of each."""


@contextmanager
def opened(name: str) -> Iterator[Target]:
    """A target with a folder of its own, which is gone afterwards."""
    module, kind = TARGETS[name]
    with tempfile.TemporaryDirectory(prefix="theobot-fuzz-") as folder:
        target: Target = getattr(importlib.import_module(f"fuzzing.{module}"), kind)(Path(folder))
        try:
            yield target
        finally:
            target.close()
