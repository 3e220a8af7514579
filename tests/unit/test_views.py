import pytest

from theobot import views
from theobot.data.check import Checked
from theobot.data.findings import error, warning
from theobot.run_folder import RunFolder, RunSummary
from theobot.training.train import TrainResult


def test_runs_are_shown_as_a_table(capsys):
    run = RunSummary("a", "finished", "rows.jsonl, 20 rows", "nano", "4/8", None, "-", 2048)
    views.show_runs([run])
    head, row = capsys.readouterr().out.splitlines()
    assert head.startswith("run")
    assert "2.0 kB" in row


def test_checks_are_shown_by_line_with_counts_and_a_histogram(capsys):
    findings = [error("a:1", "format", "empty."), warning("a:2", "length", "long.")]
    summary = {"rows": 3, "tokens": {"0-9": 80, "10-19": 0, "20-29": 1}}
    views.show_checks([Checked("a", [], findings, summary), Checked("b", [], [], {})])
    assert capsys.readouterr().out.splitlines() == [
        "a: 1 error, 1 warning",
        "  a:1: error: empty.",
        "  a:2: warning: long.",
        "  rows: 3",
        "  rows by length in tokens:",
        "      0-9  " + "#" * 40 + " 80",
        "    10-19   0",
        "    20-29  # 1",
        "b: clean",
    ]


@pytest.mark.parametrize("interrupted", [True, False])
def test_the_end_of_a_training_says_what_to_type_next(capsys, interrupted):
    result = TrainResult(
        folder=RunFolder("runs/x"),
        steps=3,
        total_steps=8,
        final_loss=2.0,
        best_dev_loss=2.5,
        best_step=2,
        seconds=61,
        interrupted=interrupted,
    )
    views.show_training(result)
    out, err = capsys.readouterr()
    if interrupted:
        assert out == ""
        assert "theobot train --output runs/x --resume" in err
    else:
        assert out == "runs/x/adapter\n"
        assert "best dev loss 2.5000 (step 2, kept)" in err
        assert "theobot ask --run runs/x" in err


def test_an_early_stop_is_told_with_its_reason(capsys):
    result = TrainResult(
        RunFolder("runs/x"), 6, 30, 2.0, 2.5, 2, 61, False, "the dev loss had no new lowest value"
    )
    views.show_training(result)
    out, err = capsys.readouterr()
    assert out == "runs/x/adapter\n"
    assert "Stopped early, at step 6 of 30: the dev loss had no new lowest value." in err
