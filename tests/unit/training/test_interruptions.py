"""How a run that ends early is written down."""

import errno
from datetime import datetime

import pytest

from theobot.errors import ModelError, RunError
from theobot.run_folder import RunFolder
from theobot.training.interruptions import recorded_failure


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.make()
    folder.update_state(status="running", total_steps=9)
    return folder


def fail(run, error):
    with pytest.raises(type(error)), recorded_failure(run):
        raise error
    return run.read_state()


def test_kind_text_step_and_time_are_kept(run):
    run.metrics.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.9}\n')
    state = fail(run, ModelError("Out of memory at step 3."))
    assert state["status"] == "failed"
    assert state["total_steps"] == 9
    failure = state["failure"]
    assert failure["error"] == "ModelError"
    assert failure["text"] == state["reason"] == "ModelError: Out of memory at step 3."
    assert failure["step"] == 2
    assert datetime.fromisoformat(failure["time"]).tzinfo is not None


def test_of_a_long_text_the_end_is_kept(run):
    failure = fail(run, RuntimeError("x" * 5000 + " the reason"))["failure"]
    assert len(failure["text"]) == 2000
    assert failure["text"].endswith(" the reason")
    assert failure["step"] is None


def test_ctrl_c_is_an_interruption(run):
    assert fail(run, KeyboardInterrupt())["status"] == "interrupted"


def test_a_full_disk_is_a_sentence(run):
    with pytest.raises(RunError, match="No space left on device"), recorded_failure(run):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert "No space left" in run.read_state()["failure"]["text"]


def test_a_lost_run_folder_is_a_sentence_and_a_lost_network_is_not_called_a_full_disk(run):
    with pytest.raises(RunError, match="cannot be written: No such file"), recorded_failure(run):
        (run.path / "gone" / "file").open("w")
    reset = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
    state = fail(run, reset)
    assert state["failure"]["error"] == "ConnectionResetError"
    assert "Free some space" not in state["reason"]


def test_to_resume_is_advised_only_where_there_is_something_to_resume(run):
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(RunError) as early, recorded_failure(run):
        raise full
    run.config.write_text("{}")
    with pytest.raises(RunError) as later, recorded_failure(run):
        raise full
    assert "--resume" not in str(early.value)
    assert f"`theobot train --output {run.path} --resume`" in str(later.value)


def test_a_run_that_ends_well_has_no_failure(run):
    with recorded_failure(run):
        pass
    assert "failure" not in run.read_state()


def test_where_nothing_can_be_written_the_first_error_is_told(tmp_path):
    with pytest.raises(ModelError, match="too large"), recorded_failure(RunFolder(tmp_path / "no")):
        raise ModelError("too large")
