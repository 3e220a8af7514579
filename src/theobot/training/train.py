"""A plan -> a run folder with a trained adapter."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from theobot.config import explain
from theobot.errors import RunError
from theobot.model import ranks
from theobot.model.memory import PassPlan
from theobot.run_folder import (
    RunFolder,
    file_sha256,
    held,
    read_json,
    write_json,
    write_text,
)
from theobot.training import launch
from theobot.training.interruptions import recorded_failure, stop_signals
from theobot.training.plan import TrainPlan, dataset_summary, same_plan

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

    from theobot.data.tokens import TokenRow
    from theobot.model.device import Compute
    from theobot.training.metrics import StepReport
    from theobot.training.trainer import PackedTrainer


class TrainResult(NamedTuple):
    """How a run ended. Losses are mean cross-entropy per scored token in nats.

    `final_loss` is that of the last step; None if the run was resumed after it, from a checkpoint
    that does not say. `seconds` are those of all its parts that came to an orderly end.
    `stopped_early` says why a finished run has fewer than `total_steps`.
    """

    folder: RunFolder
    steps: int
    total_steps: int
    final_loss: float | None
    best_dev_loss: float | None
    best_step: int | None
    seconds: float
    interrupted: bool
    stopped_early: str | None = None


class _Begun(BaseModel):
    """What state.json says of a run that goes on; it must compute as it began."""

    model_config = ConfigDict(strict=True)

    threads: int = Field(ge=1)
    passes: PassPlan
    seconds: float = 0.0


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

    Started by torchrun or `accelerate launch`, each process calls it; the first one alone writes,
    and calls `on_report` and `on_note`.

    Raises:
        TheobotError: something a person can mend; the run's state.json says what it was.
    """
    from theobot.model.device import choose_compute

    settings = plan.settings
    own_gpu = ranks.local_rank() if ranks.world_size() > 1 else None
    compute = choose_compute(settings.device, settings.training.bf16, local_rank=own_gpu)
    launch.refuse_impossible_start(settings, compute.device)
    if not ranks.is_first():
        on_report, on_note = (lambda report: None), (lambda note: None)
    on_note(compute.sentence())
    with ranks.joined(compute.device), ExitStack() as holds:
        return _train(same_plan(plan), compute, on_report, on_note, holds)


def _train(
    plan: TrainPlan,
    compute: Compute,
    on_report: Callable[[StepReport], None],
    on_note: Callable[[str], None],
    holds: ExitStack,
) -> TrainResult:
    import torch

    from theobot.model.device import keep_freed_memory

    folder = plan.folder
    begun = ranks.from_first(_begun(folder) if plan.resume else None)
    if begun is not None:
        torch.set_num_threads(begun.threads)
    if compute.device.type == "cpu":
        keep_freed_memory()
    with ranks.together():
        loaded = _load(plan, compute, begun, on_note, holds)
    # One cut for all, that of the fullest device.
    loaded = loaded._replace(passes=min(ranks.gathered(loaded.passes)))
    with ranks.together():
        if ranks.is_first() and not plan.resume:
            _describe_run(plan, compute, loaded.passes)
    started = time.monotonic()
    with recorded_failure(folder), stop_signals() as stop:
        with ranks.together():
            trainer = _build_trainer(plan, loaded, on_note)
        patience = plan.settings.training.early_stopping_patience
        _add_callbacks(trainer, folder, stop, patience, on_report)
        _run(trainer, plan, on_note)
        from theobot.training.checkpoints import gather_adapter

        gather_adapter(trainer.model_wrapped)
        stopped = trainer.stop_agreed.is_set()
        seconds = time.monotonic() - started + (begun.seconds if begun else 0.0)
        result = _result(trainer, plan, stopped, seconds)
        with ranks.together():
            if ranks.is_first():
                _finish(trainer, plan, result)
    return result


def _begun(folder: RunFolder) -> _Begun:
    try:
        return _Begun.model_validate(folder.read_state())
    except ValidationError as error:
        damage = " ".join(explain(_Begun, error, str(folder.state)))
        raise RunError(f"{damage} The file is damaged. Restore it, or train anew.") from None


class _Loaded(NamedTuple):
    """What is read and settled before the run begins."""

    base: PreTrainedModel
    rows: list[TokenRow]
    dev_rows: list[TokenRow]
    passes: PassPlan
    varlen: bool


def _load(
    plan: TrainPlan,
    compute: Compute,
    begun: _Begun | None,
    on_note: Callable[[str], None],
    holds: ExitStack,
) -> _Loaded:
    import torch

    from theobot.data.tokens import tokenize_rows
    from theobot.model.backends import settle_backends
    from theobot.model.base import load_base, load_tokenizer
    from theobot.training.forecast import choose_passes

    settings = plan.settings
    if settings.training.torch_compile:
        from theobot.training.layers import refuse_without_compiler

        refuse_without_compiler(compute.device)
    tokenizer = load_tokenizer(settings.model)
    # The tokenizer works outside Python, so that the trainer's thousand modules load meanwhile.
    with ThreadPoolExecutor(1) as aside:
        modules = aside.submit(import_module, "theobot.training.trainer")
        rows = tokenize_rows(plan.examples, tokenizer, settings.tokens)
        dev_rows = tokenize_rows(plan.dev_examples, tokenizer, settings.tokens)
        modules.result()
    backends = settle_backends(compute, settings.model)
    for note in backends.notes:
        on_note(note)
    # Resumed, the passes are cut as they were.
    passes = begun.passes if begun else choose_passes(settings, rows, compute, on_note)
    if ranks.is_first():
        _take(plan, holds)
    # Under FSDP the model may be too large for one GPU; it gets there part by part.
    where = compute._replace(device=torch.device("cpu")) if launch.fsdp_wanted() else compute
    with recorded_failure(plan.folder):
        base, _ = load_base(settings.model, where, load_in_4bit=settings.load_in_4bit)
    return _Loaded(base, rows, dev_rows, passes, backends.varlen)


def _take(plan: TrainPlan, holds: ExitStack) -> None:
    """Make the run folder this process's own; another one may have begun since the plan."""
    plan.folder.make()
    holds.enter_context(held(plan.folder.path))
    if not plan.resume:
        plan.folder.refuse_if_taken()


def _describe_run(plan: TrainPlan, compute: Compute, passes: PassPlan) -> None:
    import torch

    from theobot.model.environment import environment

    folder, settings = plan.folder, plan.settings
    write_json(folder.dataset, dataset_summary(plan.examples, plan.dev_examples))
    write_json(folder.environment, environment(compute))
    folder.begin(
        total_steps=plan.total_steps,
        threads=torch.get_num_threads(),
        passes=passes._asdict(),
    )
    # Last, because this file is what makes the folder a run.
    write_json(folder.config, settings.model_dump(mode="json", exclude={"output"}))


def _build_trainer(
    plan: TrainPlan, loaded: _Loaded, on_note: Callable[[str], None]
) -> PackedTrainer:
    from transformers import set_seed

    from theobot.training.budget import automatic_most
    from theobot.training.build import prepare_model
    from theobot.training.lora import loraplus
    from theobot.training.trainer import PackedTrainer

    settings, passes = plan.settings, loaded.passes
    # Before the adapter is made: its first values come from this seed.
    set_seed(settings.seed)
    model = prepare_model(
        loaded.base,
        settings,
        plan.folder,
        every_n_layers=passes.every_n_layers,
        varlen=loaded.varlen,
    )
    trainer = PackedTrainer(
        model,
        settings,
        plan.folder,
        loaded.rows,
        loaded.dev_rows,
        pass_tokens=passes.pass_tokens,
        most_tokens=automatic_most(settings, loaded.rows, model.device),
        on_note=on_note,
    )
    trainer.optimizer_cls_and_kwargs = loraplus(settings)
    return trainer


def _add_callbacks(
    trainer: PackedTrainer,
    folder: RunFolder,
    stop: threading.Event,
    patience: int,
    on_report: Callable[[StepReport], None],
) -> None:
    from theobot.training.metrics import MetricsCallback
    from theobot.training.stopping import EarlyStopCallback, StopCallback

    tokens_seen = lambda: trainer.tokens_seen  # noqa: E731
    if ranks.is_first():
        trainer.add_callback(MetricsCallback(folder.metrics, tokens_seen, on_report))
    trainer.stop_asked = stop
    trainer.add_callback(StopCallback(trainer.stop_agreed))
    if patience:
        trainer.add_callback(EarlyStopCallback(patience))


def _run(trainer: PackedTrainer, plan: TrainPlan, on_note: Callable[[str], None]) -> None:
    from theobot.training.checkpoints import set_damaged_aside, usable_checkpoints

    if plan.resume:
        with ranks.together():
            if ranks.is_first():
                set_damaged_aside(plan.folder.checkpoints, on_note)
    found = usable_checkpoints(plan.folder.checkpoints) if plan.resume else []
    if any(other != found for other in ranks.gathered(found)):
        raise RunError(
            f"{plan.folder.path}: not all processes see the same checkpoints there. To resume, "
            "the run folder must lie on a disk that all machines share."
        )
    if plan.resume and ranks.is_first():
        where = f"from {found[-1].name}" if found else "from the start: no checkpoint was complete"
        on_note(f"Going on {where}.")
        plan.folder.begin()
    if found:
        _take_progress(trainer, found[-1])
    if found and _had_stopped_early(trainer, plan, found[-1]):
        return
    trainer.train(resume_from_checkpoint=str(found[-1]) if found else None)


def _take_progress(trainer: PackedTrainer, checkpoint: Path) -> None:
    from theobot.training.checkpoints import read_progress

    budget, trainer.last_loss = read_progress(checkpoint)
    trainer.pass_tokens = budget or trainer.pass_tokens
    # What memory allows was measured before; measured again it may be something else.
    trainer.most_tokens = None


def _had_stopped_early(trainer: PackedTrainer, plan: TrainPlan, checkpoint: Path) -> bool:
    """Whether the run was killed after its last step, early as that was; then takes that state."""
    from transformers import TrainerState
    from transformers.trainer import TRAINER_STATE_NAME

    from theobot.training.stopping import early_stop_reason

    state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
    if not early_stop_reason(state, plan.settings.training.early_stopping_patience):
        return False
    trainer.state = state
    _adapter_model(trainer).load_adapter(str(checkpoint), "default")
    return True


def _adapter_model(trainer: PackedTrainer) -> PeftModel:
    from peft import PeftModel

    model = trainer.accelerator.unwrap_model(trainer.model)
    assert isinstance(model, PeftModel)
    return model


def _result(trainer: PackedTrainer, plan: TrainPlan, stopped: bool, seconds: float) -> TrainResult:
    from theobot.training.stopping import early_stop_reason

    state = trainer.state
    early = early_stop_reason(state, plan.settings.training.early_stopping_patience)
    return TrainResult(
        folder=plan.folder,
        steps=state.global_step,
        total_steps=state.max_steps,
        final_loss=trainer.last_loss,
        best_dev_loss=state.best_metric,
        best_step=state.best_global_step if trainer.dev_rows else None,
        seconds=seconds,
        interrupted=stopped and not early and state.global_step < state.max_steps,
        stopped_early=early,
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
        "stopped_early": result.stopped_early,
        "seconds": round(result.seconds, 1),
    }
    if result.interrupted:
        folder.update_state(status="interrupted", **figures)
        return
    _save_adapter(trainer, plan, result)
    folder.update_state(status="finished", **figures)


def _save_adapter(trainer: PackedTrainer, plan: TrainPlan, result: TrainResult) -> None:
    import shutil

    from theobot.model.adapter import CHECKSUM, NOTES, WEIGHTS
    from theobot.model.base import NANO, is_hub_id
    from theobot.training.card import adapter_card
    from theobot.training.checkpoints import publish
    from theobot.training.lora import save_plain

    folder, settings = plan.folder, plan.settings
    model = _adapter_model(trainer)
    if result.best_step and result.best_step != result.steps:
        model.load_adapter(str(folder.checkpoints / f"checkpoint-{result.best_step}"), "default")
    staging = folder.path / ".adapter.writing"
    shutil.rmtree(staging, ignore_errors=True)
    base = settings.model if settings.model == NANO or is_hub_id(settings.model) else ""
    # PEFT has put the folder here that the base was loaded from, and would do so again for None;
    # the adapter is passed on, and a path of this machine is nobody's business.
    model.peft_config["default"].base_model_name_or_path = base
    save_plain(model, folder, staging)
    notes = {
        "prompt_format": settings.tokens.prompt_format,
        "loss_on": settings.tokens.loss_on,
        "base_model": base or None,
        "stop": "end of sequence, or a new 'User:' turn",
        CHECKSUM: file_sha256(staging / WEIGHTS),
    }
    write_json(staging / NOTES, notes)
    card = adapter_card(settings, read_json(folder.dataset), result._asdict())
    write_text(staging / "README.md", card)
    publish(staging, folder.adapter)
