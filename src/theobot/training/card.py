"""The model card that lies in the adapter folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from theobot.config import TrainSettings
from theobot.data.dataset import shipped_training_data
from theobot.model.base import NANO, is_hub_id
from theobot.model.card import (
    LIMITS,
    figures_section,
    front_matter,
    licence_section,
)


def _variants(settings: TrainSettings) -> dict[str, str]:
    """What differs from plain LoRA on a 16-bit base, where something does."""
    lora = settings.lora
    chosen = {
        "rsLoRA (scale lora_alpha / sqrt(r))": lora.use_rslora and "yes",
        "DoRA": lora.use_dora and "yes",
        "first values": lora.init_lora_weights != "default" and lora.init_lora_weights,
        "LoRA+ ratio": lora.loraplus_lr_ratio != 1 and f"{lora.loraplus_lr_ratio:g}",
        "base in training": settings.load_in_4bit and "4 bits (NF4)",
    }
    return {name: value for name, value in chosen.items() if value}


def _how_it_was_made(settings: TrainSettings, rows: dict[str, Any], steps: int) -> dict[str, Any]:
    """The settings that count, by the name that a reader knows; `rows` is told in dataset.json."""
    lora, training = settings.lora, settings.training
    return {
        "LoRA r / lora_alpha / dropout": f"{lora.r} / {lora.lora_alpha:g} / {lora.lora_dropout:g}",
        "target_modules": ", ".join(lora.target_modules),
        **_variants(settings),
        "examples per step": settings.examples_per_step,
        "learning_rate, schedule": f"{training.learning_rate:g}, {training.lr_scheduler_type}, "
        f"warm-up {training.warmup_ratio:g}",
        "epochs, steps": f"{training.num_train_epochs:g}, {steps}",
        "bf16": str(training.bf16).lower(),
        "seed": settings.seed,
        "training rows": f"{rows['rows']} (sha256 {rows['fingerprint'][:16]}...)",
        "learned tokens": settings.tokens.loss_on,
    }


def _data(settings: TrainSettings) -> str:
    """What the training rows are and whose; a path is never told."""
    data = settings.data or ""
    if data == str(shipped_training_data()):
        return "the open GCSE RE set that comes with Theobot, CC BY 4.0."
    if is_hub_id(data):
        return f"the dataset {data}, under its own licence."
    return f"{Path(data).name}, of whoever trained this; their licence is not known here."


def adapter_card(settings: TrainSettings, dataset: dict[str, Any], result: dict[str, Any]) -> str:
    """README.md of an adapter: what it is, how it was made, how to use it, what it is not.

    Args:
        settings: the run's settings.
        dataset: the content of dataset.json.
        result: steps, final_loss (or None), best_dev_loss (or None).
    """
    chosen = settings.tokens.prompt_format
    dev = result["best_dev_loss"]
    kept = (
        f"the adapter with the lowest dev loss ({dev:.4f} nats per token) was kept"
        if dev is not None
        else "no dev rows were given; the last adapter was kept"
    )
    last = result["final_loss"]
    last_loss = f"{last:.4f} nats per token" if last is not None else "not noted"
    made = _how_it_was_made(settings, dataset["train"], result["steps"])
    rows = "\n".join(f"| {name} | {value} |" for name, value in made.items())
    base = settings.model if settings.model == NANO or is_hub_id(settings.model) else "a local base"
    matter = front_matter(
        settings.model, library="peft", relation="adapter", data=settings.data or None
    )
    return f"""{matter}
# Theobot adapter for {base}

A LoRA adapter for questions from GCSE Religious Education, made with Theobot.

## Prompt format

`{chosen}`{
        " (`User: <question>` + newline + `Assistant:`)" * (chosen == "seed")
    }. Answers end with the end-of-sequence token.

## How it was made

| Setting | Value |
| --- | --- |
{rows}

Loss on the last step: {last_loss}; {kept}.

{figures_section(None)}
## Limits

{LIMITS}

{licence_section(settings.model, _data(settings))}
## Use

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained("{base}", dtype="auto")
model = PeftModel.from_pretrained(base, "path/to/this/folder")
```

or `theobot ask --adapter path/to/this/folder "..."`.
"""
