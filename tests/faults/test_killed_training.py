"""Training that is killed, stopped or started twice ends as if nothing had been."""

from __future__ import annotations

import json
import signal

import pytest

WEIGHTS = "adapter/adapter_model.safetensors"


def logged(run) -> int:
    """Lines of metrics.jsonl so far."""
    file = run / "metrics.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def status(run) -> str:
    return json.loads((run / "state.json").read_text())["status"]


def test_kill_9(start, typed, runs, tmp_path):
    run = tmp_path / "run"
    command = start(*runs.words(run))
    command.wait_for(lambda: logged(run) >= 8)
    command.send(signal.SIGKILL)
    assert command.end().code == -signal.SIGKILL
    assert status(run) == "running"
    typed(*runs.words(run)).ended(2, "already holds a run", "--resume")
    runs.goes_on(typed, run, "Going on from checkpoint-")


def test_kill_9_before_the_first_checkpoint(start, typed, runs, tmp_path):
    run = tmp_path / "run"
    command = start(*runs.words(run))
    command.wait_for((run / "state.json").exists)
    command.send(signal.SIGKILL)
    command.end()
    begun = (run / "config.json").exists()
    if begun:
        runs.goes_on(typed, run)
    else:
        typed(*runs.words(run)).ended(0)
        assert (run / WEIGHTS).read_bytes() == runs.adapter()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_saves_a_checkpoint(start, typed, runs, tmp_path, number):
    run = tmp_path / "run"
    command = start(*runs.words(run))
    command.wait_for(lambda: logged(run) >= 3)
    command.send(number)
    command.end().ended(130, "--resume")
    assert status(run) == "interrupted"
    steps = json.loads((run / "state.json").read_text())["step"]
    assert (run / "checkpoints" / f"checkpoint-{steps}").is_dir()
    runs.goes_on(typed, run, f"Going on from checkpoint-{steps}")


def test_a_second_signal_ends_it_at_once(start, typed, runs, tmp_path):
    run = tmp_path / "run"
    command = start(*runs.words(run))
    command.wait_for(lambda: logged(run) >= 3)
    # Both arrive in the same step; Ctrl-C twice would be one signal to a process that is stopped.
    for number in (signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
        command.send(number)
    again = f"Go on with `theobot train --output {run} --resume`"
    command.end().ended(130, "The checkpoints made before are still there", again)
    assert status(run) == "interrupted"
    runs.goes_on(typed, run)


def test_two_processes_on_one_run(start, typed, runs, tmp_path):
    run = tmp_path / "run"
    first = start(*runs.words(run))
    first.wait_for(lambda: logged(run) >= 2)
    typed("train", "--output", run, "--resume").ended(
        2, f"another process (number {first.pid}) is at work in it", "Wait until it has ended"
    )
    first.end().ended(0)
    assert (run / WEIGHTS).read_bytes() == runs.adapter()


def test_the_folder_is_free_again_after_a_kill(start, typed, runs, tmp_path):
    """No lock outlives its process, whatever number stands in it."""
    run = runs.copy(tmp_path / "run")
    (run / ".lock").write_text("1")
    runs.goes_on(typed, run)
    assert not (run / ".lock").exists()
