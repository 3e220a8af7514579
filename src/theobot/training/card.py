"""The model card that lies in the adapter folder."""

from __future__ import annotations

from typing import Any

from theobot.config import TrainSettings


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


def adapter_card(settings: TrainSettings, dataset: dict[str, Any], result: dict[str, Any]) -> str:
    """README.md of an adapter: what it is, how it was made, how to use it, what it is not.

    Args:
        settings: the run's settings.
        dataset: the content of dataset.json.
        result: steps, final_loss, best_dev_loss (or None).
    """
    lora, training, tokens = settings.lora, settings.training, settings.tokens
    dev = result["best_dev_loss"]
    kept = (
        f"the adapter with the lowest dev loss ({dev:.4f} nats per token) was kept"
        if dev is not None
        else "no dev rows were given; the last adapter was kept"
    )
    rows = "\n".join(
        f"| {name} | {value} |"
        for name, value in {
            "LoRA r / lora_alpha / dropout": f"{lora.r} / {lora.lora_alpha:g} / "
            f"{lora.lora_dropout:g}",
            "target_modules": ", ".join(lora.target_modules),
            **_variants(settings),
            "examples per step": settings.examples_per_step,
            "learning_rate, schedule": f"{training.learning_rate:g}, {training.lr_scheduler_type}, "
            f"warm-up {training.warmup_ratio:g}",
            "epochs, steps": f"{training.num_train_epochs:g}, {result['steps']}",
            "bf16": str(training.bf16).lower(),
            "seed": settings.seed,
            "training rows": f"{dataset['train']['rows']} (sha256 "
            f"{dataset['train']['fingerprint'][:16]}...)",
            "learned tokens": tokens.loss_on,
        }.items()
    )
    return f"""---
base_model: {settings.model}
library_name: peft
pipeline_tag: text-generation
language: en
tags: [lora, religious-education]
---

# Theobot adapter for {settings.model}

A LoRA adapter for questions from GCSE Religious Education, made with Theobot. It is a revision
aid for teachers and supervised pupils. It can be wrong, above all about verses: check every
citation. It is no exam board's product and its answers are no grade prediction.

## Prompt format

`{tokens.prompt_format}`{
        " (`User: <question>` + newline + `Assistant:`)" * (tokens.prompt_format == "seed")
    }. Answers end with the end-of-sequence token.

## How it was made

| Setting | Value |
| --- | --- |
{rows}

Loss on the last step: {result["final_loss"]:.4f} nats per token; {kept}.

## Use

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained("{settings.model}", dtype="auto")
model = PeftModel.from_pretrained(base, "path/to/this/folder")
```

or `theobot ask --adapter path/to/this/folder "..."`.
"""
