"""The benchmark over a server: a report that says what is not known, and no answer ever lost."""

from __future__ import annotations

import json
import runpy
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from theobot import cli
from theobot.bench.answers import BATCH_SIZE

PROGRAM = Path(__file__).parents[1] / "fake_server.py"
FAKES = runpy.run_path(str(PROGRAM))
Reply, honest = FAKES["Reply"], FAKES["honest"]
WITHOUT_TORCH = """
import sys
from theobot.cli import main
code = main(sys.argv[1:])
assert not {"torch", "transformers", "peft"} & set(sys.modules)
sys.exit(code)
"""


@pytest.fixture
def questions(make_question_folder) -> Path:
    folder: Path = make_question_folder(24)
    choice = {
        "id": "out_of_domain-01",
        "set": "out_of_domain",
        "question": "What is out_of_domain number 0?",
        "check": {"kind": "number", "value": 7},
    }
    (folder / "references.jsonl").write_text(json.dumps(choice) + "\n")
    return folder


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """An adapter that nothing here loads: only its hash and its prompt format are read."""
    folder = tmp_path / "run" / "adapter"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 4}')
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


def few(questions: Path) -> list[str]:
    return ["--questions", str(questions), "--limit", "2"]


def contents(folder: Path) -> dict[str, bytes]:
    """Bytes of all files but those that say when the plan was made."""
    dated = {"plan.json", "report.html", "report.md", "report.json"}
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in dated}


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]


def test_a_benchmark_over_a_server_says_what_is_not_known(serve, questions, tmp_path, capsys):
    server = serve(honest)
    out = tmp_path / "out"
    typed = ["bench", "--server", server.url, *few(questions), "-o", str(out)]
    assert cli.main(typed) == 4
    first, *notes = capsys.readouterr().err.splitlines()
    assert f'Server: {server.url}, base model "base", Theobot "theobot"' in first
    assert any("Which adapter the server uses is not known" in note for note in notes)
    assert {record["adapter_sha256"] for record in records(out)} == {None}
    assert {record["prompt_format"] for record in records(out)} == {"chat"}
    assert {record["decoding"]["server"] for record in records(out)} == {server.url}
    report = (out / "report.md").read_text(encoding="utf-8")
    for sentence in (
        'which adapter it has under the name "theobot" is not known.',
        "in which number format the server computes",
        "multiple choice was read from the answers",
        "ordinary text was not measured",
        "Whether the questions occur in the training rows is not known here",
    ):
        assert sentence in report
    assert json.loads((out / "report.json").read_text())["fingerprint"]["decoding: server"] == (
        server.url
    )
    asked = len(server.asked)
    assert cli.main(typed) == 4
    assert len(server.asked) - asked == 1 + 2 + 2 * 6, "models, handshake, do they differ"


def test_a_named_adapter_decides_format_hash_and_folder(serve, questions, adapter, capsys):
    server = serve(honest)
    typed = ["bench", "--server", server.url, *few(questions)]
    assert cli.main([*typed, "--adapter", str(adapter)]) == 4
    shown = capsys.readouterr()
    assert "Taken for the one the server uses." in shown.err
    out = adapter.parent / "bench-server"
    found = records(out)
    formats = {record["arm"]: record["prompt_format"] for record in found}
    assert formats == {"base": "chat", "theobot": "seed"}
    assert {record["stop_reason"] for record in found} == {"eos", "stop"}
    assert all(record["adapter_sha256"] for record in found)
    health = json.loads((out / "health.json").read_text())
    assert {row["arm"]: row["stopped"] for row in health} == {"base": 1.0, "theobot": None}
    assert "that it is the one named here, a person said" in (out / "report.md").read_text()
    assert cli.main([*typed, "--adapter", str(adapter), "--same-prompt", "-o", "same"]) == 4
    assert {record["prompt_format"] for record in records(Path("same"))} == {"seed"}


def test_answers_of_another_server_are_set_aside(serve, questions, tmp_path):
    out = tmp_path / "out"
    typed = ["bench", *few(questions), "-o", str(out), "--server"]
    one, other = serve(honest), serve(honest)
    assert cli.main([*typed, one.url]) == 4
    before = (out / "answers.jsonl").read_bytes()
    assert cli.main([*typed, other.url]) == 4
    assert {record["decoding"]["server"] for record in records(out)} == {other.url}
    (aside,) = out.glob("answers-*.jsonl")
    assert aside.read_bytes() == before


def test_one_model_under_two_names_is_refused_before_any_answer(serve, questions, tmp_path, capsys):
    server = serve(lambda asked: honest(asked._replace(body={**asked.body, "model": "same"})))
    typed = ["bench", "--server", server.url, "--questions", str(questions)]
    assert cli.main([*typed, "-o", str(tmp_path / "out")]) == 5
    assert "answered 8 prompts alike" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_server_that_refuses_in_the_middle_loses_nothing(serve, questions, tmp_path, capsys):
    server = serve(honest)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    typed = ["bench", "--server", server.url, "--questions", str(questions), "-o"]
    assert cli.main([*typed, str(whole)]) == 4
    server.behave = refusing("in_domain number 8")
    assert cli.main([*typed, str(broken)]) == 2
    assert 0 < len(records(broken)) < len(records(whole))
    told = capsys.readouterr().err
    assert f"{server.url}/chat/completions: refused with status 400: too long." in told
    assert f"kept in {broken / 'answers.jsonl'}; type the same command again" in told
    server.behave = honest
    assert cli.main([*typed, str(broken)]) == 4
    assert contents(broken) == contents(whole)


def refusing(words: str):
    def behave(asked):
        if words in json.dumps(asked.body) and asked.body["max_tokens"] > 64:
            return Reply({"error": "too long"}, 400)
        return honest(asked)

    return behave


def test_a_server_killed_and_started_again_changes_no_byte(questions, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with started(port):
        assert cli.main(words_for(port, questions, tmp_path / "whole")) == 4
    # After all that comes before the questions, a whole batch of them, and some of the others.
    with started(port, dies_after=3 + 2 * 8 + 2 * BATCH_SIZE + 3) as server:
        words = words_for(port, questions, tmp_path / "killed")
        running = subprocess.Popen([sys.executable, "-c", WITHOUT_TORCH, *words])
        assert server.wait() == -signal.SIGKILL
        assert running.poll() is None, "it waits for the server"
        assert len(records(tmp_path / "killed")) == 2 * BATCH_SIZE
    with started(port):
        assert running.wait() == 4
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def started(port: int, dies_after: int | None = None) -> Program:
    words = [str(port), *([] if dies_after is None else [str(dies_after)])]
    return Program([sys.executable, str(PROGRAM), *words])


class Program(subprocess.Popen):
    """A server that is ready when it says so, and is gone at the end of the block."""

    def __init__(self, typed: list[str]) -> None:
        super().__init__(typed, stdout=subprocess.PIPE)

    def __enter__(self):
        assert self.stdout.readline() == b"ready\n"
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        super().__exit__(*error)


def words_for(port: int, questions: Path, out: Path) -> list[str]:
    words = ["bench", "--server", f"127.0.0.1:{port}", "--questions", str(questions)]
    return [*words, "-o", str(out)]
