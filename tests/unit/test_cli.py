"""The commands, run in this process with a tiny random model."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from theobot import __version__, cli
from theobot.errors import ModelError, RunError
from theobot.run_folder import RunFolder, write_json

QUESTION = "What is the main message of Deuteronomy 24:17?"


@pytest.fixture
def pair(tiny_base_folder: Path, tiny_adapter_folder: Path) -> list[str]:
    """The tiny base with its adapter."""
    return ["--adapter", str(tiny_adapter_folder), "--model", str(tiny_base_folder)]


@pytest.fixture
def tiny(pair: list[str]) -> list[str]:
    """The same, computed on the CPU."""
    return [
        *pair,
        "--device",
        "cpu",
    ]


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    folder = tmp_path / "questions"
    folder.mkdir()
    for name in ("in_domain", "near_domain", "out_of_domain"):
        (folder / f"{name}_questions.txt").write_text(f"What is {name}?\nWhy {name}?\n")
    return folder


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


def test_help_lists_the_commands(capsys):
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    commands = (
        *("demo", "doctor", "runs", "data", "train", "ask", "chat", "bench", "export"),
        *("fetch", "serve"),
    )
    for command in commands:
        assert f"│ {command} " in out


def test_the_arguments_of_the_process_are_the_default(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["theobot", "--version"])
    assert cli.main() == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (["trian"], 'Did you mean "train"?'),
        (["train", "--lora.rr", "8"], "Did you mean --lora.r?"),
        (["train", "--lora.r", "x"], "command line: lora.r = 'x': input should be a valid integer"),
        (["train", "--seed", "-1", "--lora.r", "0"], "lora.r = '0'"),
        (["train", "none.toml"], "none.toml: no such settings file"),
        (["train", "--data", "none.jsonl"], "none.jsonl: no such file"),
        (["train", "--model", "./none"], "no such folder"),
        (["train", "--resume"], "--resume needs the run"),
        (["ask", " "], "The question is empty"),
        (["ask", "caf\udce9?"], "not valid UTF-8"),
        (["ask", "Why?", "--run", "~nosuch/x"], "knows no such account"),
        (["train", "--data", ""], "at least 1 character"),
        (["ask", "Why?"], "No finished run under ./runs"),
        (["ask", "Why?", "--max-new-tokens", "0"], "max_new_tokens = '0'"),
        (["ask", "Why?", "--base", "--compare"], "--base and --compare were both given"),
        (["ask", "Why?", "--run", "none"], "is no run folder"),
        (["ask", "Why?", "--adapter", "none"], "no adapter here"),
        (["ask", "Why?", "--adapter", "a", "--run", "b"], "type one of them"),
        (["chat", "--adapter", "none"], "no adapter here"),
        (["bench", "--limit", "0"], "1 or more was expected"),
        (["bench", "--server", "x"], "--server without --run or --adapter"),
        (["bench", "--server", "x", "-o", "y", "--device", "cpu"], "Leave --device out"),
        (["bench", "--server", "x", "-o", "y", "--model", "m"], "Leave --model out"),
        (["bench", "--server", "ftp://x", "-o", "y"], '--server "ftp://x": no address'),
        (["bench", "--server", "x", "--adapter", "none"], "no adapter here"),
        (["bench", "--server", "x", "-o", "y", "--server-models", "a"], "two names with a comma"),
        (["bench", "--server", "x", "-o", "y", "--server-models", "a,a"], 'both names are "a"'),
        (["bench", "--server", "x", "--server-concurrency", "0"], "1 or more was expected"),
        (["bench", "--server-models", "a,b"], "go with --server alone"),
        (["data", "check"], "no file given"),
        (["data", "check", "none.jsonl"], "none.jsonl: no such file"),
        (["data", "show", "none.jsonl"], "none.jsonl: no such file"),
        (["fetch", "no such model"], "Hub id"),
    ],
)
def test_a_persons_mistake_is_exit_2_and_a_sentence(capsys, typed, sentence):
    assert cli.main(typed) == 2
    out, err = capsys.readouterr()
    assert sentence in err
    assert "Traceback" not in err
    assert "pydantic" not in err
    assert out == ""


def test_a_bug_is_exit_70_with_its_traceback(monkeypatch, capsys):
    def broken(root: Path) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("theobot.run_folder.list_runs", broken)
    assert cli.main(["runs"]) == 70
    err = capsys.readouterr().err
    assert "ZeroDivisionError: oops" in err
    assert "This is a bug" in err


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("HIP error: Module not initialized"), "cannot start the graphics card"),
        (RuntimeError("HIP out of memory. Tried to allocate 2 GiB"), "--max-new-tokens"),
        (OSError(28, "No space left on device"), "A disk is too full"),
        (RunError("runs/x: cannot be written: No space left on device."), "A disk is too full"),
        (ModelError("Out of memory with a single row"), "--load-in-4bit"),
    ],
)
def test_a_fault_of_the_machine_is_exit_2_with_its_fix(monkeypatch, capsys, error, words):
    def broken(root: Path) -> None:
        raise error

    monkeypatch.setattr("theobot.run_folder.list_runs", broken)
    assert cli.main(["runs"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 3
    assert str(error) in told[0]
    assert told[1].startswith("theobot doctor says: ")
    assert words in told[1]


def test_a_persons_row_that_mentions_memory_is_not_the_machines_fault(tmp_path, capsys):
    rows = tmp_path / "out of memory.jsonl"
    assert cli.main(["data", "show", str(rows)]) == 2
    assert "theobot doctor says" not in capsys.readouterr().err


def test_doctor_refuses_what_is_no_run(tmp_path, capsys):
    assert cli.main(["doctor", "--run", str(tmp_path)]) == 2
    assert "is no run folder" in capsys.readouterr().err


def test_ctrl_c_is_exit_130(monkeypatch, capsys):
    def stop(root: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("theobot.run_folder.list_runs", stop)
    assert cli.main(["runs"]) == 130
    assert "Interrupted." in capsys.readouterr().err


@pytest.fixture
def unread() -> Iterator[TextIO]:
    """A stream whose reader has gone away."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        yield stream


def test_ctrl_c_saves_a_checkpoint_when_who_reads_progress_has_gone(
    rows_file, tiny_base_folder, tmp_path, monkeypatch, unread
):
    """As `2>&1 | tee log` and Ctrl-C, of which tee dies as well."""
    run = RunFolder(tmp_path / "run")

    def press_ctrl_c(deadline: float) -> None:
        while run.last_step() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        if run.last_step() is not None:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("sys.stderr", unread)
    typed = ["train", "--model", str(tiny_base_folder), "--data", str(rows_file)]
    presses = threading.Thread(target=press_ctrl_c, args=(time.monotonic() + 60,))
    presses.start()
    try:
        code = cli.main([*typed, "--output", str(run.path), "--training.num-train-epochs", "300"])
    finally:
        presses.join()
    assert code == 130
    step = run.read_state()["step"]
    assert (run.checkpoints / f"checkpoint-{step}").is_dir()


def test_a_reader_that_stops_early_changes_no_exit_code(rows_file):
    with rows_file.open("a") as file:
        file.write('{"prompt": ""}\n')
    typed = [sys.executable, "-m", "theobot", "data", "check", str(rows_file)]
    with subprocess.Popen(typed, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert b"BrokenPipe" not in process.stderr.read()
    assert process.returncode == 1


def test_demo_never_overwrites_another_run(tmp_path, capsys):
    run = RunFolder(tmp_path / "run")
    run.make()
    write_json(run.config, {"model": "nano"})
    assert cli.main(["demo", "-o", str(run.path)]) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert run.config.is_file()


def test_runs_lists_what_is_there(tmp_path, capsys):
    assert cli.main(["runs", str(tmp_path)]) == 0
    assert "No runs in" in capsys.readouterr().err
    run = RunFolder(tmp_path / "first")
    run.make()
    write_json(run.config, {"model": "nano", "data": "rows.jsonl"})
    assert cli.main(["runs", str(tmp_path)]) == 0
    assert "first" in capsys.readouterr().out
    assert cli.main(["runs", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "first"


def test_data_check_is_0_without_errors(rows_file, capsys):
    assert cli.main(["data", "check", str(rows_file)]) == 0
    out = capsys.readouterr().out
    assert f"{rows_file}: 20 warnings" in out  # definitions of 6 words
    assert "rows: 20" in out


def test_data_check_is_1_with_all_problems_by_line(rows_file, tmp_path, capsys):
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"prompt": "x"}\nnot json\n')
    assert cli.main(["data", "check", str(rows_file), str(bad)]) == 1
    out, err = capsys.readouterr()
    assert err == f"To mend faults of form: theobot data fix {bad} -o NEW.jsonl\n"
    assert "bad.jsonl:1:" in out
    assert "bad.jsonl:2:" in out
    assert cli.main(["data", "check", str(bad), "--json"]) == 1
    checked = json.loads(capsys.readouterr().out)
    assert checked[0]["summary"] == {}
    assert [one["kind"] for one in checked[0]["findings"]] == ["format", "format"]


def test_data_check_advises_to_fix_only_what_can_be_fixed(tmp_path, capsys):
    bad = tmp_path / "bad.jsonl"
    empty = {"prompt": "User: Why?\nAssistant:", "completion": ""}
    other = {"prompt": "User: Why?\nAssistant:", "completion": "So.", "meta": {"theme": 1}}
    bad.write_text(f"{json.dumps(empty)}\n{json.dumps(other)}\n")
    assert cli.main(["data", "check", str(bad)]) == 1
    assert capsys.readouterr().err == ""


def test_data_check_takes_the_question_sets_that_rows_must_not_give_away(tmp_path, capsys):
    for name in ("in_domain", "near_domain", "out_of_domain"):
        (tmp_path / f"{name}_questions.txt").write_text(f"What is {name}?\n")
    row = {"prompt": "User: What is near_domain?\nAssistant:", "completion": "It is this."}
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row) + "\n")
    assert cli.main(["data", "check", str(file)]) == 0
    assert cli.main(["data", "check", str(file), "--questions", str(tmp_path)]) == 1
    assert "rows.jsonl:1: error: its question is word for word" in capsys.readouterr().out


def test_data_split_writes_two_files_and_names_them(rows_file, tmp_path, capsys):
    assert cli.main(["data", "split", str(rows_file), "-o", str(tmp_path / "out")]) == 0
    train, dev = capsys.readouterr().out.splitlines()
    assert [len(Path(p).read_text().splitlines()) for p in (train, dev)] == [18, 2]
    assert cli.main(["data", "split", str(rows_file), "-o", str(tmp_path / "out")]) == 2


def test_data_show_prints_tokens_and_what_is_learned(rows_file, tiny_base_folder, capsys):
    typed = ["data", "show", str(rows_file), "-n", "2", "--model", str(tiny_base_folder)]
    assert cli.main(typed) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 6
    assert out[0].startswith("rows.jsonl:1: ")
    assert out[2].endswith("<|im_end|>")
    assert cli.main([*typed, "--tokens.loss-on", "all"]) == 0
    assert "not learned" not in capsys.readouterr().out


def test_a_dry_run_shows_the_plan_and_writes_nothing(rows_file, tiny_base_folder, tmp_path, capsys):
    config = tmp_path / "run.toml"
    config.write_text(f'model = "{tiny_base_folder}"\nseed = 7\n[lora]\nr = 8\n')
    typed = ["train", str(config), "--data", str(rows_file), "--lora.r", "4", "--dry-run"]
    assert cli.main(typed) == 0
    out = capsys.readouterr().out
    assert "r: 4" in out
    assert "seed: 7" in out
    assert "total_steps: 6" in out
    assert not Path("runs").exists()


def test_train_then_ask_the_run(rows_file, tiny_base_folder, capsys):
    typed = ["train", "--data", str(rows_file), "--model", str(tiny_base_folder)]
    typed += ["--output", "runs/one", "--device", "cpu", "--training.no-bf16"]
    typed += ["--training.num-train-epochs", "1", "--lora.r", "2"]
    assert cli.main(typed) == 0
    out, err = capsys.readouterr()
    assert out == "runs/one/adapter\n"
    assert err.startswith("Computing on the CPU in float32")
    assert "theobot ask --run runs/one" in err
    assert cli.main(typed) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert cli.main(["ask", QUESTION, "--device", "cpu", "--max-new-tokens", "4"]) == 0
    err = capsys.readouterr().err.splitlines()
    assert err[0].startswith("Computing on the CPU")
    assert "runs/one" in err[1]


def test_ask_writes_the_answer_alone_to_stdout(tiny, capsys):
    assert cli.main(["ask", QUESTION, *tiny, "--max-new-tokens", "5"]) == 0
    out, err = capsys.readouterr()
    assert out.endswith("\n")
    assert "Computing on" in err.splitlines()[0]
    assert "cut at 5 tokens" in err


def test_ask_compare_names_both(tiny, capsys):
    assert cli.main(["ask", QUESTION, *tiny, "--compare", "--max-new-tokens", "5"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Base model\n")
    assert "\nTheobot\n" in out


def test_ask_json_holds_everything_that_decided_the_answer(tiny, capsys):
    typed = ["ask", QUESTION, *tiny, "--compare", "--max-new-tokens", "5", "--json"]
    assert cli.main(typed) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["question"] == QUESTION
    assert set(answer["answers"]) == {"base", "theobot"}
    assert answer["answers"]["base"]["new_tokens"] == 5
    assert answer["adapter_sha256"]


def test_ask_with_scripture_gives_the_words_and_says_so(tiny, tiny_base_folder, capsys):
    asked = "What does John 11:35 teach, and Genesis 60:5?"
    typed = ["ask", asked, *tiny, "--max-new-tokens", "5", "--json"]
    assert cli.main(typed) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["scripture_given"] == []
    assert cli.main([*typed, "--scripture"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert [verse["reference"] for verse in told["scripture_given"]] == ["John 11:35"]
    assert told["answers"] != plain["answers"]
    assert 'John 11:35 (American Standard Version, 1901): "Jesus wept."' in err
    assert "Genesis 60:5 does not exist" in err


def test_ask_base_needs_no_adapter(tiny_base_folder, capsys):
    typed = ["ask", QUESTION, "--base", "--model", str(tiny_base_folder), "--max-new-tokens", "3"]
    assert cli.main([*typed, "--json", "--device", "cpu"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert list(answer["answers"]) == ["base"]
    assert answer["adapter_sha256"] is None


def test_chat_reads_lines(tiny, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("Why?\n/base\nWhy?\n/quit\n"))
    assert cli.main(["chat", *tiny, "--max-new-tokens", "4"]) == 0
    out = capsys.readouterr().out
    assert "theobot: " in out
    assert "base: " in out


def test_bench_writes_the_six_files_and_goes_on_where_it_stopped(tiny, questions, tmp_path, capsys):
    out = tmp_path / "out"
    typed = ["bench", *tiny, "--questions", str(questions), "--limit", "1", "-o", str(out)]
    assert cli.main(typed) == 4  # one question a set cannot tell
    shown = capsys.readouterr().out
    assert "Cannot tell" in shown
    for arm in ("base", "theobot"):
        for name in ("in_domain", "near_domain", "out_of_domain"):
            assert (out / f"{arm}_{name}.txt").is_file()
            assert f"{arm}_{name}.txt" in shown
    before = (out / "answers.jsonl").read_bytes()
    assert cli.main(typed) == 4
    assert (out / "answers.jsonl").read_bytes() == before
    assert cli.main(["bench", "report", str(out)]) == 4
    assert f"{out}/report.html" in capsys.readouterr().out


def test_answers_are_marked_blind_and_the_marks_told(tiny, questions, tmp_path, capsys):
    out = tmp_path / "out"
    cli.main(["bench", *tiny, "--questions", str(questions), "-o", str(out)])
    capsys.readouterr()
    assert cli.main(["mark", "pack", str(out), "Jo", "--seed", "1"]) == 0
    page = Path(capsys.readouterr().out.strip())
    assert "theobot" not in page.read_text(encoding="utf-8").lower()
    assert cli.main(["mark", "close", str(out)]) == 2
    assert "no marks yet" in capsys.readouterr().err


def test_a_plan_can_be_made_and_is_obeyed(tiny, questions, tmp_path, capsys):
    out = tmp_path / "out"
    typed = ["--questions", str(questions), "--limit", "1"]
    assert cli.main(["bench", "plan", *typed, "-o", str(out / "plan.json")]) == 0
    assert cli.main(["bench", "plan", *typed, "-o", str(out / "plan.json")]) == 2
    assert cli.main(["bench", *tiny, "--questions", str(questions), "-o", str(out)]) == 4
    assert len((out / "answers.jsonl").read_text().splitlines()) == 6
    assert cli.main(["bench", *tiny, "--questions", str(questions), "--limit", "2"]) in (2, 4)


def test_bench_leaks_tells_leaks_and_labels_apart(tmp_path, capsys):
    rows = [
        {"prompt": "User: What is a vow?\nAssistant:", "completion": "See Matthew 5:39."},
        {"prompt": "User: What is a river?\nAssistant:", "completion": "Water."},
    ]
    train = tmp_path / "train.jsonl"
    train.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = tmp_path / "asked.txt"
    asked.write_text("Explain Matthew 5:39.\n")
    assert cli.main(["bench", "leaks", str(train), str(asked)]) == 0
    out, err = capsys.readouterr()
    assert out == "0 leaks\n"
    assert "same verse (no leak): 1" in err
    asked.write_text("What is a river?\n")
    assert cli.main(["bench", "leaks", str(train), str(asked)]) == 1
    assert "train.jsonl:2: its question is word for word" in capsys.readouterr().out
    assert cli.main(["bench", "leaks", str(train), str(asked), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["level"] == "exact"


def test_bench_writes_beside_the_adapter_by_default(
    tiny_base_folder, tiny_adapter_folder, questions, tmp_path, capsys
):
    adapter = tmp_path / "Theobot" / "adapter"
    shutil.copytree(tiny_adapter_folder, adapter)
    typed = ["bench", "--adapter", str(adapter), "--model", str(tiny_base_folder)]
    typed += ["--device", "cpu", "--questions", str(questions), "--limit", "1"]
    assert cli.main(typed) == 4
    assert (tmp_path / "Theobot" / "bench" / "side_by_side.md").is_file()


def test_fetch_of_a_model_that_is_here(tiny_base_folder, capsys):
    assert cli.main(["fetch", str(tiny_base_folder)]) == 0
    assert capsys.readouterr().out.strip() == str(tiny_base_folder)


def test_export_writes_where_it_says(pair, capsys, tmp_path):
    out = tmp_path / "gguf"
    assert cli.main(["export", "gguf", *pair, "-o", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(out / "adapter.gguf")
    assert (out / "adapter.gguf").is_file()
    assert cli.main(["export", "gguf", *pair, "-o", str(out)]) == 2
    assert "nothing was overwritten" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "files"),
    [
        (["gguf", "--merged", "--outtype", "f16"], {"model.gguf", "export.json"}),
        (["ollama"], {"Modelfile", "model.gguf", "export.json"}),
    ],
    ids=["gguf", "ollama"],
)
def test_exports_of_a_whole_model(pair, capsys, tmp_path, typed, files):
    out = tmp_path / "out"
    assert cli.main(["export", *typed, *pair, "-o", str(out)]) == 0
    said = capsys.readouterr()
    assert {path.name for path in out.iterdir()} == files
    assert Path(said.out.strip()).parent == out
    assert ("ollama create theobot" in said.err) == (typed == ["ollama"])


def test_export_merged_tells_needs_and_likeness(tiny, capsys, tmp_path):
    assert cli.main(["export", "merged", *tiny, "-o", str(tmp_path / "merged")]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(tmp_path / "merged")
    assert "This writes about" in said.err
    assert "of 8 answers are equal" in said.err


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (["gguf", "--outtype", "q8_0"], "an adapter is f32 or f16"),
        (["gguf", "--device", "cpu"], "--device"),
        (["ollama", "--device", "cpu"], "--device"),
        (["ollama", "--from", "qwen2.5:7b", "--outtype", "bf16"], "an adapter is f32 or f16"),
        (["ollama", "--from", "two words"], "--from two words"),
    ],
)
def test_exports_that_cannot_be_are_told_in_a_sentence(pair, capsys, tmp_path, typed, sentence):
    code = cli.main(["export", *typed, *pair, "-o", str(tmp_path / "out")])
    assert code == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_help_says_how_many_requests_at_a_server_have_an_effect():
    from theobot.bench.answers import BATCH_SIZE
    from theobot.cli_models import ServerSelectors
    from theobot.generation.generator import ARMS

    told = " ".join((ServerSelectors.__doc__ or "").split())
    assert f"More than {len(ARMS) * BATCH_SIZE} have no effect" in told
    assert f"{BATCH_SIZE} at a time" in told
