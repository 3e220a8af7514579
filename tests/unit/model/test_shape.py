"""Shapes and parameter counts, against the models themselves."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, Qwen2Config, Qwen3Config

from theobot.config import LoraSettings
from theobot.errors import ModelError
from theobot.model.shape import QWEN25, shape_of, shape_of_config

SMALL = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def built(config):
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize(
    "config",
    [
        Qwen2Config(**SMALL),
        Qwen2Config(**SMALL, tie_word_embeddings=True),
        Qwen3Config(**SMALL, head_dim=16),
    ],
    ids=["qwen2", "tied", "qwen3"],
)
@pytest.mark.parametrize(
    "lora",
    [
        LoraSettings(),
        LoraSettings(r=5, target_modules=("all-linear",)),
        LoraSettings(r=3, target_modules=("down_proj", "k_proj"), use_dora=True),
    ],
    ids=["seed", "all", "dora"],
)
def test_parameters_are_those_of_the_model(config, lora):
    shape = shape_of_config(config, "x")
    model = built(config)
    assert shape.parameters == model.num_parameters()
    peft = LoraConfig(
        r=lora.r,
        target_modules=lora.peft_target_modules,
        use_dora=lora.use_dora,
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, peft)
    assert shape.adapter_parameters(lora) == adapted.get_nb_trainable_parameters()[0]


def test_qwen25_7b_has_the_published_size_without_a_download():
    shape = shape_of("Qwen/Qwen2.5-7B-Instruct")
    assert shape.parameters == 7_615_616_512
    assert shape.adapter_parameters(LoraSettings()) == 10_092_544
    assert shape_of("Qwen/Qwen2.5-0.5B") == QWEN25["0.5B"]


def test_a_folder_and_nano_are_read_from_their_config(tiny_base_folder):
    assert shape_of(str(tiny_base_folder)).hidden == 32
    assert shape_of("nano").parameters == pytest.approx(7.87e6, rel=0.01)


def test_what_is_built_differently_is_refused_in_a_sentence():
    with pytest.raises(ModelError, match="is a gemma2; memory is only foretold for"):
        shape_of_config(AutoConfig.for_model("gemma2"), "google/gemma-2-2b")
    with pytest.raises(ModelError, match="lm_head is none of q_proj"):
        QWEN25["7B"].targets(LoraSettings(target_modules=("q_proj", "lm_head")))
