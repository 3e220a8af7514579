"""Two reasons to stop before the last step: Ctrl-C, and a dev loss that falls no more."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class StopCallback(TrainerCallback):
    """Ends training with a checkpoint once `stop` is set."""

    def __init__(self, stop: threading.Event) -> None:
        self.stop = stop

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Ask for a checkpoint and the end; a dev loss that is due at this step is measured."""
        if self.stop.is_set() and state.global_step < state.max_steps:
            control.should_training_stop = True
            control.should_save = True

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """In the middle of an epoch an undisturbed run would not measure the epoch's dev loss."""
        if self.stop.is_set() and not float(state.epoch or 0).is_integer():
            control.should_save = False
            control.should_evaluate = False


class EarlyStopCallback(TrainerCallback):
    """Ends training once the dev loss has had no new lowest value for `patience` evaluations.

    It counts in the trainer's own log, which each checkpoint holds, so that a resumed run stops
    where an undisturbed one would. (transformers' `EarlyStoppingCallback` counts in itself and
    begins anew.)
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Ask for the end; the checkpoint of this moment is made as usual."""
        if early_stop_reason(state, self.patience):
            control.should_training_stop = True


def early_stop_reason(state: TrainerState, patience: int) -> str | None:
    """Why training ends early at this state, or None: it goes on, or is at its end anyway.

    Args:
        state: with the dev losses of all evaluations so far in its log.
        patience: evaluations in a row without a new lowest dev loss; 0 for never.
    """
    losses = [entry["eval_loss"] for entry in state.log_history if "eval_loss" in entry]
    if not patience or state.global_step >= state.max_steps:
        return None
    if evaluations_since_best(losses) < patience:
        return None
    return f"the dev loss had no new lowest value in {patience} evaluations in a row"


def evaluations_since_best(losses: Sequence[float]) -> int:
    """How many losses follow the first occurrence of the lowest one."""
    return len(losses) - 1 - losses.index(min(losses)) if losses else 0
