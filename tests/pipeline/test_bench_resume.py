"""Kill -9 at any moment: the finished answer files have the bytes of an undisturbed run."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from theobot.bench.answers import answer_questions, plan_answers
from theobot.bench.questions import read_questions
from theobot.generation.local import LocalGenerator
from theobot.model.adapter import load_adapter, read_adapter_info

CHILD = """
import sys, time
from pathlib import Path
from theobot.bench.benchmark import run_bench
from theobot.generation.scripted import ScriptedGenerator

def say(question, arm):
    time.sleep(0.002)
    return f"{arm} on {question} " + "because " * 500

folder, questions = map(Path, sys.argv[1:])
run_bench(ScriptedGenerator(say), folder, questions=questions, batch_size=2)
assert "torch" not in sys.modules
"""


@pytest.fixture(scope="module")
def question_folder(make_question_folder) -> Path:
    return make_question_folder(20)


def contents(folder: Path) -> dict[str, bytes]:
    """Bytes of all files but those that say when the plan was made."""
    dated = {"plan.json", "report.html", "report.md", "report.json"}
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in dated}


def start(folder: Path, questions: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", CHILD, str(folder), str(questions)])


def test_a_benchmark_killed_again_and_again_ends_with_the_same_bytes(
    tmp_path: Path, question_folder: Path
):
    assert start(tmp_path / "whole", question_folder).wait() == 0
    moments = random.Random(7)
    killed = 0
    for _ in range(3):
        child = start(tmp_path / "killed", question_folder)
        store = tmp_path / "killed" / "answers.jsonl"
        before = store.stat().st_size if store.exists() else 0
        while child.poll() is None and (not store.exists() or store.stat().st_size == before):
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.05))
        child.send_signal(signal.SIGKILL)
        killed += child.wait() == -signal.SIGKILL
    assert killed >= 2
    assert start(tmp_path / "killed", question_folder).wait() == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_a_real_model_goes_on_with_the_same_bytes(
    tmp_path: Path, question_folder: Path, tiny_model, tiny_tokenizer, tiny_adapter_folder: Path
):
    info = read_adapter_info(tiny_adapter_folder)
    generator = LocalGenerator(load_adapter(tiny_model, info), tiny_tokenizer, info, "tiny")
    questions = read_questions(question_folder, limit=2)
    batches = plan_answers(generator, questions, batch_size=4)
    for batch in batches:
        for record in batch.expected:
            record["max_new_tokens"] = 12
    whole = tmp_path / "whole.jsonl"
    list(answer_questions(generator, batches, whole))
    expected = whole.read_bytes()
    moments = random.Random(3)
    store = tmp_path / "cut.jsonl"
    for _ in range(3):
        store.write_bytes(expected[: moments.randrange(len(expected))])
        list(answer_questions(generator, batches, store))
        assert store.read_bytes() == expected


def test_the_seeds_script_name_is_the_bench_command(tmp_path: Path):
    script = Path(__file__).parents[2] / "run_all_bench.py"
    answer = subprocess.run(
        [sys.executable, str(script), "--limit", "0"], capture_output=True, text=True, cwd=tmp_path
    )
    assert answer.returncode == 2
    assert "--limit 0: 1 or more" in answer.stderr


def test_saved_answers_need_no_torch():
    code = (
        "import sys, theobot.bench.benchmark, theobot.generation.chat\n"
        "assert not {'torch', 'transformers', 'peft'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
