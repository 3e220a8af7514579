"""Two processes on loopback train what one trains; torchrun and accelerate launch start them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from theobot.config import TrainSettings, load_settings
from theobot.run_folder import RunFolder, read_json, read_metrics
from theobot.training.checkpoints import complete_checkpoints
from theobot.training.plan import plan_training
from theobot.training.train import train

BIN = Path(sys.executable).parent
CHILD = Path(__file__).with_name("distributed_child.py")
STEPS = 20


def run_program(*command: str | Path, timeout: int = 120) -> subprocess.CompletedProcess[str]:
    ours = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **ours},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def torchrun(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    start = ["--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "2"]
    return run_program(BIN / "torchrun", *start, *arguments)


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> Path:
    """Twenty rows of different lengths; steps of 8 leave 4 for the last one of an epoch."""
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    with file.open("w", encoding="utf-8") as out:
        for number in range(20):
            prompt = f"User: What is number {number} about?\nAssistant:"
            completion = "Peace and justice. " * (1 + number % 5) + f"It is {number}."
            out.write(json.dumps({"prompt": prompt, "completion": completion}) + "\n")
    return file


def flags(base: Path, rows: Path, output: Path) -> dict[str, Any]:
    return {
        "model": str(base),
        "data": str(rows),
        "dev_data": str(rows),
        "output": str(output),
        "device": "cpu",
        "lora": {"r": 4},
        "training": {
            "bf16": False,
            "num_train_epochs": 6.66,
            "gradient_accumulation_steps": 8,
            "learning_rate": 1e-3,
            "pass_tokens": 120,
        },
    }


@pytest.fixture(scope="module")
def found(
    launch, two_ranks, tiny_base_folder, rows, tmp_path_factory
) -> tuple[Path, list[dict[str, Any]]]:
    """The folder of all runs, and what each of the two processes reported."""
    folder = tmp_path_factory.mktemp("ranks")
    plan = plan_training(
        load_settings(TrainSettings, None, flags(tiny_base_folder, rows, folder / "one"))
    )
    train(plan, on_report=lambda report: None, on_note=lambda note: None)
    job = {
        "base": str(tiny_base_folder),
        "data": str(rows),
        "disturbed": flags(tiny_base_folder, rows, folder / "disturbed"),
        "stopped": flags(tiny_base_folder, rows, folder / "stopped"),
    }
    (folder / "job.json").write_text(json.dumps(job))
    processes = [launch(CHILD, folder, **told) for told in two_ranks()]
    for process in processes:
        process.end().ended(0)
    return folder, [read_json(folder / f"findings-{rank}.json") for rank in range(2)]


def losses(folder: Path, kind: str = "loss") -> dict[int, float]:
    lines = read_metrics(RunFolder(folder).metrics)
    return {line["step"]: line[kind] for line in lines if kind in line}


def furthest(one: Path, other: Path) -> float:
    a, b = (load_file(path / "adapter" / "adapter_model.safetensors") for path in (one, other))
    assert a.keys() == b.keys()
    return max((a[name] - b[name]).abs().max().item() for name in a)


def test_two_ranks_equal_one_over_20_steps_with_an_uneven_batch_and_an_out_of_memory(found):
    folder, (first, second) = found
    assert first["disturbed"]["steps"] == second["disturbed"]["steps"] == STEPS
    assert losses(folder / "disturbed") == pytest.approx(losses(folder / "one"), abs=1e-5)
    assert losses(folder / "disturbed", "dev_loss") == pytest.approx(
        losses(folder / "one", "dev_loss"), abs=1e-5
    )
    assert furthest(folder / "disturbed", folder / "one") < 1e-5
    notes = [note for note in first["disturbed"]["notes"] if "Out of memory" in note]
    assert len(notes) == 1
    assert "the step is done again" in notes[0]
    assert read_json(folder / "disturbed" / "state.json")["pass_tokens"] < 120


def test_both_processes_know_the_same_dev_loss(found):
    _, (first, second) = found
    for run in ("disturbed", "resumed"):
        assert first[run]["best_dev_loss"] == second[run]["best_dev_loss"] is not None


def test_a_signal_to_one_process_stops_both_and_two_can_resume(found):
    folder, (first, second) = found
    assert first["stopped"]["interrupted"]
    assert second["stopped"]["interrupted"]
    assert first["stopped"]["steps"] == second["stopped"]["steps"] < STEPS
    assert f"Going on from checkpoint-{first['stopped']['steps']}." in first["resumed"]["notes"]
    assert losses(folder / "stopped") == pytest.approx(losses(folder / "one"), abs=1e-5)
    assert furthest(folder / "stopped", folder / "one") < 1e-5
    assert complete_checkpoints(folder / "stopped" / "checkpoints")[-1].name == "checkpoint-20"


def test_the_first_process_alone_writes_and_reports(found):
    _, (first, second) = found
    assert first["written"]
    assert second["written"] == []
    for run in ("disturbed", "stopped", "resumed"):
        assert second[run]["notes"] == []
        assert second[run]["reports"] == 0
        assert first[run]["reports"] > 0


@pytest.mark.parametrize("way", ["shard_layers", "shard_like_accelerate"])
@pytest.mark.parametrize(
    ("model", "tolerance"), [("float32 tied", 1e-5), ("float32 own", 1e-5), ("bfloat16 own", 2e-2)]
)
def test_a_fully_sharded_packed_step_equals_a_whole_one(found, way, model, tolerance):
    for findings in found[1]:
        apart = findings["sharded"][f"{model} {way}"]
        assert apart["gradient"] < tolerance
        assert apart["loss"] < tolerance
        assert apart["dev_loss"] < tolerance
        assert apart["adapter"]
        assert apart["parts"]


def test_a_mistake_is_told_once_and_nobody_waits(tmp_path):
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text("{\n")
    done = torchrun("-m", "theobot", "train", "--model", "nano", "--data", wrong, "--device", "cpu")
    assert done.returncode != 0
    assert done.stderr.count("wrong.jsonl:1") == 1
    assert "exitcode  : 2" in done.stderr


def test_fsdp_on_a_cpu_is_refused_with_the_reason(tiny_base_folder, rows, tmp_path):
    fsdp = ["--use_fsdp", "--fsdp_version", "2", "--mixed_precision", "no"]
    done = run_program(
        BIN / "accelerate",
        *("launch", "--num_processes", "2", *fsdp, "-m", "theobot", "train"),
        *("--model", tiny_base_folder, "--data", rows, "--device", "cpu"),
        *("--output", tmp_path / "run"),
    )
    assert done.returncode != 0
    assert done.stderr.count("silently use DDP") == 1
    assert not (tmp_path / "run").exists()
