import os

import pytest

from theobot.doctor.failures import last_step, look_at_failure
from theobot.errors import RunError
from theobot.run_folder import RunFolder, write_json


def make_run(path, **state):
    run = RunFolder(path)
    run.make()
    write_json(run.config, {"model": "nano"})
    if state:
        run.update_state(**state)
    return run


FAILURE = {"error": "ValueError", "text": "ValueError: odd", "step": 3, "time": "2026-09-01"}


def test_the_newest_run_is_told_of_if_it_failed(make_machine, tmp_path):
    machine = make_machine()
    assert look_at_failure(machine) is None
    run = make_run(tmp_path / "runs" / "one", status="failed", total_steps=9, failure=FAILURE)
    found = look_at_failure(machine)
    assert found.run == str(run.path)
    assert (found.text, found.step, found.total_steps) == ("ValueError: odd", 3, 9)
    assert not found.asked
    later = make_run(tmp_path / "runs" / "two", status="finished")
    os.utime(run.config, (0, 0))
    assert look_at_failure(machine) is None
    later.update_state(status="running")
    assert look_at_failure(machine) is None


@pytest.mark.parametrize(
    ("state", "status", "text"),
    [
        ({"status": "failed", "reason": "RunError: full"}, "failed", "RunError: full"),
        ({"status": "interrupted", "reason": "KeyboardInterrupt: "}, "interrupted", "Keyboard"),
        ({"status": "running", "reason": "of an earlier try"}, "running", ""),
        ({}, "never begun", ""),
    ],
)
def test_a_run_that_was_named(make_machine, tmp_path, state, status, text):
    run = make_run(tmp_path / "run", **state)
    run.metrics.write_text('{"step": 1}\n{"step": 2}\n{"st')
    found = look_at_failure(make_machine(run=run))
    assert found.status == status
    assert found.text.startswith(text)
    assert bool(found.text) == bool(text)
    assert found.step == 2
    assert found.asked


def test_a_finished_run_has_nothing_to_tell(make_machine, tmp_path):
    run = make_run(tmp_path / "run", status="finished", failure=FAILURE)
    assert look_at_failure(make_machine(run=run)) is None


def test_a_damaged_state_is_a_sentence(make_machine, tmp_path):
    run = make_run(tmp_path / "run")
    run.state.write_text("{")
    with pytest.raises(RunError, match="damaged"):
        look_at_failure(make_machine(run=run))


def test_no_metrics_no_step(tmp_path):
    assert last_step(RunFolder(tmp_path)) is None


def test_metrics_that_are_no_text_tell_no_step(tmp_path):
    run = RunFolder(tmp_path)
    run.metrics.write_bytes(b'{"step": 3}\n\xfe\xff\n' + b"[" * 100_000 + b"\n")
    assert last_step(run) == 3
