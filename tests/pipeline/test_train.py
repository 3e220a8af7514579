"""Settings -> run folder -> an adapter that plain PEFT and the seed's own script load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from theobot.config import TrainSettings, load_settings
from theobot.errors import DataError, ModelError, RunError, SettingsError
from theobot.model.adapter import load_adapter, read_adapter_info
from theobot.run_folder import RunFolder, read_json, read_metrics
from theobot.training.plan import TrainPlan, plan_training
from theobot.training.train import TrainResult, train

# The seed's inference listing; only the two paths are filled in.
# ruff: noqa: E501
SEED_SCRIPT = """
import os
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from peft import PeftModel

# Define paths
BASE_MODEL_PATH = {base!r}
ADAPTER_PATH = os.path.expanduser({adapter!r})

# Load model and tokenizer
tokenizer = AutoTokenizer.from_pretrained(BASE_MODEL_PATH)
model = AutoModelForCausalLM.from_pretrained(BASE_MODEL_PATH, torch_dtype=torch.bfloat16, device_map="auto")

# Apply the LoRA adapter
model = PeftModel.from_pretrained(model, ADAPTER_PATH)
model.eval()

# Prepare and run a prompt
prompt = "User: What is the main message of Deuteronomy 24:17?\\nAssistant:"
inputs = tokenizer(prompt, return_tensors="pt").to(model.device)
outputs = model.generate(**inputs, max_new_tokens=150)
print(tokenizer.decode(outputs[0], skip_special_tokens=True))
"""


def flags(base: Path, rows: Path, folder: Path, **changes: object) -> dict[str, object]:
    return {
        "model": str(base),
        "data": str(rows),
        "output": str(folder),
        "lora": {"r": 4},
        "training": {"bf16": False, "num_train_epochs": 3, "learning_rate": 1e-2},
        **changes,
    }


def run(flag_values: dict[str, object]) -> tuple[TrainResult, list[str]]:
    notes: list[str] = []
    plan = plan_training(load_settings(TrainSettings, None, flag_values))
    return train(plan, on_report=lambda report: None, on_note=notes.append), notes


@pytest.fixture(scope="module")
def finished(tiny_base_folder, tmp_path_factory) -> tuple[Path, Path]:
    """A finished run on rows that it can learn, and the rows' file."""
    folder = tmp_path_factory.mktemp("finished")
    rows = folder / "rows.jsonl"
    row = {"prompt": "User: What is sewa?\nAssistant:", "completion": "Selfless service."}
    rows.write_text((json.dumps(row) + "\n") * 32)
    run(flags(tiny_base_folder, rows, folder / "run", dev_data=str(rows)))
    return folder / "run", rows


def test_the_run_folder_holds_what_the_design_says(finished):
    folder = RunFolder(finished[0])
    names = {path.name for path in folder.path.iterdir()}
    assert names == {
        "config.json",
        "environment.json",
        "dataset.json",
        "state.json",
        "metrics.jsonl",
        "checkpoints",
        "adapter",
        "loss.svg",
    }
    assert folder.finished
    assert read_json(folder.dataset)["train"]["rows"] == 32
    assert read_json(folder.environment)["dtype"] == "float32"
    stored = TrainSettings.model_validate(read_json(folder.config))
    assert (stored.lora.r, stored.training.num_train_epochs) == (4, 3)
    assert "<svg" in folder.loss_svg.read_text()
    assert {path.name for path in folder.adapter.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "theobot.json",
        "README.md",
    }
    # A folder of this machine is of no use to others, and says who made it.
    assert read_json(folder.adapter / "adapter_config.json")["base_model_name_or_path"] == ""
    assert read_json(folder.adapter / "theobot.json")["base_model"] is None


def test_the_loss_falls_and_each_step_has_a_line(finished):
    lines = read_metrics(RunFolder(finished[0]).metrics)
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == 6
    assert losses[-1] < losses[0]
    assert len([line for line in lines if "dev_loss" in line]) == 3


def test_plain_peft_on_the_saved_folder_gives_our_logits_exactly(finished, tiny_base_folder):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    def base():
        return AutoModelForCausalLM.from_pretrained(tiny_base_folder, dtype="float32")

    adapter = finished[0] / "adapter"
    ids = torch.arange(30).unsqueeze(0)
    plain = PeftModel.from_pretrained(base(), adapter).eval()
    ours = load_adapter(base(), read_adapter_info(adapter))
    with torch.no_grad():
        assert torch.equal(plain(ids).logits, ours(ids).logits)
        assert not torch.equal(plain(ids).logits, base().eval()(ids).logits)


def test_the_seeds_inference_script_prints_an_answer(start, finished, tiny_base_folder, tmp_path):
    script = tmp_path / "seed.py"
    adapter = str(finished[0] / "adapter")
    script.write_text(SEED_SCRIPT.format(base=str(tiny_base_folder), adapter=adapter))
    done = start(script).end()
    assert done.code == 0, done.told
    question = "User: What is the main message of Deuteronomy 24:17?\nAssistant:"
    assert done.out.startswith(question)
    assert len(done.out.strip()) > len(question)


def test_the_adapter_with_the_best_dev_loss_is_kept(tiny_base_folder, rows_file, tmp_path):
    """Dev answers unlike the training answers get worse with each epoch after the first few."""
    dev_file = tmp_path / "dev.jsonl"
    row = {"prompt": "User: What is number 1 about?\nAssistant:", "completion": "QQ ZZ %% QQ ##"}
    dev_file.write_text(json.dumps(row) + "\n")
    fast = {"bf16": False, "num_train_epochs": 6, "learning_rate": 3e-2}
    values = flags(
        tiny_base_folder, rows_file, tmp_path / "run", dev_data=str(dev_file), training=fast
    )
    result, _ = run(values)
    folder = RunFolder(tmp_path / "run")
    lines = read_metrics(folder.metrics)
    dev = {line["step"]: line["dev_loss"] for line in lines if "dev_loss" in line}
    best = min(dev, key=lambda step: dev[step])
    assert result.best_step == best != result.steps
    assert result.best_dev_loss == dev[best]
    kept = (folder.checkpoints / f"checkpoint-{best}" / "adapter_model.safetensors").read_bytes()
    assert (folder.adapter / "adapter_model.safetensors").read_bytes() == kept


def test_without_dev_rows_the_last_adapter_is_kept(tiny_base_folder, rows_file, tmp_path):
    result, _ = run(flags(tiny_base_folder, rows_file, tmp_path / "run"))
    folder = RunFolder(tmp_path / "run")
    last = folder.checkpoints / f"checkpoint-{result.steps}" / "adapter_model.safetensors"
    assert result.best_dev_loss is None
    assert (folder.adapter / "adapter_model.safetensors").read_bytes() == last.read_bytes()
    assert "no dev rows were given" in (folder.adapter / "README.md").read_text()


def test_a_bfloat16_base_trains_a_float32_adapter(tiny_base_folder, rows_file, tmp_path):
    from safetensors.torch import load_file

    settings = {"bf16": True, "num_train_epochs": 2, "learning_rate": 1e-2}
    result, notes = run(flags(tiny_base_folder, rows_file, tmp_path / "run", training=settings))
    assert "bfloat16" in notes[0]
    weights = load_file(tmp_path / "run" / "adapter" / "adapter_model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    lines = read_metrics(RunFolder(tmp_path / "run").metrics)
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert result.steps == 4


def test_the_same_seed_gives_the_same_adapter_and_another_another(
    tiny_base_folder, rows_file, tmp_path
):
    def weights(name: str, seed: int) -> bytes:
        short = {"bf16": False, "num_train_epochs": 1}
        run(flags(tiny_base_folder, rows_file, tmp_path / name, seed=seed, training=short))
        return (tmp_path / name / "adapter" / "adapter_model.safetensors").read_bytes()

    assert weights("a", 1) == weights("b", 1)
    assert weights("c", 2) != weights("d", 1)


def test_a_taken_folder_and_foreign_files_are_never_overwritten(
    finished, tiny_base_folder, tmp_path
):
    with pytest.raises(RunError, match="already holds a run"):
        plan(tiny_base_folder, finished[1], finished[0])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "essay.txt").write_text("precious")
    with pytest.raises(RunError, match="nothing was overwritten"):
        plan(tiny_base_folder, finished[1], tmp_path / "mine")


def plan(base: Path, rows: Path, folder: Path) -> TrainPlan:
    return plan_training(load_settings(TrainSettings, None, flags(base, rows, folder)))


def test_problems_of_both_data_files_are_told_at_once(tiny_base_folder, tmp_path):
    (tmp_path / "a.jsonl").write_text("{\n")
    (tmp_path / "b.jsonl").write_text("[]\n")
    values = flags(tiny_base_folder, tmp_path / "a.jsonl", tmp_path / "run")
    values["dev_data"] = str(tmp_path / "b.jsonl")
    with pytest.raises(DataError) as caught:
        plan_training(load_settings(TrainSettings, None, values))
    assert len(caught.value.problems) == 2
    assert not (tmp_path / "run").exists()


def test_a_dry_run_counts_rows_and_steps_and_writes_nothing(tiny_base_folder, rows_file, tmp_path):
    summary = plan(tiny_base_folder, rows_file, tmp_path / "run").summary()
    assert summary["total_steps"] == 6
    assert summary["examples_per_step"] == 16
    assert summary["dataset"]["train"]["rows"] == 20
    assert not (tmp_path / "run").exists()


def test_an_unknown_target_module_is_told_in_a_sentence(tiny_base_folder, rows_file, tmp_path):
    values = flags(tiny_base_folder, rows_file, tmp_path / "run", lora={"target_modules": ["nope"]})
    with pytest.raises(SettingsError, match=r"lora\.target_modules.*nope"):
        run(values)
    assert RunFolder(tmp_path / "run").read_state()["status"] == "failed"


def test_a_base_that_cannot_be_loaded_is_written_down(tiny_base_folder, rows_file, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(tiny_base_folder, base)
    (base / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(ModelError, match="cannot be loaded"):
        run(flags(base, rows_file, tmp_path / "run"))
    folder = RunFolder(tmp_path / "run")
    assert folder.read_state()["failure"]["error"] == "ModelError"
    folder.refuse_if_taken()  # no run began: the same folder can be used again


def test_several_processes_without_a_launcher_are_refused(
    tiny_base_folder, rows_file, tmp_path, monkeypatch
):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SettingsError, match="torchrun"):
        run(flags(tiny_base_folder, rows_file, tmp_path / "run"))
