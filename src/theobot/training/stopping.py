"""Ctrl-C in training: finish the step, save, stop."""

from __future__ import annotations

import threading
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class StopCallback(TrainerCallback):
    """Ends training with a checkpoint once `stop` is set."""

    def __init__(self, stop: threading.Event) -> None:
        self.stop = stop

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Ask for a checkpoint and the end."""
        if self.stop.is_set() and state.global_step < state.max_steps:
            control.should_training_stop = True
            control.should_save = True
            control.should_evaluate = False

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Leave out the epoch's own dev loss: an undisturbed run would not measure it here."""
        if self.stop.is_set() and state.global_step < state.max_steps:
            control.should_save = False
            control.should_evaluate = False
