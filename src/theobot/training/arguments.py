"""Our training settings in transformers' words."""

from __future__ import annotations

import torch
from transformers import TrainingArguments

from theobot.config import TrainSettings
from theobot.run_folder import RunFolder
from theobot.training import launch


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
        # Under FSDP the model is loaded on the CPU, and moves to the GPU part by part.
        use_cpu=device.type == "cpu" and not launch.fsdp_wanted(),
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
        # No exchange outside `StepSum`: processes have different numbers of passes, even none.
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
    )
