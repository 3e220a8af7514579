import os
import sys
import time

import pytest

from theobot.doctor.machine import newest_run, run_program, this_machine
from theobot.errors import RunError
from theobot.run_folder import RunFolder, write_json


def test_a_program_gives_what_it_wrote_and_its_exit_code():
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    ran = run_program([sys.executable, "-c", code], 20, os.environ)
    assert (ran.out, ran.err, ran.code) == ("out\n", "err\n", 3)


def test_a_program_gets_the_variables_it_is_given():
    code = "import os; print(os.environ.get('ONLY'), os.environ.get('HF_HOME'))"
    assert run_program([sys.executable, "-c", code], 20, {"ONLY": "this"}).out == "this None\n"


def test_a_program_that_hangs_is_stopped_with_its_children_and_what_it_wrote_is_kept():
    begun = time.monotonic()
    ran = run_program(["sh", "-c", "echo so far; sleep 60; echo later"], 1, os.environ)
    assert time.monotonic() - begun < 30
    assert ran == ("so far\n", "", None)


def test_a_program_that_is_not_there_is_an_os_error():
    with pytest.raises(OSError, match="no-such-program"):
        run_program(["no-such-program"], 1, os.environ)


def test_files_are_read_below_the_root(make_machine):
    machine = make_machine({"/proc/version": "Linux\n"})
    assert machine.text("/proc/version") == "Linux"
    assert machine.text("/proc/none") is None


def test_the_model_is_the_persons_else_the_runs_else_the_default(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.make()
    write_json(run.config, {"model": "nano"})
    assert this_machine(online=False).model == "Qwen/Qwen2.5-7B-Instruct"
    assert this_machine(run.path, online=False).model == "nano"
    named = this_machine(run.path, "Qwen/Qwen2.5-3B-Instruct", online=True)
    assert named.model == "Qwen/Qwen2.5-3B-Instruct"
    assert named.online
    assert named.output == run.path


def test_a_folder_that_is_no_run_is_a_sentence(tmp_path):
    with pytest.raises(RunError, match="is no run folder"):
        this_machine(tmp_path, online=False)


def test_the_newest_run(tmp_path):
    assert newest_run(tmp_path) is None
    for number, name in enumerate(("old", "new")):
        run = RunFolder(tmp_path / name)
        run.make()
        write_json(run.config, {})
        os.utime(run.config, (number, number))
    assert newest_run(tmp_path).name == "new"
    RunFolder(tmp_path / "failed to load").path.mkdir()
    RunFolder(tmp_path / "failed to load").update_state(status="failed")
    (tmp_path / "file").write_text("")
    assert newest_run(tmp_path).name == "failed to load"


def test_of_a_folder_that_may_not_be_entered_nothing_is_known(locked_folder):
    assert newest_run(locked_folder / "runs") is None
    with pytest.raises(RunError, match="is no run folder"):
        this_machine(locked_folder / "runs" / "first", online=False)
