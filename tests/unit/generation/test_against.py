"""Two adapters of one base compared: each answers as it does alone, in shared batches too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from theobot.data.prompt import Turn
from theobot.errors import AdapterError
from theobot.generation.local import LocalGenerator
from theobot.model.adapter import AdapterInfo, load_adapter, read_adapter_info

CONVERSATIONS = [[Turn("user", text)] for text in ("Why?", "What is peace?", "Who was Amos?")]
FORMATS = {"base": "seed", "theobot": "seed"}


@pytest.fixture(scope="module")
def other_folder(tiny_base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of other layers, another rank and another scale than the tiny one."""
    folder = tmp_path_factory.mktemp("other-adapter")
    base = AutoModelForCausalLM.from_pretrained(tiny_base_folder, dtype="float32")
    torch.manual_seed(5)
    config = LoraConfig(r=2, lora_alpha=6, target_modules=["q_proj", "down_proj"])
    model = get_peft_model(base, config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.5)
    model.save_pretrained(str(folder))
    return folder


def generator_of(folder: Path, tokenizer, info: AdapterInfo, against: AdapterInfo | None = None):
    base = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    return LocalGenerator(load_adapter(base, info, against), tokenizer, info, "tiny", against)


def answers(generator: LocalGenerator, arm: str):
    return generator.answer(CONVERSATIONS, arm, prompt_format="seed", max_new_tokens=20)


def test_each_adapter_answers_as_it_does_alone(
    tiny_base_folder: Path, tiny_tokenizer, tiny_adapter_folder: Path, other_folder: Path
):
    info, against = read_adapter_info(tiny_adapter_folder), read_adapter_info(other_folder)
    both = generator_of(tiny_base_folder, tiny_tokenizer, info, against)
    ours = answers(generator_of(tiny_base_folder, tiny_tokenizer, info), "theobot")
    theirs = answers(generator_of(tiny_base_folder, tiny_tokenizer, against), "theobot")
    assert ours != theirs
    for _ in range(2):
        assert answers(both, "base") == theirs
        assert answers(both, "theobot") == ours
    assert both.mixes_arms
    found = both.answer_pairs(CONVERSATIONS, formats=FORMATS, max_new_tokens=20)
    assert [pair["base"] for pair in found] == theirs
    assert [pair["theobot"] for pair in found] == ours
    assert both.adapter_effect(CONVERSATIONS) > 0


def test_an_adapter_differs_in_nothing_from_itself(
    tiny_base_folder: Path, tiny_tokenizer, tiny_adapter_folder: Path
):
    info = read_adapter_info(tiny_adapter_folder)
    both = generator_of(tiny_base_folder, tiny_tokenizer, info, info)
    assert both.adapter_effect(CONVERSATIONS) == 0.0


def test_the_records_say_which_two_were_compared(
    tiny_base_folder: Path, tiny_tokenizer, tiny_adapter_folder: Path, other_folder: Path
):
    info, against = read_adapter_info(tiny_adapter_folder), read_adapter_info(other_folder)
    alone = generator_of(tiny_base_folder, tiny_tokenizer, info).describe()
    both = generator_of(tiny_base_folder, tiny_tokenizer, info, against)
    assert alone["against_sha256"] is None
    assert both.describe()["against_sha256"] == against.identity()
    assert both.describe()["adapter_sha256"] == alone["adapter_sha256"]
    assert both.formats["base"] == "seed"


def test_one_that_fits_another_base_is_refused_by_name(
    tiny_base_folder: Path, tiny_tokenizer, tiny_adapter_folder: Path, other_folder: Path
):
    from safetensors.torch import load_file, save_file

    weights = other_folder / "adapter_model.safetensors"
    before = weights.read_bytes()
    wide = {name: torch.cat([one, one], dim=-1) for name, one in load_file(weights).items()}
    save_file(wide, weights)
    info, against = read_adapter_info(tiny_adapter_folder), read_adapter_info(other_folder)
    with pytest.raises(AdapterError, match="made for another base") as caught:
        generator_of(tiny_base_folder, tiny_tokenizer, info, against)
    weights.write_bytes(before)
    assert str(other_folder) in str(caught.value)
