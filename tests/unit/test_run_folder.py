import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from theobot.bench.comparison import Decision
from theobot.bench.report.files import write_report
from theobot.bench.report.model import Report
from theobot.errors import RunError
from theobot.run_folder import (
    RunFolder,
    explain_write_errors,
    file_sha256,
    held,
    list_runs,
    new_run_folder,
    newest_finished_run,
    read_json,
    read_metrics,
    summarise_run,
    write_json,
    write_problem,
    write_text,
)


def make_run(path: Path, *, age: int = 0, **state: object) -> RunFolder:
    run = RunFolder(path)
    run.make()
    write_json(run.config, {"model": "nano", "data": "/somewhere/rows.jsonl"})
    write_json(run.dataset, {"train": {"rows": 20}, "dev": None})
    run.update_state(step=4, total_steps=8, **state)
    run.adapter.mkdir()
    os.utime(run.config, (1_000_000 - age, 1_000_000 - age))
    return run


def test_a_new_folder_is_free_and_a_run_is_taken(tmp_path):
    RunFolder(tmp_path / "new").refuse_if_taken()
    make_run(tmp_path / "old")
    with pytest.raises(RunError, match="already holds a run"):
        RunFolder(tmp_path / "old").refuse_if_taken()


def test_foreign_files_are_never_overwritten(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="is no run of Theobot"):
        RunFolder(tmp_path).refuse_if_taken()
    with pytest.raises(RunError, match="is no run of Theobot"):
        RunFolder(tmp_path / "thesis.txt").refuse_if_taken()


def test_what_a_run_killed_at_its_start_left_behind_is_no_obstacle(tmp_path):
    run = RunFolder(tmp_path)
    run.update_state(status="running")
    (tmp_path / ".dataset.json.tmp").touch()
    with held(tmp_path):
        run.refuse_if_taken()


def test_making_a_folder_below_a_file_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        RunFolder(tmp_path / "file" / "run").make()


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert RunFolder("~/run").path == tmp_path / "run"


def test_state_is_merged(tmp_path):
    run = RunFolder(tmp_path)
    assert run.read_state() == {}
    run.update_state(status="running")
    run.update_state(step=3)
    assert run.read_state() == {"status": "running", "step": 3}
    assert not run.finished


def test_a_run_that_begins_again_forgets_how_it_ended(tmp_path):
    run = RunFolder(tmp_path)
    run.update_state(status="failed", threads=2, reason="full", failure={"text": "full"})
    run.begin(total_steps=9)
    assert run.read_state() == {"status": "running", "threads": 2, "total_steps": 9}


def test_whole_lines_of_the_metrics_are_read(tmp_path):
    run = RunFolder(tmp_path)
    assert read_metrics(run.metrics) == []
    assert run.last_step() is None
    run.metrics.write_text('{"step": 1, "loss": 2.0}\n[]\n{"step": 2}\n{"st')
    assert read_metrics(run.metrics) == [{"step": 1, "loss": 2.0}, {"step": 2}]
    assert run.last_step() == 2


def test_a_taken_name_gets_a_number(tmp_path):
    first = new_run_folder("Qwen/Qwen2.5-7B-Instruct", tmp_path)
    assert first.name.endswith("-qwen2.5-7b-instruct")
    first.make()
    assert new_run_folder("Qwen/Qwen2.5-7B-Instruct", tmp_path).name == f"{first.name}-2"


def test_runs_are_listed_oldest_first_and_other_folders_left_out(tmp_path):
    make_run(tmp_path / "late", age=10)
    make_run(tmp_path / "early", age=20)
    (tmp_path / "other").mkdir()
    assert [run.name for run in list_runs(tmp_path)] == ["early", "late"]
    assert list_runs(tmp_path / "none") == []


def test_the_newest_finished_run_is_neither_unfinished_nor_a_demo(tmp_path):
    make_run(tmp_path / "a", age=30, status="finished")
    make_run(tmp_path / "b", age=20, status="interrupted")
    make_run(tmp_path / "c", age=10, status="finished", demo=True)
    newest, damaged = newest_finished_run(tmp_path)
    assert newest is not None
    assert newest.name == "a"
    assert damaged == []
    assert newest_finished_run(tmp_path / "none") == (None, [])


def test_a_damaged_run_does_not_hide_the_newest_finished_one(tmp_path):
    make_run(tmp_path / "a", age=30, status="finished").adapter.mkdir(exist_ok=True)
    make_run(tmp_path / "b", age=20).state.write_text("{")
    newest, damaged = newest_finished_run(tmp_path)
    assert newest is not None
    assert newest.name == "a"
    assert [run.name for run in damaged] == ["b"]


def test_the_size_of_a_run_in_which_checkpoints_come_and_go(tmp_path):
    run = make_run(tmp_path / "a")
    over = threading.Event()

    def train() -> None:
        while not over.is_set():
            checkpoint = run.checkpoints / "checkpoint-1"
            checkpoint.mkdir(parents=True)
            for name in "abcdefgh":
                (checkpoint / name).touch()
            shutil.rmtree(run.checkpoints)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        sizes = {summarise_run(run).octets for _ in range(300)}
    finally:
        over.set()
        thread.join()
    assert sizes == {summarise_run(run).octets}


def test_summary_of_a_run(tmp_path):
    run = make_run(tmp_path / "a", status="finished", final_loss=2.5, best_dev_loss=2.25)
    summary = summarise_run(run)
    assert summary[:-1] == (
        "a",
        "finished",
        "rows.jsonl, 20 rows",
        "nano",
        "4/8",
        2.25,
        "-",
    )
    assert summary.octets == sum(f.stat().st_size for f in run.path.rglob("*") if f.is_file())


def test_summary_without_dev_loss_shows_the_last_loss_and_a_demo_as_such(tmp_path):
    run = make_run(tmp_path / "a", status="finished", final_loss=2.5, demo=True)
    run.bench.mkdir()
    (run.bench / "answers.jsonl").write_text("")
    summary = summarise_run(run)
    assert (summary.best_loss, summary.status) == (2.5, "finished (demo)")
    assert summary.verdict == "not judged yet"


@pytest.mark.parametrize(
    ("decision", "verdict"),
    [
        (Decision(0, "The fine-tune helped.", True), "plan met"),
        (Decision(3, "The fine-tune did harm.", False), "plan not met"),
        (Decision(4, "Cannot tell yet.", None), "cannot tell"),
    ],
)
def test_summary_has_the_verdict_of_the_report(tmp_path, decision, verdict):
    run = make_run(tmp_path / "a", status="finished")
    run.bench.mkdir()
    (run.bench / "answers.jsonl").write_text("")
    report = Report("A", "2026-01-01", "planned", [], decision, [], [])
    assert run.report in write_report(run.bench, report)
    assert summarise_run(run).verdict == verdict
    run.report.write_text('{"decision": {"met": "yes"}}')
    assert summarise_run(run).verdict == "damaged"


def test_a_damaged_run_is_named_so(tmp_path):
    run = make_run(tmp_path / "a")
    run.config.write_text("{")
    assert summarise_run(run).status == "damaged"


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_damaged_json_is_a_sentence(tmp_path, content):
    file = tmp_path / "config.json"
    file.write_text(content)
    with pytest.raises(RunError, match="damaged"):
        read_json(file)


def test_missing_json_is_a_sentence(tmp_path):
    with pytest.raises(RunError, match="no such file"):
        read_json(tmp_path / "config.json")


def test_json_is_written_whole_and_leaves_nothing_beside_it(tmp_path):
    write_json(tmp_path / "a.json", {"name": "é"})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"name": "é"}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    target = tmp_path / "a.json"
    target.mkdir()
    with pytest.raises(RunError, match="cannot be written"):
        write_text(target, "new")
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_write_errors_become_a_sentence(tmp_path):
    with pytest.raises(RunError, match="No space left"), explain_write_errors(tmp_path):
        raise OSError(28, "No space left on device")
    assert "odd" in write_problem(tmp_path, OSError("odd"))


def test_a_files_hash_is_that_of_its_bytes(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_sha256(tmp_path / "abc") == known


def test_a_folder_is_held_by_one_at_a_time(tmp_path):
    for _ in range(2):
        with held(tmp_path):
            with pytest.raises(RunError, match=f"number {os.getpid()}"), held(tmp_path):
                pass
            assert (tmp_path / ".lock").read_text() == str(os.getpid())
        assert not (tmp_path / ".lock").exists()


def test_a_folder_that_is_not_there_cannot_be_held(tmp_path):
    with pytest.raises(RunError, match="cannot be written"), held(tmp_path / "none"):
        pass


def test_a_strange_run_is_listed_without_its_figures(tmp_path):
    run = RunFolder(tmp_path / "odd")
    run.make()
    write_json(run.config, {"model": "nano"})
    write_json(run.state, {"best_dev_loss": "low", "final_loss": 10**400})
    assert summarise_run(run).best_loss is None
    run.state.write_text("[" * 100_000)
    assert summarise_run(run).status == "damaged"
