"""A thin `transformers.Trainer` whose batch is the whole optimiser step.

One Trainer batch holds all examples of a step (the seed's 1 x 16). `training_step` packs them into
few flat passes under a token budget and divides once by the number of scored tokens, so the
gradient is that of 16 separate rows to rounding. Out of memory halves the budget and redoes the
step; the batch never changes. Checkpoints appear whole or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import PrinterCallback, Trainer, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from theobot.config import TrainSettings
from theobot.data.batches import flatten, pack
from theobot.data.dataset import to_dataset
from theobot.data.tokens import TokenRow
from theobot.errors import ModelError
from theobot.run_folder import RunFolder

_KEPT_CHECKPOINTS = 2


def collate(items: list[dict[str, Any]]) -> dict[str, list[TokenRow]]:
    """The rows of one step as they are; `training_step` packs them."""
    return {"rows": [TokenRow(**item) for item in items]}


class PackedTrainer(Trainer):
    """Trains a PEFT model on token rows.

    Args:
        model: the base with its adapter, on its device, with `install_flat_forward` done.
        settings: the run's settings.
        folder: where checkpoints go.
        rows: training rows.
        dev_rows: rows for the dev loss; may be empty.
        pass_tokens: token budget of a pass.
        on_note: told what happened that a person should know.
    """

    def __init__(
        self,
        model: PeftModel,
        settings: TrainSettings,
        folder: RunFolder,
        rows: Sequence[TokenRow],
        dev_rows: Sequence[TokenRow],
        *,
        pass_tokens: int,
        on_note: Callable[[str], None],
    ) -> None:
        super().__init__(
            model=model,
            args=training_arguments(settings, folder, model.device, bool(dev_rows)),
            train_dataset=to_dataset(rows),
            eval_dataset=to_dataset(dev_rows) if dev_rows else None,
            data_collator=collate,
        )
        self.remove_callback(PrinterCallback)
        self.dev_rows = dev_rows
        self.pass_tokens = pass_tokens
        self.on_note = on_note
        self.tokens_seen = 0
        self._staging: Path | None = None

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: transformers' formula assumes full training of padded rows."""
        return 0

    def training_step(
        self, model: torch.nn.Module, inputs: Any, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Accumulate the gradient of one whole step.

        Returns:
            () the step's loss: cross-entropy summed over all scored tokens / their number.
        """
        model.train()
        rows: list[TokenRow] = inputs["rows"]
        while True:
            try:
                loss = self._accumulate(model, rows)
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                self._halve_budget(max(len(row.input_ids) for row in rows))
                model.zero_grad()
                continue
            self.tokens_seen += sum(len(row.input_ids) for row in rows)
            return loss

    def _accumulate(self, model: torch.nn.Module, rows: Sequence[TokenRow]) -> torch.Tensor:
        scored = sum(row.scored for row in rows)
        total = torch.zeros((), device=self.args.device)
        for group in pack([len(row.input_ids) for row in rows], self.pass_tokens):
            flat = flatten([rows[index] for index in group], self.args.device)
            loss = model(flat=flat).loss / scored
            self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def _halve_budget(self, longest: int) -> None:
        if self.pass_tokens <= longest:
            raise ModelError(
                f"Out of memory with a single row of {longest} tokens in a pass. Free memory on "
                "the device, shorten the longest rows, or choose a smaller model; the last "
                "checkpoint is kept."
            )
        self.pass_tokens = max(self.pass_tokens // 2, longest)
        if self.args.device.type == "cuda":
            torch.cuda.empty_cache()
        self.on_note(
            f"Out of memory at step {self.state.global_step + 1}: the step is done again with "
            f"at most {self.pass_tokens} tokens in a pass. The batch stays the same."
        )

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Token-weighted dev loss: cross-entropy summed over all scored dev tokens / their number.

        The mean over rows would weigh a one-word answer like an essay.
        """
        self.model_wrapped.eval()
        device = self.args.device
        total, scored = torch.zeros((), dtype=torch.float64), 0
        with torch.no_grad(), self.compute_loss_context_manager():
            for group in pack([len(row.input_ids) for row in self.dev_rows], self.pass_tokens):
                flat = flatten([self.dev_rows[index] for index in group], device)
                total += self.model_wrapped(flat=flat).loss.double().cpu()
                scored += len(flat.targets)
        metrics = {f"{metric_key_prefix}_loss": float(total / scored)}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _get_output_dir(self, trial: Any) -> str:
        """Where transformers writes checkpoints: the staging folder while one is made."""
        return str(self._staging or self.args.output_dir)

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Write a checkpoint beside its place, flush it to disk, then rename it into place."""
        checkpoints = Path(str(self.args.output_dir))
        name = f"checkpoint-{self.state.global_step}"
        with self._stage(checkpoints / ".writing") as staging, as_write_errors(checkpoints):
            super()._save_checkpoint(model, trial)
            # A path would be wrong as soon as the run folder moves; the step number says it all.
            self.state.best_model_checkpoint = None
            self.state.save_to_json(str(staging / name / TRAINER_STATE_NAME))
            publish(staging / name, checkpoints / name)
        self._drop_old_checkpoints(checkpoints)

    @contextlib.contextmanager
    def _stage(self, staging: Path) -> Iterator[Path]:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        self._staging = staging
        try:
            yield staging
        finally:
            self._staging = None
            shutil.rmtree(staging, ignore_errors=True)

    def _drop_old_checkpoints(self, checkpoints: Path) -> None:
        found = complete_checkpoints(checkpoints)
        best = f"checkpoint-{self.state.best_global_step}"
        for old in found[:-_KEPT_CHECKPOINTS]:
            if old.name != best:
                shutil.rmtree(old, ignore_errors=True)


def training_arguments(
    settings: TrainSettings, folder: RunFolder, device: torch.device, has_dev: bool
) -> TrainingArguments:
    """Our settings in transformers' words, line for line."""
    training = settings.training
    when = "steps" if training.save_steps else "epoch"
    return TrainingArguments(
        output_dir=str(folder.checkpoints),
        per_device_train_batch_size=settings.examples_per_step,
        gradient_accumulation_steps=1,
        learning_rate=training.learning_rate,
        num_train_epochs=training.num_train_epochs,
        lr_scheduler_type=training.lr_scheduler_type,
        # transformers 5 reads a warmup_steps below 1 as the ratio.
        warmup_steps=training.warmup_ratio,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        optim="adamw_torch",
        bf16=training.bf16,
        use_cpu=device.type == "cpu",
        seed=settings.seed,
        save_strategy=when,
        save_steps=training.save_steps or 500,
        eval_strategy=when if has_dev else "no",
        eval_steps=training.save_steps or None,
        metric_for_best_model="eval_loss" if has_dev else None,
        greater_is_better=False if has_dev else None,
        logging_strategy="steps",
        logging_steps=training.logging_steps,
        # The filter reads the loss back from the device at each step, and hides what it finds.
        logging_nan_inf_filter=False,
        report_to=list(training.report_to) or "none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
    )


def complete_checkpoints(checkpoints: Path) -> list[Path]:
    """Checkpoints that were published whole, oldest step first."""
    found = [
        path
        for path in checkpoints.glob("checkpoint-*")
        if path.name.removeprefix("checkpoint-").isdigit() and (path / TRAINER_STATE_NAME).is_file()
    ]
    return sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")))


@contextlib.contextmanager
def as_write_errors(folder: Path) -> Iterator[None]:
    """Turn what torch and safetensors raise when a file cannot be written into an OSError.

    torch's RuntimeError does not name the cause; the space left in `folder` tells a full disk.
    """
    try:
        yield
    except (RuntimeError, SafetensorError) as error:
        full = shutil.disk_usage(folder).free < 2**20
        number = errno.ENOSPC if full else errno.EIO
        raise OSError(number, os.strerror(number), str(folder)) from error


def publish(source: Path, target: Path) -> None:
    """Flush a folder to disk and rename it into place, replacing what was there."""
    for path in [*source.rglob("*"), source]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    if target.exists():
        shutil.rmtree(target)
    source.rename(target)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that the device or the host ran out of memory."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
