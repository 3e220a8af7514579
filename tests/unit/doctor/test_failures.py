import os

import pytest

from theobot.doctor.failures import look_at_failure
from theobot.errors import ModelError, RunError
from theobot.run_folder import RunFolder, write_json
from theobot.training.interruptions import recorded_failure


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
    assert found.resumable
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


def test_a_run_whose_model_did_not_load_is_told_of_and_cannot_be_resumed(make_machine, tmp_path):
    run = make_run(tmp_path / "runs" / "old", status="finished")
    os.utime(run.config, (0, 0))
    failed = RunFolder(tmp_path / "runs" / "new")
    failed.make()
    with pytest.raises(ModelError), recorded_failure(failed):
        raise ModelError("nano: cannot be loaded")
    found = look_at_failure(make_machine())
    assert (found.run, found.status, found.resumable) == (str(failed.path), "failed", False)
