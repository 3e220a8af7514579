"""The models that `gpu_check.py` trains, made on the spot, and what cards can do on paper."""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, Qwen2Config

from theobot.config import LoraSettings
from theobot.model.device import Compute
from theobot.model.shape import ModelShape

TINY = ModelShape("qwen2", 64, 160, 2, 4, 2, 16, 512, False, True, False)
NOMINAL = {
    "H200 NVL": 835e12,
    "H200": 989e12,
    "H100 NVL": 835e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "RTX 5090": 209.5e12,
    "RTX 4090": 165.2e12,
    "RTX 3090 Ti": 80e12,
    "RTX 3090": 71e12,
    "RX 7900 XTX": 122.8e12,
    "RX 7900 XT": 103e12,
    "MI300X": 1307e12,
    "MI210": 181e12,
}
"""Makers' bfloat16 rates of plain (not sparse) matrices; the first name that a card's own holds."""


def makers_rate(device: str) -> float | None:
    """The bfloat16 rate on paper of a card of this name; None if it is not in the table."""
    return next((rate for card, rate in NOMINAL.items() if card in device), None)


def random_base(shape: ModelShape, compute: Compute) -> Any:
    """A base model with random weights, made where it computes; the same ones each time."""
    config = Qwen2Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        tie_word_embeddings=shape.tied,
        use_cache=False,
    )
    torch.manual_seed(0)
    with compute.device:
        return AutoModelForCausalLM.from_config(config, dtype=compute.dtype)


def plain_lora(base: Any, lora: LoraSettings) -> Any:
    """PEFT's own adapter, as every other trainer uses it."""
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.lora_alpha,
        target_modules=list(lora.target_modules),
        task_type="CAUSAL_LM",
    )
    return with_random_adapter(get_peft_model(base, config))


def with_random_adapter(model: Any) -> Any:
    """Set both adapter matrices by their names alone, however the model came about.

    PEFT's zeros in B would hide an adapter that is treated wrongly.
    """
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _, part in sorted(model.named_parameters(), key=lambda pair: pair[0]):
            if part.requires_grad:
                part.copy_(torch.randn(part.shape, generator=random) * 0.02)
    return model
