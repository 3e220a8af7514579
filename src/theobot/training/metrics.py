"""metrics.jsonl and loss.svg: what happened, step by step."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from theobot.model.memory import GIB
from theobot.run_folder import read_metrics, write_text

if TYPE_CHECKING:
    import torch


class StepReport(NamedTuple):
    """One logged step.

    `loss` is the step's mean cross-entropy per scored token in nats, `dev_loss` the same over the
    dev rows where it was just measured. `memory_gib` is the peak of a CUDA or ROCm device,
    elsewhere the resident size of the process. `seconds` counts from the start of this process's
    training.
    """

    step: int
    total_steps: int
    epoch: float
    loss: float | None
    dev_loss: float | None
    learning_rate: float | None
    tokens_per_second: float
    memory_gib: float
    seconds: float
    seconds_left: float


class MetricsCallback(TrainerCallback):
    """Writes each log line to metrics.jsonl and hands it on as a `StepReport`.

    Args:
        path: metrics.jsonl.
        tokens_seen: gives the number of tokens trained on so far.
        on_report: receives each report.
    """

    def __init__(
        self,
        path: Path,
        tokens_seen: Callable[[], int],
        on_report: Callable[[StepReport], None],
    ) -> None:
        self.path = path
        self.tokens_seen = tokens_seen
        self.on_report = on_report

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Drop lines that a killed run wrote after the checkpoint it is resumed from."""
        self._started = self._last_time = time.monotonic()
        self._last_tokens = 0
        self._first_step = state.global_step
        keep = [line for line in read_metrics(self.path) if line["step"] <= state.global_step]
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in keep))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Append one line; transformers' closing summary is left out."""
        logs = logs or {}
        if "loss" not in logs and "eval_loss" not in logs:
            return
        report = self._report(state, logs, args.device)
        line = {key: value for key, value in report._asdict().items() if value is not None}
        del line["total_steps"], line["seconds_left"]
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            if control.should_save:
                # A checkpoint must not outlive the lines before it.
                file.flush()
                os.fsync(file.fileno())
        self.on_report(report)

    def _report(
        self, state: TrainerState, logs: dict[str, float], device: torch.device
    ) -> StepReport:
        now, tokens = time.monotonic(), self.tokens_seen()
        speed = (tokens - self._last_tokens) / max(now - self._last_time, 1e-9)
        self._last_time, self._last_tokens = now, tokens
        done = state.global_step - self._first_step
        left = (now - self._started) / done * (state.max_steps - state.global_step) if done else 0.0
        return StepReport(
            step=state.global_step,
            total_steps=state.max_steps,
            epoch=round(state.epoch or 0.0, 4),
            loss=logs.get("loss"),
            dev_loss=logs.get("eval_loss"),
            learning_rate=logs.get("learning_rate"),
            tokens_per_second=round(speed, 1),
            memory_gib=round(memory_gib(device), 3),
            seconds=round(now - self._started, 3),
            seconds_left=left,
        )


def memory_gib(device: torch.device) -> float:
    """Peak memory of a CUDA or ROCm device in GiB; of any other the process's resident size."""
    import psutil
    import torch

    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device) / GIB)
    return float(psutil.Process().memory_info().rss / GIB)


def draw_loss(metrics: Path, target: Path) -> None:
    """Draw training and dev loss over the steps as SVG."""
    import io

    import matplotlib as mpl
    from matplotlib.figure import Figure

    lines = read_metrics(metrics)
    train = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    dev = [(line["step"], line["dev_loss"]) for line in lines if "dev_loss" in line]
    figure = Figure(figsize=(7, 4))
    axes = figure.subplots()
    # Margins that fit; to have them computed takes longer than the drawing.
    figure.subplots_adjust(left=0.12, right=0.98, bottom=0.13, top=0.97)
    if train:
        axes.plot(*zip(*train, strict=True), color="#0072B2", label="training rows")
    if dev:
        axes.plot(*zip(*dev, strict=True), "o--", color="#D55E00", label="dev rows")
    axes.set(xlabel="optimiser step", ylabel="cross-entropy per token (nats)")
    axes.grid(alpha=0.3)
    if train or dev:
        axes.legend()
    image = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "theobot"}):
        figure.savefig(image, format="svg", metadata={"Date": None})
    write_text(target, image.getvalue())
