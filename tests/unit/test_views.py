import runpy
from pathlib import Path

import pytest

from theobot import views
from theobot.bench.benchmark import BenchResult
from theobot.bench.comparison import Decision, compare
from theobot.bench.regress.regress import RegressResult, TaskResult
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


def test_a_regression_check_is_a_markdown_table_with_its_decision(capsys):
    def compared(name, base, theobot, **more):
        ids = [str(place) for place in range(len(base))]
        return compare(name, "acc", base, theobot, ids, margin=0.05, seed=1, **more)

    results = [
        TaskResult(compared("my_task", [1, 1, 0, 0], [1, 0, 1, 0]), 0.5, "none", (1, 1, 1, 1), 2),
        TaskResult(
            compared("my_task", [0.5] * 9, [0.2] * 9, exploratory=True), None, "none", None, 0
        ),
    ]
    decision = Decision(4, "Cannot tell on my_task.", None)
    views.show_regress(RegressResult(results, ["my_task: f1"], decision, Path("x/regress.json")))
    out, err = capsys.readouterr()
    head, rule, first, second, words, file = out.splitlines()
    assert [cell.strip() for cell in head.split("|")][1:4] == ["task", "metric", "documents"]
    assert set(rule) == {"|", "-", " "}
    cells = [cell.strip() for cell in first.split("|")]
    assert cells[1:7] == ["my\\_task", "acc", "4", "50.0", "50.0", "0.0"]
    assert cells[8:11] == ["1 / 1 / 1 / 1", "0.5", "Cannot tell"]
    assert [cell.strip() for cell in second.split("|")][8:10] == ["–", "–"]
    assert (words, file) == ("Cannot tell on my_task.", "x/regress.json")
    assert "2 documents lack a score" in err
    assert "not compared: my_task: f1" in err


def test_more_questions_alone_are_not_promised_to_settle_what_cut_answers_refuse(capsys):
    make_report = runpy.run_path(str(Path(__file__).parents[1] / "fake_report.py"))["make_report"]
    report = make_report(limit=8)
    first, *others = [one._replace(more_questions=20) for one in report.sets]
    report = report._replace(sets=[first._replace(cut=True), *others])
    views.show_report(BenchResult(Path(), [], [], [], Path(), [], report, []))
    told = "".join(capsys.readouterr())
    assert told.count("would settle its margin.") == len(others) > 0
    assert told.count("would settle its margin, once answers are no longer cut.") == 1
