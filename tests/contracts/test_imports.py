"""What may load torch, and what must answer without it."""

import json
import subprocess
import sys

import pytest

HEAVY = {
    "torch",
    "transformers",
    "peft",
    "datasets",
    "accelerate",
    "matplotlib",
    "scipy",
    "pythonbible",
}


def loaded_by(code: str) -> set[str]:
    """Heavy packages that a fresh interpreter has loaded after running `code`."""
    probe = f"import sys, json\n{code}\nprint('\\n' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60
    )
    return HEAVY & set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("typed", [["--help"], ["train", "--help"], ["--version"], ["runs"]])
def test_the_command_line_answers_without_heavy_packages(typed):
    assert loaded_by(f"from theobot.cli import main\nassert main({typed!r}) == 0") == set()


@pytest.mark.parametrize(
    "module",
    [
        "theobot",
        "theobot.demo",
        "theobot.data.examples",
        "theobot.model.adapter",
        "theobot.model.fetch",
        "theobot.generation.scripted",
        "theobot.bench.answer_files",
        "theobot.bench.scoring.health",
        "theobot.bench.report.files",
        "theobot.bench.marking.marking",
        "theobot.doctor.collect",
        "theobot.doctor.findings",
    ],
)
def test_modules_that_only_read_files_load_nothing_heavy(module):
    assert loaded_by(f"import {module}") == set()


def test_judging_saved_answers_needs_no_torch():
    assert loaded_by("import theobot.bench.judge.judging") <= {"pythonbible"}


def test_python_m_theobot_is_theobot():
    done = subprocess.run(
        [sys.executable, "-m", "theobot", "trian"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "Did you mean" in done.stderr
