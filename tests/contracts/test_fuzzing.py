"""The fuzzers are alive: a short run of each; `make fuzz` is the long one."""

from __future__ import annotations

import json
import zlib

import pytest
from fuzzing.mutation import Mutator, extremes
from fuzzing.oracle import Fault, attempt, fuzz
from fuzzing.targets import TARGETS, opened

from theobot.errors import TheobotError

INPUTS = {"tables": 3, "weights": 60, "answers": 60, "marks": 100, "run": 100}
"""Slow ones get fewer."""


@pytest.mark.parametrize("name", TARGETS)
def test_no_damaged_file_ends_in_a_traceback(name):
    with opened(name) as target:
        outcome = fuzz(target, INPUTS.get(name, 200), seed=20, with_extremes=False)
    assert not outcome.faults, "\n".join(f"{fault.file}: {fault.sign}\n{fault.detail}"
                                         for fault in outcome.faults)  # fmt: skip
    assert outcome.refused or name in ("repair", "scripture")


class Careless:
    """A parser with every fault."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def run(self, file: str, data: bytes) -> None:
        if isinstance(self.error, TimeoutError):
            while True:
                pass
        raise self.error


@pytest.mark.parametrize(
    "error", [KeyError("x"), TheobotError(" "), TheobotError([]), SystemExit(1), TimeoutError()]
)
def test_every_fault_is_found(error):
    assert isinstance(attempt(Careless(error), "x", b"", 0.05), Fault)


def test_a_clear_sentence_is_none():
    assert attempt(Careless(TheobotError("x: no such file.")), "x", b"", 1) is True


def test_the_same_seed_damages_in_the_same_way():
    sound = b'{"a": [1, "two", {"b": null}]}\n{"c": 1.5}\n'
    both = [[mutator.damage(sound) for _ in range(200)] for mutator in (Mutator(3), Mutator(3))]
    assert both[0] == both[1]
    assert len(set(both[0])) > 150


def test_the_sound_files_are_the_same_in_each_process():
    """Python's `hash` of a text is not."""
    with opened("marks") as target:
        entries = json.loads(target.corpus[0][1])["entries"]
    assert entries[0]["id"].startswith(f"{zlib.crc32(b'Ann'):08x}")


def test_extremes_are_large_and_deep():
    found = list(extremes(b'{"a": "b"}', 1, within=1))
    assert max(map(len, found)) >= 1_000_000
    assert any(one.startswith(b"[" * 100_000) for one in found)
