"""The adapter and PEFT: settings -> adapter on the base -> optimiser groups -> a plain folder.

Whatever it was trained with, the saved adapter is a standard PEFT folder for the base as it is.
PiSSA (arXiv:2404.02948) is the one that needs work for that: it moves the largest singular parts of
each weight from the base into the adapter, so that base and adapter only fit together. Its first
adapter (A0, B0) is kept among the checkpoints: with it a resumed run makes the same changed base
again without another decomposition, and the trained adapter is saved as B A - B0 A0, of twice the
rank, for the base as it was.
"""

from __future__ import annotations

import difflib
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from peft.tuners.lora.layer import LoraLayer
from transformers import PreTrainedModel

from theobot.config import LoraSettings, TrainSettings
from theobot.errors import SettingsError
from theobot.model import ranks
from theobot.run_folder import RunFolder
from theobot.training.checkpoints import as_write_errors, publish

ADAPTER = "default"
"""PEFT's name of the adapter in training."""


def lora_config(lora: LoraSettings) -> LoraConfig:
    """Our settings in PEFT's words, line for line."""
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        target_modules=lora.peft_target_modules,
        use_rslora=lora.use_rslora,
        use_dora=lora.use_dora,
        init_lora_weights=True if lora.init_lora_weights == "default" else lora.init_lora_weights,
        task_type="CAUSAL_LM",
    )


def add_adapter(base: PreTrainedModel, lora: LoraSettings, folder: RunFolder) -> PeftModel:
    """Put an untrained adapter on the base; all else is frozen.

    Args:
        base: the loaded base; PiSSA changes its weights.
        lora: what to make.
        folder: the run, where PiSSA's first adapter is kept or, in a resumed run, found.

    Raises:
        SettingsError: the base has no such target modules, or PiSSA's rank exceeds their width.
    """
    _refuse_unknown_targets(base, lora)
    config = lora_config(lora)
    first = first_adapter(folder)
    again = lora.init_lora_weights == "pissa" and first.is_dir()
    if again:
        config.init_lora_weights = True
    try:
        model = get_peft_model(base, config)
    except ValueError as error:
        raise SettingsError(f"lora.target_modules = {lora.target_modules}: {error}") from None
    assert isinstance(model, PeftModel)
    if again:
        model.load_adapter(str(first), ADAPTER, is_trainable=True)
        _take_out_of_base(model)
        # Checkpoints must go on saying that they only fit the changed base.
        _config(model).init_lora_weights = "pissa"
    elif lora.init_lora_weights == "pissa":
        _refuse_narrow_layers(model, lora.r)
        if ranks.is_first():
            _write(model, first)
    return model


def _refuse_unknown_targets(base: PreTrainedModel, lora: LoraSettings) -> None:
    """PEFT passes over a name that fits nothing, as long as another one fits."""
    if lora.peft_target_modules == "all-linear":
        return
    names = [name for name, _ in base.named_modules() if name]
    linear = {
        name.rpartition(".")[2]
        for name, part in base.named_modules()
        if isinstance(part, torch.nn.Linear)
    }
    for target in lora.target_modules:
        if not any(name == target or name.endswith(f".{target}") for name in names):
            near = difflib.get_close_matches(target, linear, n=1)
            hint = (
                f"Did you mean {near[0]}?" if near else f"There are: {', '.join(sorted(linear))}."
            )
            raise SettingsError(f'lora.target_modules: the base has no layer "{target}". {hint}')


def first_adapter(folder: RunFolder) -> Path:
    """Where PiSSA's adapter lies as it was before the first step."""
    return folder.checkpoints / "first"


def _config(model: PeftModel) -> LoraConfig:
    config = model.peft_config[ADAPTER]
    assert isinstance(config, LoraConfig)
    return config


def _weight(layer: LoraLayer) -> torch.Tensor:
    """The base's weight below an adapter, (out, in)."""
    weight = layer.get_base_layer().weight
    assert isinstance(weight, torch.Tensor)
    return weight


def _lora_layers(model: PeftModel) -> dict[str, LoraLayer]:
    return {name: part for name, part in model.named_modules() if isinstance(part, LoraLayer)}


def _refuse_narrow_layers(model: PeftModel, rank: int) -> None:
    for name, layer in _lora_layers(model).items():
        have = min(_weight(layer).shape)
        if have < rank:
            raise SettingsError(
                f'lora.init_lora_weights = "pissa": {name} has {have} singular vectors, but '
                f"lora.r = {rank}. Choose lora.r = {have} or less."
            )


@torch.no_grad()
def _take_out_of_base(model: PeftModel) -> None:
    """Subtract the first adapter from the base, in the very arithmetic of PEFT's `pissa_init`."""
    for layer in _lora_layers(model).values():
        weight = _weight(layer)
        a, b = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
        rest = weight.data.to(torch.float32) - layer.scaling[ADAPTER] * b.data @ a.data
        weight.data = rest.to(weight.dtype)


def _write(model: PeftModel, target: Path) -> None:
    """Save the adapter as it is, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.with_name(f".{target.name}.writing")
    shutil.rmtree(staging, ignore_errors=True)
    with as_write_errors(target.parent):
        model.save_pretrained(str(staging), save_embedding_layers=False)
    publish(staging, target)


def save_plain(model: PeftModel, folder: RunFolder, target: Path) -> None:
    """Save the adapter for the base as it was before training.

    Args:
        model: with the trained weights.
        folder: the run.
        target: a folder that does not exist yet.
    """
    first = first_adapter(folder)
    # What is saved no longer is a PiSSA adapter, and PEFT would warn of the second one that it
    # loads for a moment.
    _config(model).init_lora_weights = True
    with as_write_errors(folder.path):
        # False: otherwise PEFT asks the Hub whether the vocabulary was changed. It is frozen.
        model.save_pretrained(
            str(target),
            save_embedding_layers=False,
            path_initial_model_for_weight_conversion=str(first) if first.is_dir() else None,
        )


class LoraPlus:
    """LoRA+ (arXiv:2402.12354) as the optimiser factory that `Trainer` calls with the model."""

    def __call__(self, model: PeftModel, **arguments: Any) -> torch.optim.Optimizer:
        """AdamW whose B matrices (and DoRA's lengths) learn `loraplus_lr_ratio` times faster."""
        optimizer: torch.optim.Optimizer = create_loraplus_optimizer(
            model, torch.optim.AdamW, **arguments
        )
        return optimizer


def loraplus(settings: TrainSettings) -> tuple[Any, dict[str, Any]] | None:
    """What `Trainer` takes as `optimizer_cls_and_kwargs`; None for its own AdamW."""
    if settings.lora.loraplus_lr_ratio == 1:
        return None
    return LoraPlus, {
        "lr": settings.training.learning_rate,
        "loraplus_lr_ratio": settings.lora.loraplus_lr_ratio,
        "loraplus_weight_decay": settings.training.weight_decay,
    }
