"""What people choose in a run's settings holds to its end: trained, saved, asked, resumed."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from theobot.config import TokenSettings, TrainSettings, load_settings
from theobot.data.examples import read_examples
from theobot.data.prompt import Turn
from theobot.data.tokens import tokenize_rows
from theobot.errors import SettingsError
from theobot.generation.local import load_generator
from theobot.model.adapter import load_adapter, read_adapter_info, select
from theobot.run_folder import read_json, read_metrics
from theobot.training.plan import plan_training
from theobot.training.train import TrainResult, train

QUICK = {
    "bf16": False,
    "num_train_epochs": 2,
    "gradient_accumulation_steps": 4,
    "learning_rate": 1e-2,
    "save_steps": 4,
}


@pytest.fixture
def run(tiny_base_folder: Path, rows_file: Path, tmp_path: Path):
    """Trains the tiny base: `run(name, training={...}, lora={...}, ...)`; ten steps."""

    def start(name: str, on_report=lambda report: None, resume=False, **changes: Any):
        values: dict[str, Any] = {"output": str(tmp_path / name)}
        if not resume:
            values |= {"model": str(tiny_base_folder), "data": str(rows_file)}
            values |= {"dev_data": str(rows_file), **changes}
            values["lora"] = {"r": 4, **changes.get("lora", {})}
            values["training"] = {**QUICK, **changes.get("training", {})}
        plan = plan_training(load_settings(TrainSettings, None, values), resume=resume)
        return train(plan, on_report=on_report, on_note=lambda note: None)

    return start


def dev_loss(base_folder: Path, adapter: Path, rows_file: Path, loss_on="completion") -> float:
    """Nats per token by Hugging Face's own loss, row by row, over the base as it lies on disk."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(base_folder, dtype="float32")
    model = load_adapter(base, read_adapter_info(adapter))
    tokens = TokenSettings(loss_on=loss_on)
    tokenizer = AutoTokenizer.from_pretrained(base_folder)
    nats = count = 0.0
    for row in tokenize_rows(read_examples(rows_file), tokenizer, tokens):
        ids = torch.tensor([row.input_ids])
        labels = ids.clone()
        labels[0, : row.learned_from] = -100
        with torch.no_grad():
            nats += model(input_ids=ids, labels=labels).loss.item() * row.scored
        count += row.scored
    return nats / count


def adapter_bytes(result: TrainResult) -> bytes:
    return (result.folder.adapter / "adapter_model.safetensors").read_bytes()


@pytest.mark.parametrize(
    "lora",
    [
        {"use_rslora": True},
        {"use_dora": True},
        {"init_lora_weights": "gaussian", "loraplus_lr_ratio": 4},
        {"init_lora_weights": "pissa"},
        {"target_modules": "all-linear", "r": 2},
    ],
    ids=lambda lora: next(iter(lora)),
)
def test_the_saved_adapter_has_the_dev_loss_that_training_measured(
    run, lora, tiny_base_folder, rows_file
):
    result = run("run", lora=lora)
    losses = [line["loss"] for line in read_metrics(result.folder.metrics) if "loss" in line]
    assert losses[-1] < losses[0]
    measured = dev_loss(tiny_base_folder, result.folder.adapter, rows_file)
    assert measured == pytest.approx(result.best_dev_loss, rel=1e-4)


@pytest.fixture
def dev_file(tmp_path: Path) -> Path:
    """An answer unlike all training answers: its loss rises with every step but the first few."""
    row = {"prompt": "User: What is number 1 about?\nAssistant:", "completion": "QQ ZZ %% QQ ##"}
    file = tmp_path / "dev.jsonl"
    file.write_text(json.dumps(row) + "\n")
    return file


def test_pissa_keeps_the_best_adapter_and_not_the_last(run, dev_file, tiny_base_folder):
    pissa = {"init_lora_weights": "pissa"}
    fast = {"learning_rate": 3e-2, "num_train_epochs": 6, "save_steps": 2}
    result = run("run", dev_data=str(dev_file), lora=pissa, training=fast)
    assert result.best_step < result.steps
    measured = dev_loss(tiny_base_folder, result.folder.adapter, dev_file)
    assert measured == pytest.approx(result.best_dev_loss, rel=1e-4)


@pytest.mark.parametrize(
    "lora",
    [{"init_lora_weights": "pissa"}, {"loraplus_lr_ratio": 8, "use_dora": True}],
    ids=["pissa", "loraplus-dora"],
)
def test_an_interrupted_run_ends_as_the_undisturbed_one(run, lora):
    def interrupt_at_step_3(report):
        if report.step == 3 and report.loss is not None:
            os.kill(os.getpid(), signal.SIGINT)

    whole = run("whole", lora=lora)
    stopped = run("stopped", interrupt_at_step_3, lora=lora)
    assert stopped.interrupted
    finished = run("stopped", resume=True)
    assert adapter_bytes(finished) == adapter_bytes(whole)


@pytest.mark.parametrize("choice", ["use_dora", "use_rslora"])
def test_both_arms_answer_with_such_an_adapter(run, choice):
    result = run("run", lora={choice: True, "lora_alpha": 64})
    generator = load_generator(select(run=result.folder.path), "cpu")
    turns = [Turn("user", "What is number 1 about?")]
    options = {"prompt_format": "seed", "max_new_tokens": 12}
    base, tuned = (generator.answer([turns, turns], arm, **options) for arm in ("base", "theobot"))
    assert base[0] == base[1] != tuned[0] == tuned[1]
    assert generator.adapter_effect([turns]) > 0.1
    alone = load_generator(select(run=result.folder.path)._replace(adapter=None), "cpu")
    assert alone.answer([turns], "base", **options) == base[:1]


def test_all_tokens_can_be_learned(run, tiny_base_folder, rows_file):
    result = run("run", tokens={"loss_on": "all"})
    measured = dev_loss(tiny_base_folder, result.folder.adapter, rows_file, "all")
    assert measured == pytest.approx(result.best_dev_loss, rel=1e-4)
    assert read_json(result.folder.adapter / "theobot.json")["loss_on"] == "all"


def test_recomputed_layers_give_the_same_adapter(run):
    kept = run("kept")
    again = run("again", training={"checkpoint_every_n_layers": 1})
    assert adapter_bytes(again) == adapter_bytes(kept)


EARLY = {"early_stopping_patience": 2, "save_steps": 2, "num_train_epochs": 6}


def test_training_stops_early_says_why_and_keeps_the_best(run, dev_file, tiny_base_folder):
    result = run("run", dev_data=str(dev_file), training=EARLY)
    assert not result.interrupted
    assert result.folder.finished
    assert result.best_step + 2 * 2 == result.steps < result.total_steps == 30
    assert "2 evaluations in a row" in result.stopped_early
    assert result.folder.read_state()["stopped_early"] == result.stopped_early
    measured = dev_loss(tiny_base_folder, result.folder.adapter, dev_file)
    assert measured == pytest.approx(result.best_dev_loss, rel=1e-4)


@pytest.mark.parametrize("save_steps", [2, 0], ids=["steps", "epochs"])
def test_a_run_interrupted_or_killed_before_its_early_stop_stops_at_the_same_step(
    run, dev_file, save_steps, tmp_path
):
    early = {**EARLY, "save_steps": save_steps, "gradient_accumulation_steps": 10}
    whole = run("whole", dev_data=str(dev_file), training=early)

    def interrupt_before_the_last_evaluation_but_one(report):
        if report.step == whole.steps - 3 and report.loss is not None:
            os.kill(os.getpid(), signal.SIGINT)

    run(
        "stopped",
        interrupt_before_the_last_evaluation_but_one,
        dev_data=str(dev_file),
        training=early,
    )
    assert not (tmp_path / "stopped" / "adapter").exists()
    finished = run("stopped", resume=True)
    assert (finished.steps, finished.stopped_early) == (whole.steps, whole.stopped_early)
    assert adapter_bytes(finished) == adapter_bytes(whole)

    # Killed after the last checkpoint, before the adapter was saved.
    before = adapter_bytes(whole)
    shutil.rmtree(whole.folder.adapter)
    whole.folder.update_state(status="running")
    again = run("whole", resume=True)
    assert (again.steps, again.stopped_early) == (whole.steps, whole.stopped_early)
    assert adapter_bytes(again) == before


def refused(**values: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        plan_training(load_settings(TrainSettings, None, {"model": "nano", **values}))
    return str(caught.value)


def test_early_stopping_needs_dev_rows(rows_file):
    patience = {"early_stopping_patience": 3}
    assert "--dev-data FILE" in refused(data=str(rows_file), training=patience)
    shipped = {"model": "nano", "training": patience}
    assert plan_training(load_settings(TrainSettings, None, shipped)).dev_examples


def test_pissa_is_refused_where_the_adapter_would_not_be_sound():
    pissa = {"init_lora_weights": "pissa"}
    told = refused(lora={**pissa, "use_dora": True, "lora_dropout": 0.1}, load_in_4bit=True)
    for name in ("lora.use_dora", "load_in_4bit", "lora.lora_dropout"):
        assert told.count(f"does not go with {name}") == 1


def test_trackers_are_looked_for_before_anything_is_loaded():
    assert "no such tracker. There are: azure_ml" in refused(training={"report_to": "tensorbord"})
    missing = "clearml" if importlib.util.find_spec("clearml") is None else "dvclive"
    assert f"pip install {missing}" in refused(training={"report_to": [missing]})
    for name in ("none", "all"):
        values = {"model": "nano", "training": {"report_to": name}}
        plan_training(load_settings(TrainSettings, None, values))


def test_a_tracker_gets_the_losses(run):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = run("run", training={"report_to": ["tensorboard"]})
    (file,) = result.folder.path.rglob("events.out.tfevents.*")
    events = EventAccumulator(str(file)).Reload()
    losses = [line["loss"] for line in read_metrics(result.folder.metrics) if "loss" in line]
    assert [event.value for event in events.Scalars("train/loss")] == pytest.approx(losses)


def test_four_bits_without_the_package_are_refused():
    if importlib.util.find_spec("bitsandbytes"):
        pytest.skip("bitsandbytes is installed")
    assert "pip install bitsandbytes" in refused(load_in_4bit=True)


@pytest.mark.parametrize("lora", [{}, {"use_dora": True}], ids=["lora", "dora"])
def test_an_adapter_trained_on_a_4_bit_base_is_plain(run, lora, tiny_base_folder, rows_file):
    pytest.importorskip("bitsandbytes")
    brief = {"num_train_epochs": 1, "bf16": True, "save_steps": 2, "checkpoint_every_n_layers": 1}
    result = run("run", load_in_4bit=True, lora=lora, training=brief)
    assert result.best_dev_loss is not None
    measured = dev_loss(tiny_base_folder, result.folder.adapter, rows_file)
    assert measured == pytest.approx(result.best_dev_loss, rel=0.1), "but for 4 and 16 bits"
