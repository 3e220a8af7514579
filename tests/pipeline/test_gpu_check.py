"""`make gpu-check` on a machine without a GPU: a tiny model shows that the check itself works."""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def check(monkeypatch) -> dict[str, Any]:
    """The script's globals; its modules and variables are gone after the test."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    before = set(sys.modules)
    yield runpy.run_path(str(FOLDER / "gpu_check.py"))
    for name in set(sys.modules) - before:
        if (FOLDER / f"{name}.py").is_file():
            del sys.modules[name]


def test_a_small_run_measures_and_reports_every_part(check, tmp_path, monkeypatch, capsys):
    parts = "machine,attention,memory,theobot,trainer,nano,tests"
    typed = ["--small", "--steps", "1", "--only", parts, "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", *typed])
    assert check["main"]() == 0
    found = json.loads((tmp_path / "out" / "gpu.json").read_text())
    by_name = {part["name"]: part for part in found["parts"]}
    assert list(by_name) == parts.split(",")
    assert {name for name in by_name if by_name[name]["status"] != "done"} == {"tests"}
    assert by_name["theobot"]["found"]["figures"]["examples_per_second"] > 0
    assert by_name["trainer"]["found"]["figures"]["first_gradient_apart"] < 0.05
    assert by_name["nano"]["found"]["figures"]["adapters_apart"] < 0.01
    assert by_name["memory"]["found"]["figures"]["allocated_gib"] > 0
    page = (tmp_path / "out" / "gpu.md").read_text()
    assert page == capsys.readouterr().out
    assert "| flash, tried | works |" in page
    assert "Not judged" in page


def test_without_a_gpu_it_says_so_and_fails(check, tmp_path, monkeypatch, capsys):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--output", str(tmp_path)])
    assert check["main"]() == 1
    assert "start: failed" in capsys.readouterr().out
    assert "No CUDA or ROCm GPU was found" in (tmp_path / "gpu.md").read_text()


def test_another_trainer_is_not_measured_without_theobots_first_step(
    check, tmp_path, monkeypatch, capsys
):
    typed = ["--small", "--steps", "1", "--only", "trainer", "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", *typed])
    check["main"]()
    (part,) = json.loads((tmp_path / "out" / "gpu.json").read_text())["parts"]
    assert (part["name"], part["status"]) == ("trainer", "not measured")
    assert "the part theobot did not run" in part["reason"]
