"""Several processes share one benchmark, as `accelerate launch` starts them on several GPUs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from theobot.bench.answers import plan_answers, read_answers
from theobot.bench.questions import SETS, read_questions

BIN = Path(sys.executable).parent
VERDICTS = {0, 3, 4}


@pytest.fixture(scope="module")
def question_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("questions")
    for name in SETS:
        text = "".join(f"What is {name} number {n}?\n" for n in range(24))
        (folder / f"{name}_questions.txt").write_text(text)
    return folder


@pytest.fixture(scope="module")
def bench(tiny_base_folder: Path, tiny_adapter_folder: Path, question_folder: Path):
    """Runs `theobot bench` into a folder, after the words of a launcher, if any."""

    def run(output: Path, *launcher: str | Path) -> subprocess.CompletedProcess[str]:
        flags = ["--adapter", tiny_adapter_folder, "--model", tiny_base_folder, "--device", "cpu"]
        start = launcher or (sys.executable,)
        return subprocess.run(
            [
                *map(str, start),
                *("-m", "theobot", "bench", "--questions", str(question_folder), "--same-prompt"),
                *map(str, flags),
                *("-o", str(output)),
            ],
            env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
            capture_output=True,
            text=True,
            timeout=180,
        )

    return run


# `accelerate launch` starts its processes by torchrun too, but on CPUs only one.
LAUNCHER = [
    *(BIN / "torchrun", "--standalone", "--local-addr", "127.0.0.1"),
    *("--nproc-per-node", "2"),
]


def test_two_processes_leave_the_files_of_one(bench, tmp_path: Path, question_folder: Path):
    alone = bench(tmp_path / "alone")
    assert alone.returncode in VERDICTS, alone.stderr
    shared = bench(tmp_path / "shared", *LAUNCHER)
    assert shared.returncode == 0, shared.stderr
    assert "theobot bench report" in shared.stderr
    expected = (tmp_path / "alone" / "answers.jsonl").read_bytes()
    assert (tmp_path / "shared" / "answers.jsonl").read_bytes() == expected
    names = [{path.name for path in (tmp_path / part).iterdir()} for part in ("alone", "shared")]
    assert names[0] == names[1]

    # Both of a broken-off run's parts are used by whoever goes on; here half a line was cut off.
    store = tmp_path / "cut" / "answers.jsonl"
    lines = expected.splitlines(keepends=True)
    batch = 2 * 32
    store.parent.mkdir()
    (store.parent / "answers.part-0.jsonl").write_bytes(b"".join(lines[:batch]) + lines[batch][:9])
    marked = [line.replace(b'"text": "', b'"text": "!') for line in lines[batch : 2 * batch]]
    (store.parent / "answers.part-1.jsonl").write_bytes(b"".join(marked))
    went_on = bench(store.parent, *LAUNCHER)
    assert went_on.returncode == 0, went_on.stderr
    assert store.read_bytes() == b"".join([*lines[:batch], *marked, *lines[2 * batch :]])
    assert len(read_answers(store)) == len(lines) == 2 * 72
    assert not list(store.parent.glob("*part*"))


def test_a_share_is_planned_as_the_whole(question_folder: Path):
    """Which questions share a batch does not hang on how many processes there are."""
    from theobot.generation.scripted import ScriptedGenerator

    questions = read_questions(question_folder)
    batches = plan_answers(ScriptedGenerator({}), questions)
    assert [len(batch.questions) for batch in batches] == [32, 32, 8]
