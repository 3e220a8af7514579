"""What was started but cannot work: a launcher's engine, FSDP on a CPU, GPUs for one process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from theobot.config import TrainSettings
from theobot.errors import SettingsError
from theobot.model.ranks import world_size

if TYPE_CHECKING:
    import torch

_LAUNCHERS = {
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
}


def fsdp_wanted() -> bool:
    """Whether `accelerate launch` was asked to shard the model over the processes."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def refuse_impossible_start(settings: TrainSettings, device: torch.device) -> None:
    """Refuse what was started but cannot work, with the reason.

    All processes of a machine come to the same verdict, so that none waits for another.

    Args:
        settings: what is to be trained.
        device: where this process computes.

    Raises:
        SettingsError: a launcher's engine that is not supported, FSDP where it would silently
            become something else, or several GPUs in one process.
    """
    import torch

    for variable, name in _LAUNCHERS.items():
        if os.environ.get(variable, "false").lower() == "true":
            raise SettingsError(
                f"{name} was asked for, but training supports DDP and FSDP2. Start "
                "`accelerate launch` with --multi_gpu, or with --use_fsdp --fsdp_version 2."
            )
    if fsdp_wanted():
        _refuse_impossible_fsdp(settings, device)
    if world_size() > 1 and "RANK" not in os.environ:
        raise SettingsError(
            f"WORLD_SIZE is {world_size()}, but RANK is not set. Start several processes with "
            "`torchrun --nproc-per-node N -m theobot train ...`, or unset WORLD_SIZE."
        )
    if world_size() == 1 and device.type == "cuda" and torch.cuda.device_count() > 1:
        raise SettingsError(
            f"{torch.cuda.device_count()} GPUs are visible, and transformers would split each "
            "batch over them. Use all: torchrun --nproc-per-node gpu -m theobot train ... "
            "Or one: CUDA_VISIBLE_DEVICES=0 theobot train ..."
        )


def _refuse_impossible_fsdp(settings: TrainSettings, device: torch.device) -> None:
    if device.type == "cpu":
        raise SettingsError(
            "FSDP was asked for, but this run computes on the CPU, where transformers would "
            "silently use DDP instead: every process would hold the whole model. Start "
            "`accelerate launch` without --use_fsdp, or on GPUs."
        )
    if os.environ.get("FSDP_VERSION", "1") != "2":
        raise SettingsError(
            "FSDP version 1 was asked for; it cannot shard a bfloat16 base together with a "
            "float32 adapter. Start `accelerate launch` with --fsdp_version 2."
        )
    unfit = {
        "load_in_4bit = true": settings.load_in_4bit,
        'lora.init_lora_weights = "pissa"': settings.lora.init_lora_weights == "pissa",
    }
    for found, given in unfit.items():
        if given:
            raise SettingsError(
                f"{found} does not go with FSDP, which holds a part of each weight in each "
                "process. Leave it out, or start `accelerate launch` without --use_fsdp."
            )
    # Otherwise transformers loads weights in the first process alone, and leaves the others empty
    # until accelerate fills them, which it does not do for an adapter put on in between.
    os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
