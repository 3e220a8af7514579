"""kill -9 at random moments, resume each time: the adapter is bit for bit the undisturbed one."""

from __future__ import annotations

import os
import random
import runpy
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from theobot.config import TrainSettings, load_settings
from theobot.errors import RunError, SettingsError
from theobot.run_folder import RunFolder, read_metrics
from theobot.training.checkpoints import complete_checkpoints, write_progress
from theobot.training.plan import plan_training
from theobot.training.train import train

KILLS = 10


def settings_for(base: Path, rows: Path, folder: Path, **training: object) -> dict[str, object]:
    return {
        "model": str(base),
        "data": str(rows),
        "dev_data": str(rows),
        "output": str(folder),
        "lora": {"r": 4, "lora_dropout": 0.1},
        "training": {
            "bf16": False,
            "num_train_epochs": 6,
            "gradient_accumulation_steps": 4,
            "learning_rate": 1e-2,
            "save_steps": 2,
            **training,
        },
    }


def child_process(context: Any, flags: dict[str, object], resume: bool) -> Any:
    script = Path(__file__).with_name("training_child.py")
    return context.Process(
        target=runpy.run_path, args=(str(script), {"flags": flags, "resume": resume})
    )


def adapter_bytes(folder: Path) -> bytes:
    return (folder / "adapter" / "adapter_model.safetensors").read_bytes()


def test_ten_kills_leave_the_adapter_bit_for_bit_the_same(
    fork_server, tiny_base_folder, rows_file, tmp_path
):
    undisturbed = settings_for(tiny_base_folder, rows_file, tmp_path / "whole")
    whole = child_process(fork_server, undisturbed, False)
    whole.start()
    whole.join()
    assert whole.exitcode == 0

    folder = tmp_path / "killed"
    flags = settings_for(tiny_base_folder, rows_file, folder)
    chance = random.Random(11)
    kills = 0
    while True:
        resume = (folder / "config.json").exists()
        child = child_process(fork_server, flags, resume)
        child.start()
        if kills < KILLS:
            before = metrics_size(folder)
            lines = chance.randrange(1, 6)
            while child.is_alive() and metrics_size(folder) < before + 100 * lines:
                time.sleep(0.002)
            time.sleep(chance.random() * 0.08)
            os.kill(child.pid, signal.SIGKILL)
            kills += 1
        child.join()
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
    assert kills == KILLS
    assert adapter_bytes(folder) == adapter_bytes(tmp_path / "whole")
    steps = [line["step"] for line in read_metrics(folder / "metrics.jsonl") if "loss" in line]
    assert steps == list(range(1, 31))


def metrics_size(folder: Path) -> int:
    file = folder / "metrics.jsonl"
    return file.stat().st_size if file.exists() else 0


def test_ctrl_c_saves_and_resume_ends_as_if_undisturbed(tiny_base_folder, rows_file, tmp_path):
    quiet = {"on_note": lambda note: None}
    whole = settings_for(tiny_base_folder, rows_file, tmp_path / "whole", num_train_epochs=2)
    undisturbed = train(
        plan_training(load_settings(TrainSettings, None, whole)), on_report=lambda r: None, **quiet
    )

    def interrupt_at_step_3(report):
        if report.step == 3 and report.loss is not None:
            os.kill(os.getpid(), signal.SIGINT)

    flags = settings_for(tiny_base_folder, rows_file, tmp_path / "stopped", num_train_epochs=2)
    plan = plan_training(load_settings(TrainSettings, None, flags))
    result = train(plan, on_report=interrupt_at_step_3, **quiet)
    folder = RunFolder(tmp_path / "stopped")
    assert result.interrupted
    assert folder.read_state()["status"] == "interrupted"
    assert not folder.adapter.exists()
    assert complete_checkpoints(folder.checkpoints)[-1].name == f"checkpoint-{result.steps}"

    # As after a kill: nothing in state.json says which budget the steps were computed with.
    killed = RunFolder(shutil.copytree(folder.path, tmp_path / "killed"))
    killed.update_state(pass_tokens=None)
    checkpoint = complete_checkpoints(killed.checkpoints)[-1]
    (checkpoint / "checksums.json").unlink()
    write_progress(checkpoint, 60, result.final_loss)

    def go_on(run):
        settings = load_settings(TrainSettings, None, {"output": str(run.path)})
        return train(plan_training(settings, resume=True), on_report=lambda r: None, **quiet)

    finished = go_on(folder)
    assert not finished.interrupted
    assert folder.finished
    assert adapter_bytes(folder.path) == adapter_bytes(tmp_path / "whole")
    assert finished.final_loss == undisturbed.final_loss
    assert finished.seconds > result.seconds
    assert folder.read_state()["seconds"] == round(finished.seconds, 1)
    go_on(killed)
    assert killed.read_state()["pass_tokens"] == 60


def test_resume_refuses_other_settings_and_finished_runs(tiny_base_folder, rows_file, tmp_path):
    flags = settings_for(
        tiny_base_folder, rows_file, tmp_path / "run", num_train_epochs=1, logging_steps=50
    )
    plan = plan_training(load_settings(TrainSettings, None, flags))
    result = train(plan, on_report=lambda r: None, on_note=lambda note: None)
    assert result.final_loss is not None
    assert f"last step: {result.final_loss:.4f}" in (plan.folder.adapter / "README.md").read_text()
    with pytest.raises(RunError, match="finished"):
        plan_training(load_settings(TrainSettings, None, flags), resume=True)
    RunFolder(tmp_path / "run").update_state(status="interrupted")
    other = {"output": str(tmp_path / "run"), "lora": {"r": 8}}
    with pytest.raises(SettingsError, match="own settings"):
        plan_training(load_settings(TrainSettings, None, other), resume=True)
    with pytest.raises(SettingsError, match="--output"):
        plan_training(load_settings(TrainSettings, None, {}), resume=True)
