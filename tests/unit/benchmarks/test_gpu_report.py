"""The GPU check's report: what failed is told, what was not measured is not passed."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

FOLDER = Path(__file__).parents[3] / "benchmarks"
report = runpy.run_path(str(FOLDER / "gpu_report.py"))
Part, Found, Report, Bar, bars = (
    report[name] for name in ("Part", "Found", "Report", "Bar", "bars")
)


def measured(**changes):
    figures = {"utilisation": 0.5, "theirs": 1.0, "reserved_gib": 21.0, "prediction_off": -0.05}
    figures.update(changes)
    return [
        Part(
            "theobot",
            "done",
            found=Found({"examples_per_second": 2.0, "utilisation": figures["utilisation"]}),
        ),
        Part("trl", "done", found=Found({"examples_per_second": figures["theirs"]})),
        Part("memory", "done", found=Found({n: figures[n] for n in list(figures)[2:]})),
    ]


def verdicts(parts):
    return [bar.verdict for bar in bars(parts)]


def test_good_figures_pass_every_bar():
    assert verdicts(measured()) == ["pass"] * 4


@pytest.mark.parametrize(
    ("place", "change"),
    [
        (0, {"utilisation": 0.44}),
        (1, {"theirs": 1.4}),
        (2, {"reserved_gib": 22.1}),
        (3, {"prediction_off": 0.11}),
        (3, {"prediction_off": -0.11}),
    ],
)
def test_each_bar_can_be_missed(place, change):
    expected = ["pass"] * 4
    expected[place] = "fail"
    assert verdicts(measured(**change)) == expected


def test_what_was_not_measured_or_failed_passes_nothing():
    ours, trl, memory = measured()
    missing = trl._replace(status="not measured", found=Found())
    assert verdicts([ours, missing, memory]) == ["pass", "not measured", "pass", "pass"]
    assert verdicts([ours._replace(status="failed"), trl]) == ["not measured"] * 4


def test_the_report_is_there_after_each_part_and_names_the_failed_one(tmp_path):
    kept = Report(tmp_path / "out", judged=True)
    kept.put(Part("theobot", "running"))
    assert (
        json.loads((tmp_path / "out" / "gpu.json").read_text())["parts"][0]["status"] == "running"
    )
    assert not kept.good
    for part in measured():
        kept.put(part)
    assert kept.good
    kept.put(Part("nano", "failed", reason="Traceback ...\nRuntimeError: HIP error"))
    page = (tmp_path / "out" / "gpu.md").read_text()
    assert "## nano: failed" in page
    assert "RuntimeError: HIP error" in page
    assert "- pass: times TRL's best setting, at least 1.50, found 2.00" in page
    assert not kept.good


def test_a_missed_bar_is_not_good_but_one_that_was_not_measured_is_no_failure(tmp_path):
    kept = Report(tmp_path, judged=True)
    kept.put(measured()[0])
    assert kept.good
    kept.put(measured(utilisation=0.1)[0])
    assert not kept.good


def test_a_part_that_raises_or_exits_is_reported_and_the_next_goes_on(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    run_part = runpy.run_path(str(FOLDER / "gpu_check.py"))["run_part"]
    import sys

    def breaks():
        raise ZeroDivisionError("by nothing")

    broken = run_part("one", breaks)
    assert broken.status == "failed"
    assert "ZeroDivisionError: by nothing" in broken.reason
    assert run_part("two", lambda: sys.exit("gone")).status == "failed"
    assert run_part("three", lambda: Found({"a": 1})).found == Found({"a": 1})


@pytest.fixture
def nano(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return runpy.run_path(str(FOLDER / "gpu_nano.py"))


def test_adapters_are_compared_by_what_was_learned(nano, tmp_path):
    learned = {"q.lora_A.weight": torch.ones(4, 4), "q.lora_B.weight": torch.ones(4, 4)}
    apart = {**learned, "q.lora_B.weight": torch.full((4, 4), 1.005)}
    other = {**learned, "q.lora_B.weight": torch.full((4, 4), 1.05)}
    for name, tensors in {"right": learned, "apart": apart, "other": other}.items():
        (tmp_path / name).mkdir()
        save_file(tensors, tmp_path / name / "adapter_model.safetensors")
    found = nano["compare"](tmp_path / "apart", tmp_path / "right")
    assert found["adapters_apart"] == pytest.approx(0.005, rel=1e-3)
    with pytest.raises(RuntimeError, match=r"the adapters differ by 0.2 of 4"):
        nano["compare"](tmp_path / "other", tmp_path / "right")


def test_one_gpu_is_launched_with_fsdp_and_several_with_ddp_too(nano):
    assert list(nano["ways_to_launch"](1)) == ["FSDP on 1 GPU(s)"]
    ways = nano["ways_to_launch"](4)
    assert list(ways) == ["FSDP on 4 GPU(s)", "DDP on 4 GPUs"]
    assert "--multi_gpu" in ways["DDP on 4 GPUs"]
    assert all(flags[-1] == "4" for flags in ways.values())


def test_a_child_that_fails_is_told_with_what_it_said(nano):
    import os
    import sys

    command = [sys.executable, "-c", "import sys; sys.exit('no GPU for rank 3')"]
    with pytest.raises(RuntimeError, match="exit code 1: no GPU for rank 3"):
        nano["run_child"](command, dict(os.environ))
