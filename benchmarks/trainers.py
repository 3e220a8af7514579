"""The trainers that are compared, each as a function from rows to a Trainer ready to run.

All train the same adapter with 16 examples to an optimiser step, and score the same tokens.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    PrinterCallback,
    Qwen2Config,
    Qwen2ForCausalLM,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from theobot.config import TrainSettings
from theobot.data.tokens import TokenRow
from theobot.model.base import load_tokenizer
from theobot.model.device import keep_freed_memory, set_malloc_limits
from theobot.run_folder import RunFolder
from theobot.training.attention import SEGMENTED
from theobot.training.fused import fuse
from theobot.training.head import install_flat_forward
from theobot.training.trainer import PackedTrainer

STEP = 16
"""Examples in an optimiser step."""
PADDED = 1024
"""Tokens to which the original script pads each row."""
Build = Callable[[list[TokenRow]], Trainer]


class Renewable:
    """A PEFT model that can be put back to how it was: adapter, gradients, patched forwards."""

    def __init__(self, model: Any) -> None:
        self.model = model
        learned = [part for part in model.parameters() if part.requires_grad]
        self._adapter = [(part, part.detach().clone()) for part in learned]
        # Trainers hang wrappers on these two: accelerate its autocast, TRL its head.
        patched = [model, model.get_base_model()]
        self._forwards = [(part, part.__dict__.get("forward")) for part in patched]

    def renew(self) -> Any:
        """Undo training and patches, so that no trainer carries another's; returns the model."""
        for part, value in self._adapter:
            part.data.copy_(value)
            part.grad = None
        for owner, forward in self._forwards:
            owner.__dict__.pop("forward", None)
            if forward is not None:
                owner.__dict__["forward"] = forward
        return self.model


class System(NamedTuple):
    """One way to train.

    Attributes:
        name: for the table.
        model: what `build` trains; systems may share one.
        build: rows -> a trainer over them, one epoch long.
        rows: how many rows a round gives it.
    """

    name: str
    model: Renewable
    build: Build
    rows: int


class FirstStep(NamedTuple):
    """What one optimiser step did: its loss, and the gradient of the adapter, flat."""

    loss: float
    gradient: torch.Tensor


class GradientProbe(TrainerCallback):
    """Keeps the gradient of the first optimiser step."""

    gradient: torch.Tensor | None = None

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Copy it just before the optimiser uses it."""
        if self.gradient is None:
            parts = [part for part in others["model"].parameters() if part.requires_grad]
            self.gradient = torch.cat([part.grad.float().cpu().flatten() for part in parts])


class Stopwatch(TrainerCallback):
    """Time from the start of the first optimiser step to the end of the last.

    What a trainer does once, before (Theobot tries its worst passes) or after, is left out.
    """

    seconds = 0.0

    def __init__(self) -> None:
        self._started = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Start with the first step."""
        if not self._started:
            self._started = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Stop for now."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds = time.perf_counter() - self._started


def seconds_of_steps(trainer: Trainer) -> float:
    """Run a trainer, and time its steps."""
    watch = Stopwatch()
    trainer.add_callback(watch)
    trainer.train()
    return watch.seconds


def first_step(trainer: Trainer) -> FirstStep:
    """Run a trainer that has one step to do.

    Raises:
        RuntimeError: it did more than one, or none.
    """
    probe = GradientProbe()
    trainer.add_callback(probe)
    loss = trainer.train().training_loss
    if trainer.state.global_step != 1 or probe.gradient is None:
        raise RuntimeError(f"{trainer.state.global_step} steps were made instead of one")
    return FirstStep(loss, probe.gradient)


def note(text: str) -> None:
    """Say something while the benchmark runs; stdout is for its result."""
    sys.stderr.write(f"{text}\n")


def make_model(layers: int, dtype: torch.dtype, device: torch.device) -> Any:
    """Layers of the Qwen2.5-0.5B shape with random weights and the seed's LoRA.

    The B matrices are random too (PEFT begins with zeros), so that a trainer which treated the
    adapter wrongly would show it in its first loss.
    """
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=151_936,
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=layers,
        num_attention_heads=14,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        use_cache=False,
    )
    base = Qwen2ForCausalLM(config).to(device=device, dtype=dtype)
    lora = LoraConfig(
        r=16,
        lora_alpha=32,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(base, lora)
    for name, part in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(part, std=0.02)
    return model


def prepare_for_theobot(model: Any) -> None:
    """What `theobot train` does to a model before it trains it."""
    base = model.get_base_model()
    base.set_attn_implementation(SEGMENTED)
    install_flat_forward(base)
    fuse(model)


def theobot(model: Any, bf16: bool, folder: Path, pass_tokens: int) -> Build:
    """Our packed passes, through a real PackedTrainer."""
    settings = TrainSettings.model_validate({"training": {"bf16": bf16, "num_train_epochs": 1}})

    def build(rows: list[TokenRow]) -> Trainer:
        if model.device.type == "cpu":
            keep_freed_memory()
        trainer = PackedTrainer(
            model, settings, RunFolder(folder), rows, [], pass_tokens=pass_tokens, on_note=note
        )
        trainer.args.save_strategy = "no"
        return trainer

    return build


def usual_malloc() -> None:
    """For others: as glibc leaves its limits by itself after large blocks were freed."""
    set_malloc_limits(mmap_from=32 * 2**20, trim_from=64 * 2**20)


def _arguments(rows: list[TokenRow], batch: int, bf16: bool, folder: Path) -> dict[str, Any]:
    """What every Trainer of others is told."""
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": max(1, min(STEP, len(rows)) // batch),
        "num_train_epochs": 1,
        "learning_rate": 2e-4,
        "bf16": bf16,
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": torch.cuda.is_available(),
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def plain_trainer(
    model: Any, bf16: bool, folder: Path, *, pad_to: int | None = None, checkpointing: bool = False
) -> Build:
    """transformers.Trainer, one row at a time.

    Args:
        model: what to train.
        bf16: autocast to bfloat16.
        folder: for files that the Trainer may want to write.
        pad_to: length to which each row is padded; None does not pad.
        checkpointing: compute every layer again in the backward pass.
    """

    def to_batch(items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        (item,) = items
        missing = 0 if pad_to is None else pad_to - len(item["input_ids"])
        return {
            "input_ids": torch.tensor([item["input_ids"] + [0] * missing]),
            "labels": torch.tensor([item["labels"] + [-100] * missing]),
            "attention_mask": torch.tensor([[1] * len(item["input_ids"]) + [0] * missing]),
        }

    def build(rows: list[TokenRow]) -> Trainer:
        usual_malloc()
        items = [{"input_ids": row.input_ids, "labels": labels_of(row)} for row in rows]
        args = TrainingArguments(
            **_arguments(rows, 1, bf16, folder),
            activation_checkpointing=checkpointing,
            remove_unused_columns=False,
        )
        trainer = Trainer(
            model=model,
            args=args,
            train_dataset=datasets.Dataset.from_list(items),
            data_collator=to_batch,
        )
        trainer.remove_callback(PrinterCallback)
        return trainer

    return build


def labels_of(row: TokenRow) -> list[int]:
    """Labels as transformers wants them: -100 where nothing is learned."""
    return [-100] * row.learned_from + row.input_ids[row.learned_from :]


def trl(model: Any, bf16: bool, folder: Path, *, batch: int, padding_free: bool) -> Build:
    """TRL's SFTTrainer in its fastest form: no checkpointing, no limit of length.

    It gets token ids and the mask of the completion; preparing them is not timed.

    Raises:
        ImportError: TRL is not installed.
    """
    from trl import SFTConfig, SFTTrainer

    logging.getLogger("trl").setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    tokenizer = load_tokenizer("nano")  # It wants one, for the padding id alone.

    def build(rows: list[TokenRow]) -> Trainer:
        usual_malloc()
        items = [
            {
                "input_ids": row.input_ids,
                "completion_mask": [int(label != -100) for label in labels_of(row)],
            }
            for row in rows
        ]
        args = SFTConfig(
            **_arguments(rows, batch, bf16, folder),
            padding_free=padding_free,
            completion_only_loss=True,
            max_length=None,
            gradient_checkpointing=False,
            logging_nan_inf_filter=False,
        )
        trainer = SFTTrainer(
            model=model,
            args=args,
            train_dataset=datasets.Dataset.from_list(items),
            processing_class=tokenizer,
        )
        trainer.remove_callback(PrinterCallback)
        if list(trainer.train_dataset["labels"]) != [labels_of(row) for row in rows]:
            raise RuntimeError("TRL would score other tokens than Theobot")
        return trainer  # type: ignore[no-any-return]

    return build
