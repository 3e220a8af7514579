"""Settings -> a run folder with a trained adapter."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from theobot.config import TrainSettings
from theobot.data.dataset import (
    shipped_dev_data,
    shipped_training_data,
    summarise,
)
from theobot.data.examples import Example, read_examples
from theobot.errors import DataError, RunError, SettingsError, TheobotError
from theobot.model.base import resolve_model
from theobot.run_folder import (
    RunFolder,
    new_run_folder,
    read_json,
    write_json,
    write_problem,
    write_text,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from theobot.data.tokens import TokenRow
    from theobot.model.device import Compute
    from theobot.training.metrics import StepReport
    from theobot.training.trainer import PackedTrainer


class TrainPlan(NamedTuple):
    """What a run will do, checked as far as it can be without loading a model."""

    settings: TrainSettings
    folder: RunFolder
    examples: list[Example]
    dev_examples: list[Example]
    resume: bool

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run."""
        per_epoch = math.ceil(len(self.examples) / self.settings.examples_per_step)
        return math.ceil(per_epoch * self.settings.training.num_train_epochs)

    def summary(self) -> dict[str, Any]:
        """What --dry-run shows: settings, data, steps."""
        return {
            "run": str(self.folder.path),
            "settings": self.settings.model_dump(mode="json"),
            "dataset": dataset_summary(self.examples, self.dev_examples),
            "examples_per_step": self.settings.examples_per_step,
            "total_steps": self.total_steps,
        }


class TrainResult(NamedTuple):
    """How a run ended. Losses are mean cross-entropy per scored token in nats."""

    folder: RunFolder
    steps: int
    total_steps: int
    final_loss: float
    best_dev_loss: float | None
    best_step: int | None
    seconds: float
    interrupted: bool


def plan_training(settings: TrainSettings, *, resume: bool = False) -> TrainPlan:
    """Check settings, data and folder; loads no model and writes nothing.

    Args:
        settings: from `load_settings`; with `resume` only those given by the person count, and
            they must agree with the run's own.
        resume: go on with the run in `settings.output`.

    Raises:
        TheobotError: with all problems of all data files.
    """
    if resume:
        settings = _settings_of_run(settings)
    elif settings.data is None:
        dev = settings.dev_data or str(shipped_dev_data())
        settings = settings.model_copy(
            update={"data": str(shipped_training_data()), "dev_data": dev}
        )
    folder = RunFolder(settings.output) if settings.output else new_run_folder(settings.model)
    if not resume:
        folder.refuse_if_taken()
    resolve_model(settings.model)
    return TrainPlan(settings, folder, *_read_data(settings), resume)


def _settings_of_run(given: TrainSettings) -> TrainSettings:
    if given.output is None:
        raise SettingsError("--resume needs the run to go on with: type --output runs/<name>.")
    folder = RunFolder(given.output)
    if not folder.config.is_file():
        raise RunError(f"{folder.path}: no run to go on with (config.json not found).")
    if folder.finished:
        raise RunError(f"{folder.path}: this run is finished; its adapter is {folder.adapter}.")
    stored = TrainSettings.model_validate(read_json(folder.config))
    typed = given.model_dump(exclude_unset=True, exclude={"output"})
    merged = TrainSettings.model_validate(_overlay(stored.model_dump(), typed))
    if merged != stored:
        raise SettingsError(
            f"{folder.path}: --resume goes on with the run's own settings, but others were given. "
            "Leave them out, or start a new run with another --output."
        )
    return stored.model_copy(update={"output": given.output})


def _overlay(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    return {
        **low,
        **{
            key: _overlay(low[key], value) if isinstance(value, dict) else value
            for key, value in high.items()
        },
    }


def _read_data(settings: TrainSettings) -> tuple[list[Example], list[Example]]:
    assert settings.data is not None, "resolved by plan_training"
    read: list[list[Example]] = []
    problems: list[str] = []
    for source in (settings.data, settings.dev_data):
        try:
            read.append(read_examples(source) if source else [])
        except DataError as error:
            problems.extend(error.problems)
    if problems:
        raise DataError(problems)
    return read[0], read[1]


def dataset_summary(examples: list[Example], dev_examples: list[Example]) -> dict[str, Any]:
    """Content of dataset.json."""
    return {
        "train": summarise(examples),
        "dev": summarise(dev_examples) if dev_examples else None,
    }


def train(
    plan: TrainPlan,
    *,
    on_report: Callable[[StepReport], None],
    on_note: Callable[[str], None],
) -> TrainResult:
    """Train, and save the adapter to the run folder.

    Ctrl-C (or SIGTERM) finishes the step, saves a checkpoint and returns with `interrupted`; a
    second one stops at once, with the checkpoints made so far.

    Args:
        plan: from `plan_training`.
        on_report: receives each logged step.
        on_note: receives sentences for the person; the first names device and number format.

    Raises:
        TheobotError: something a person can mend; the run's state.json says what it was.
    """
    import torch

    from theobot.data.tokens import tokenize_rows
    from theobot.model.base import load_base, load_tokenizer
    from theobot.model.device import choose_compute

    settings, folder = plan.settings, plan.folder
    state = folder.read_state() if plan.resume else {}
    if "threads" in state:
        torch.set_num_threads(state["threads"])
    compute = choose_compute(settings.device, settings.training.bf16)
    _refuse_several_devices(compute)
    on_note(compute.sentence())
    tokenizer = load_tokenizer(settings.model)
    rows = tokenize_rows(plan.examples, tokenizer, settings.tokens)
    dev_rows = tokenize_rows(plan.dev_examples, tokenizer, settings.tokens)
    folder.make()
    base, _ = load_base(settings.model, compute)
    if not plan.resume:
        _describe_run(plan, compute)
    started = time.monotonic()
    with _recorded_failure(folder), _stop_signals() as stop:
        trainer = _build_trainer(plan, base, rows, dev_rows, state, on_note)
        _add_callbacks(trainer, folder, stop, on_report)
        _run(trainer, plan, on_note)
        result = _result(trainer, folder, stop.is_set(), time.monotonic() - started)
        _finish(trainer, plan, result)
    return result


def _refuse_several_devices(compute: Compute) -> None:
    import os

    import torch

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise SettingsError(
            "Several processes were started; training runs in one process on one device. "
            "Start `theobot train` without torchrun or accelerate launch."
        )
    if compute.device.type == "cuda" and torch.cuda.device_count() > 1:
        raise SettingsError(
            f"{torch.cuda.device_count()} GPUs are visible, and transformers would split each "
            "batch over them. Show it one: CUDA_VISIBLE_DEVICES=0 theobot train ..."
        )


def _describe_run(plan: TrainPlan, compute: Compute) -> None:
    import torch

    from theobot.model.environment import environment

    folder, settings = plan.folder, plan.settings
    write_json(folder.dataset, dataset_summary(plan.examples, plan.dev_examples))
    write_json(folder.environment, environment(compute))
    folder.update_state(
        status="running",
        total_steps=plan.total_steps,
        threads=torch.get_num_threads(),
        pass_tokens=settings.training.pass_tokens,
    )
    # Last, because this file is what makes the folder a run.
    write_json(folder.config, settings.model_dump(mode="json", exclude={"output"}))


def _build_trainer(
    plan: TrainPlan,
    base: PreTrainedModel,
    rows: list[TokenRow],
    dev_rows: list[TokenRow],
    state: dict[str, Any],
    on_note: Callable[[str], None],
) -> PackedTrainer:
    from peft import LoraConfig, get_peft_model
    from transformers import set_seed

    from theobot.training.attention import SEGMENTED
    from theobot.training.head import install_flat_forward
    from theobot.training.trainer import PackedTrainer

    settings = plan.settings
    # Before the adapter is made: its first values come from this seed.
    set_seed(settings.seed)
    base.set_attn_implementation(SEGMENTED)
    base.config.use_cache = False
    install_flat_forward(base)
    lora = settings.lora
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        target_modules=lora.peft_target_modules,
        task_type="CAUSAL_LM",
    )
    try:
        model = get_peft_model(base, config)
    except ValueError as error:
        raise SettingsError(f"lora.target_modules = {lora.target_modules}: {error}") from None
    return PackedTrainer(
        model,
        settings,
        plan.folder,
        rows,
        dev_rows,
        pass_tokens=state.get("pass_tokens", settings.training.pass_tokens),
        on_note=on_note,
    )


def _add_callbacks(
    trainer: PackedTrainer,
    folder: RunFolder,
    stop: threading.Event,
    on_report: Callable[[StepReport], None],
) -> None:
    from theobot.training.metrics import MetricsCallback
    from theobot.training.stopping import StopCallback

    tokens_seen = lambda: trainer.tokens_seen  # noqa: E731
    trainer.add_callback(MetricsCallback(folder.metrics, tokens_seen, on_report))
    trainer.add_callback(StopCallback(stop))


def _run(trainer: PackedTrainer, plan: TrainPlan, on_note: Callable[[str], None]) -> None:
    from theobot.training.trainer import complete_checkpoints

    found = complete_checkpoints(plan.folder.checkpoints) if plan.resume else []
    if plan.resume:
        where = f"from {found[-1].name}" if found else "from the start: no checkpoint was complete"
        on_note(f"Going on {where}.")
        plan.folder.update_state(status="running")
    trainer.train(resume_from_checkpoint=str(found[-1]) if found else None)


def _result(
    trainer: PackedTrainer, folder: RunFolder, stopped: bool, seconds: float
) -> TrainResult:
    state = trainer.state
    losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
    return TrainResult(
        folder=folder,
        steps=state.global_step,
        total_steps=state.max_steps,
        final_loss=losses[-1] if losses else math.nan,
        best_dev_loss=state.best_metric,
        best_step=state.best_global_step if trainer.dev_rows else None,
        seconds=seconds,
        interrupted=stopped and state.global_step < state.max_steps,
    )


def _finish(trainer: PackedTrainer, plan: TrainPlan, result: TrainResult) -> None:
    from theobot.training.metrics import draw_loss

    folder = plan.folder
    draw_loss(folder.metrics, folder.loss_svg)
    figures = {
        "step": result.steps,
        "final_loss": result.final_loss,
        "best_dev_loss": result.best_dev_loss,
        "best_step": result.best_step,
        "pass_tokens": trainer.pass_tokens,
    }
    if result.interrupted:
        folder.update_state(status="interrupted", **figures)
        return
    _save_adapter(trainer, plan, result)
    seconds = folder.read_state().get("seconds", 0.0) + result.seconds
    folder.update_state(status="finished", seconds=round(seconds, 1), **figures)


def _save_adapter(trainer: PackedTrainer, plan: TrainPlan, result: TrainResult) -> None:
    import shutil

    from peft import PeftModel

    from theobot.model.adapter import NOTES
    from theobot.training.card import adapter_card
    from theobot.training.trainer import as_write_errors, publish

    folder, settings = plan.folder, plan.settings
    model = trainer.accelerator.unwrap_model(trainer.model)
    assert isinstance(model, PeftModel)
    if result.best_step and result.best_step != result.steps:
        model.load_adapter(str(folder.checkpoints / f"checkpoint-{result.best_step}"), "default")
    staging = folder.path / ".adapter.writing"
    shutil.rmtree(staging, ignore_errors=True)
    # PEFT has put the folder here that the base was loaded from; "nano" must not become a path.
    model.peft_config["default"].base_model_name_or_path = settings.model
    with as_write_errors(folder.path):
        # False: otherwise PEFT asks the Hub whether the vocabulary was changed. It is frozen.
        model.save_pretrained(str(staging), save_embedding_layers=False)
    notes = {
        "prompt_format": settings.tokens.prompt_format,
        "loss_on": settings.tokens.loss_on,
        "base_model": settings.model,
        "stop": "end of sequence, or a new 'User:' turn",
    }
    write_json(staging / NOTES, notes)
    card = adapter_card(settings, read_json(folder.dataset), result._asdict())
    write_text(staging / "README.md", card)
    publish(staging, folder.adapter)


@contextlib.contextmanager
def _recorded_failure(folder: RunFolder) -> Iterator[None]:
    """Note in state.json why a run ended early, and tell a full disk in a sentence."""
    try:
        yield
    except BaseException as error:
        problem = _write_failure(folder, error)
        reason = problem or f"{type(error).__name__}: {error}"
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        # The disk may be full; the first failure is the one to tell.
        with contextlib.suppress(TheobotError):
            folder.update_state(status=status, reason=reason)
        if problem:
            raise RunError(problem) from error
        raise


def _write_failure(folder: RunFolder, error: BaseException) -> str | None:
    """A sentence when an error means that nothing more can be written, else None."""
    if not isinstance(error, OSError) or error.errno is None:
        return None
    return (
        f"{write_problem(folder.path, error)} Go on with "
        f"`theobot train --output {folder.path} --resume`."
    )


@contextlib.contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; the second one interrupts at once."""
    stop = threading.Event()

    def on_signal(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {
        number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
