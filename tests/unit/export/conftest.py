"""A tiny random Qwen2 with nano's tokenizer, and adapters of several kinds for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from theobot.model.adapter import Selection, read_adapter_info
from theobot.nano import nano_folder

VOCABULARY = 6176
"""Some ids more than the tokenizer knows, as with Qwen2.5."""


@pytest.fixture(scope="session")
def qwen_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers, biases that are not zero, a head of its own."""
    import torch
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("qwen")
    AutoTokenizer.from_pretrained(nano_folder()).save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=80,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        eos_token_id=2,
        pad_token_id=0,
        bos_token_id=None,
        initializer_range=0.2,
    )
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".bias") or "norm" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def make_adapter(
    qwen_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Selection]:
    """Makes an adapter whose matrices are all random: `make_adapter(r=4, use_rslora=True)`."""

    def make(*, prompt_format: str | None = None, **settings: object) -> Selection:
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        settings = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], **settings}
        base = AutoModelForCausalLM.from_pretrained(qwen_folder, dtype="float32")
        torch.manual_seed(1)
        model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **settings))
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * 0.05)
        folder = tmp_path_factory.mktemp("adapter")
        model.save_pretrained(str(folder), save_embedding_layers=False)
        if prompt_format is not None:
            (folder / "theobot.json").write_text(json.dumps({"prompt_format": prompt_format}))
        return Selection(str(qwen_folder), read_adapter_info(folder), None, "")

    return make


@pytest.fixture(scope="session")
def plain(make_adapter: Callable[..., Selection]) -> Selection:
    """The seed's four targets, r 4, alpha 8, the seed's prompt format."""
    return make_adapter(target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])
