"""A thin `transformers.Trainer` whose batch is the whole optimiser step.

One Trainer batch holds all examples of a step (the seed's 1 x 16), in every process of the run.
`training_step` takes this process's share of them, packs it into few flat passes under a token
budget and divides once by the number of scored tokens, so the gradient is that of 16 separate rows
to rounding. Out of memory halves the budget and redoes the step; the batch never changes.
Checkpoints appear whole or not at all.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate.data_loader import prepare_data_loader
from peft import PeftModel
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer
from transformers.trainer import TRAINER_STATE_NAME

from theobot.config import TrainSettings
from theobot.data.batches import flatten, share_out
from theobot.data.dataset import to_dataset
from theobot.data.tokens import TokenRow
from theobot.errors import ModelError
from theobot.model import ranks
from theobot.run_folder import RunFolder
from theobot.training.arguments import training_arguments
from theobot.training.budget import COMFORT, rows_of, tuned
from theobot.training.checkpoints import (
    as_write_errors,
    drop_old_checkpoints,
    publish,
    staged,
    whole,
    whole_adapter,
    write_checksums,
    write_progress,
)
from theobot.training.step import (
    Pass,
    StepOutcome,
    StepSum,
    my_passes,
    not_finite,
    passes_of_step,
    run_passes,
    step_seed,
    tokens_of,
    unless_out_of_memory,
    worst_passes,
)

T = TypeVar("T")

_PROBES = (256, 768)
"""Tokens of the two passes that measure what a token needs."""
_STEPS_LOOKED_THROUGH = 2000
"""Most steps that are packed beforehand to find the fullest pass of a run."""


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
        most_tokens: if given, two short passes on a GPU may change the budget up to this.
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
        most_tokens: int | None = None,
    ) -> None:
        super().__init__(
            model=model,
            args=training_arguments(settings, folder, model.device, bool(dev_rows)),
            train_dataset=to_dataset(rows),
            eval_dataset=to_dataset(dev_rows) if dev_rows else None,
            data_collator=collate,
        )
        self.remove_callback(PrinterCallback)
        self.rows = rows
        self.dev_rows = dev_rows
        self.pass_tokens = pass_tokens
        self.most_tokens = most_tokens
        self.on_note = on_note
        self.tokens_seen = 0
        self.last_loss: float | None = None
        self.stop_asked = threading.Event()
        self.stop_agreed = threading.Event()
        self._sum: StepSum | None = None
        self._staging: Path | None = None
        if self.is_fsdp_enabled:
            # accelerate would cast adapter, gradients and loss to bfloat16; autocast is enough.
            self.accelerator.state.fsdp_plugin.mixed_precision_policy = MixedPrecisionPolicy(
                cast_forward_inputs=False
            )

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: transformers' formula assumes full training of padded rows."""
        return 0

    def store_flos(self) -> None:
        """Nothing to add up over the processes, since none is counted."""

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Whole steps, the same ones in every process; the last one of an epoch may be smaller.

        accelerate would give each process other batches, and repeat rows until all have the same.
        """
        loader: DataLoader[Any] = DataLoader(
            self.train_dataset,  # type: ignore[arg-type]
            batch_size=self.args.per_device_train_batch_size,
            shuffle=True,
            collate_fn=collate,
        )
        prepared: DataLoader[Any] = prepare_data_loader(
            loader,
            num_processes=1,
            process_index=0,
            use_seedable_sampler=True,
            data_seed=self.args.seed,
        )
        return prepared

    def training_step(
        self, model: torch.nn.Module, inputs: Any, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Accumulate the gradient of one whole step.

        Returns:
            () the step's loss: cross-entropy summed over all scored tokens of all processes /
            their number.

        Raises:
            ModelError: not even one row fits into memory, or the loss is not finite.
        """
        model.train()
        rows: list[TokenRow] = inputs["rows"]
        while True:
            passes = self._passes(model, rows)
            outcome, losses = self._attempt(model, passes)
            if not outcome.out_of_memory:
                break
            model.zero_grad()
            when = f"at step {self.state.global_step + 1}"
            self._halve_budget(rows, when, "the step is done again")
        if not math.isfinite(outcome.loss):
            self._refuse_loss(model, outcome.loss, passes, losses)
        if outcome.stop:
            self.stop_agreed.set()
        self.tokens_seen += tokens_of(rows)
        self.last_loss = float(outcome.loss)
        return outcome.loss

    def _passes(self, model: torch.nn.Module, rows: Sequence[TokenRow]) -> list[Pass]:
        each = passes_of_step(rows, self.pass_tokens, self.args.world_size)
        scored = sum(row.scored for row in rows)
        return my_passes(each, self.args.process_index, 1 / scored, model)

    def _attempt(
        self, model: torch.nn.Module, passes: Sequence[Pass]
    ) -> tuple[StepOutcome, list[torch.Tensor]]:
        """One try at the step, and this process's part of the loss by pass."""
        if self._sum is None:
            self._sum = StepSum(model, self.args.device)
        torch.manual_seed(
            step_seed(self.args.seed, self.state.global_step, self.args.process_index)
        )
        work = partial(run_passes, model, passes, self._summed_loss)
        losses = self._unless_out_of_memory(model, passes, work)
        outcome = self._sum(losses, stop=self.stop_asked.is_set())
        return outcome, losses or []

    def _unless_out_of_memory(
        self, model: torch.nn.Module, passes: Sequence[Pass], work: Callable[[], T]
    ) -> T | None:
        """The result of `work` with these passes; None if memory ran out.

        Raises:
            ModelError: it ran out under FSDP.
        """
        result = unless_out_of_memory(work)
        if result is None and isinstance(model, FSDPModule):
            largest = max(part.tokens for part in passes)
            raise ModelError(
                f"Out of memory with up to {largest} tokens in a pass. Under FSDP a pass cannot "
                f"be done again; start a new run with --training.pass-tokens {largest // 2}, or "
                "on more GPUs."
            )
        return result

    def _summed_loss(self, model: torch.nn.Module, rows: Sequence[TokenRow]) -> torch.Tensor:
        flat = flatten(rows, self.args.device)
        # FSDP's wrapper has no autocast of its own; elsewhere it is the same once more.
        with self.accelerator.autocast():
            loss: torch.Tensor = model(flat=flat).loss
        return loss

    def _halve_budget(
        self, rows: Sequence[TokenRow], when: str, then: str, *, split: bool = True
    ) -> None:
        """Halve what the fullest pass of the rows takes now.

        Args:
            rows: what did not fit.
            when: when memory ran out.
            then: what happens now.
            split: whether the processes share the rows; else they are one pass.
        """
        each = passes_of_step(rows, self.pass_tokens, self.args.world_size) if split else [[rows]]
        largest = max(tokens_of(part) for passes in each for part in passes)
        longest = max(len(row.input_ids) for row in rows)
        if largest <= longest:
            raise ModelError(
                f"Out of memory {when} with a single row of {longest} tokens in a pass. Free "
                "memory on the device, shorten the longest rows, or choose a smaller model; the "
                "last checkpoint is kept."
            )
        self.pass_tokens = max(largest // 2, longest)
        if self.args.device.type == "cuda":
            torch.cuda.empty_cache()
        self.on_note(
            f"Out of memory {when} with up to {largest} tokens in a pass: {then} with at most "
            f"{self.pass_tokens}. The batch stays the same."
        )

    def _refuse_loss(
        self,
        model: torch.nn.Module,
        loss: torch.Tensor,
        passes: Sequence[Pass],
        losses: Sequence[torch.Tensor],
    ) -> None:
        """Name the rows with which the loss is not finite; all processes get here together."""
        real = [part for part in passes if part.weight]
        broken = [
            row
            for part, value in zip(real, losses, strict=True)
            if not math.isfinite(value)
            for row in part.rows
        ]
        if not isinstance(model, FSDPModule):
            with torch.no_grad():
                alone = [r for r in broken if not math.isfinite(self._summed_loss(model, [r]))]
            broken = alone or broken
        names = [name for part in ranks.gathered([row.where for row in broken]) for name in part]
        raise not_finite(self.state.global_step + 1, f"the loss is {float(loss)}", names)

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:
        """The norm before clipping; called just before the optimiser changes the weights."""
        norm = super()._get_grad_norm(model, grad_norm)  # type: ignore[no-untyped-call]
        value = float(whole(norm)) if isinstance(norm, torch.Tensor) else norm
        if not math.isfinite(value):
            raise not_finite(self.state.global_step + 1, f"the gradient's norm is {value}", [])
        return norm

    def _prepare_for_training(self, *args: Any, **kwargs: Any) -> Any:
        """Wrap the model as usual, then try the worst passes of the run."""
        prepared = super()._prepare_for_training(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._tune_budget(self.model_wrapped)
        self.try_worst_passes(self.model_wrapped)
        return prepared

    def _tune_budget(self, model: torch.nn.Module) -> None:
        """Measure what a token needs in two short passes, and set the budget by that.

        Only where memory is counted (CUDA, ROCm). The batch, and with it the result, is the same.
        """
        device = self.args.device
        if self.most_tokens is None or device.type != "cuda" or isinstance(model, FSDPModule):
            return
        model.train()
        points: list[tuple[int, float]] = []
        for tokens in _PROBES:
            rows = rows_of(self.rows, tokens)
            torch.cuda.reset_peak_memory_stats(device)
            passes = my_passes([[rows]], 0, 1.0, model)
            work = partial(run_passes, model, passes, self._summed_loss)
            with torch.random.fork_rng([device]):
                done = self._unless_out_of_memory(model, passes, work)
            model.zero_grad()
            if done is None:
                break
            points.append((tokens_of(rows), float(torch.cuda.max_memory_allocated(device))))
        # Gradients and moments come on top when training has begun.
        trained = sum(part.numel() for part in model.parameters() if part.requires_grad)
        held = torch.cuda.memory_reserved(device) + torch.cuda.mem_get_info(device)[0]
        longest = max(len(row.input_ids) for row in self.rows)
        budget = self.pass_tokens
        if len(points) == len(_PROBES) and points[0][0] < points[1][0]:
            budget = tuned(points, COMFORT * held - 12 * trained, longest, self.most_tokens)
        budget = min(ranks.gathered(budget))
        if budget != self.pass_tokens:
            self.on_note(
                f"Two short passes show room for {budget} tokens in a pass (the forecast said "
                f"{self.pass_tokens})."
            )
        self.pass_tokens = budget

    def try_worst_passes(self, model: torch.nn.Module) -> None:
        """Compute the longest row and the fullest pass once, so that memory runs out now or never.

        The result is thrown away; order of the rows and random numbers stay as they are.

        Raises:
            ModelError: not even one row fits.
        """
        model.train()
        devices = [self.args.device] if self.args.device.type == "cuda" else []
        while True:
            worst = worst_passes(self.rows, self._first_steps(), self.pass_tokens)
            passes = my_passes([worst] * self.args.world_size, 0, 1.0, model)
            with torch.random.fork_rng(devices):
                done = self._unless_out_of_memory(model, passes, partial(self._try, model, passes))
            model.zero_grad()
            if None not in ranks.gathered(done):
                return
            self._halve_budget(worst[-1], "before the first step", "training begins", split=False)

    def _try(self, model: torch.nn.Module, passes: Sequence[Pass]) -> bool:
        """Run the passes beside what AdamW keeps of each trained weight from the first step on."""
        missing = self.optimizer is not None and not self.optimizer.state
        weights = [p for p in model.parameters() if p.requires_grad and missing]
        room = [torch.empty_like(weight) for weight in weights for _ in ("mean", "square")]
        run_passes(model, passes, self._summed_loss)
        del room
        return True

    def _first_steps(self) -> Iterator[list[list[TokenRow]]]:
        """The rows of each process in the first steps of the run, or in all of them."""
        for step in itertools.islice(self._steps(), _STEPS_LOOKED_THROUGH):
            rows = [self.rows[index] for index in step]
            shares = share_out([len(row.input_ids) for row in rows], self.args.world_size)
            yield [[rows[index] for index in share] for share in shares]

    def _steps(self) -> Iterator[list[int]]:
        loader: Any = self.get_train_dataloader()
        for epoch in range(math.ceil(self.args.num_train_epochs)):
            loader.set_epoch(epoch)
            yield from loader.batch_sampler

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Token-weighted dev loss: cross-entropy summed over all scored dev tokens / their number.

        The mean over rows would weigh a one-word answer like an essay.
        """
        while None in (totals := ranks.gathered(self._dev_total(self.model_wrapped.eval()))):
            when = "when the dev loss was measured"
            self._halve_budget(self.dev_rows, when, "it is measured again")
        scored = sum(row.scored for row in self.dev_rows)
        metrics = {f"{metric_key_prefix}_loss": math.fsum(filter(None, totals)) / scored}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _dev_total(self, model: torch.nn.Module) -> float | None:
        """Cross-entropy summed over this process's dev rows; None if memory ran out."""
        each = passes_of_step(self.dev_rows, self.pass_tokens, self.args.world_size)
        passes = my_passes(each, self.args.process_index, 1.0, model)

        def run() -> float:
            with torch.no_grad():
                losses = [(self._summed_loss(model, part.rows), part.weight) for part in passes]
            return math.fsum(float(loss) for loss, weight in losses if weight)

        return self._unless_out_of_memory(model, passes, run)

    def _get_output_dir(self, trial: Any) -> str:
        """Where transformers writes checkpoints: the staging folder while one is made."""
        return str(self._staging or self.args.output_dir)

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Write a checkpoint beside its place, flush it to disk, then rename it into place.

        The first process writes it for all. Under FSDP each has a part and must take part.
        """
        if self.is_fsdp_enabled:
            self._write_checkpoint(model, trial)
            return
        with ranks.together():
            if ranks.is_first():
                self._write_checkpoint(model, trial)

    def _write_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        checkpoints = Path(str(self.args.output_dir))
        name = f"checkpoint-{self.state.global_step}"
        # With a best step, transformers waits for all processes in the middle of its writing.
        best, self.state.best_global_step = self.state.best_global_step, None
        with staged(checkpoints / ".writing") as staging, as_write_errors(checkpoints):
            self._staging = staging
            try:
                super()._save_checkpoint(model, trial)
            finally:
                self._staging = None
                self.state.best_global_step = best
            # A path would be wrong as soon as the run folder moves; the step number says it all.
            self.state.best_model_checkpoint = None
            if self.is_fsdp_enabled:
                ranks.gathered("my part is written")
            if ranks.is_first():
                self.state.save_to_json(str(staging / name / TRAINER_STATE_NAME))
                write_progress(staging / name, self.pass_tokens, self.last_loss)
                write_checksums(staging / name)
                publish(staging / name, checkpoints / name)
                drop_old_checkpoints(checkpoints, self.state.best_global_step)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the adapter as PEFT does; under FSDP its parts are brought together first."""
        if not self.is_fsdp_enabled:
            super().save_model(output_dir, _internal_call)
            return
        adapter = whole_adapter(self.model_wrapped)
        if ranks.is_first():
            self._save(output_dir, state_dict=adapter)
