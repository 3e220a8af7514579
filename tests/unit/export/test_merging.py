"""The sum of base and adapter: formed in float32, rounded once."""

from __future__ import annotations

import pytest
import torch

from theobot.errors import AdapterError
from theobot.export.merging import merge
from theobot.model.adapter import load_adapter

IDS = torch.arange(3, 43).unsqueeze(0)


def load(selection, dtype):
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(selection.model, dtype=dtype)
    return load_adapter(base, selection.adapter)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_rslora": True, "r": 8},
        {"use_dora": True},
        {"target_modules": "all-linear", "alpha_pattern": {"q_proj": 3}},
        {"modules_to_save": ["lm_head"]},
        {"target_modules": ["q_proj", "embed_tokens"]},
    ],
    ids=lambda settings: "-".join(settings) or "plain",
)
def test_the_merged_model_computes_what_base_and_adapter_do(make_adapter, settings):
    selection = make_adapter(**settings)
    model = load(selection, "float32")
    with torch.no_grad():
        wanted = model(IDS).logits
        merged = merge(model, torch.float32)
        assert torch.allclose(merged(IDS).logits, wanted, atol=1e-4)
    assert not any("lora" in name for name in merged.state_dict())
    assert merged.config.tie_word_embeddings is False


def test_each_weight_is_the_exact_sum_rounded_once(plain):
    exact = merge(load(plain, "float32"), torch.float32).state_dict()
    # The base must be one that bfloat16 holds, as Qwen2.5 is.
    model = load(plain, "bfloat16")
    base = {
        name.replace(".base_layer", "").removeprefix("base_model.model."): value.float()
        for name, value in model.state_dict().items()
        if "lora_" not in name
    }
    deltas = {
        f"model.layers.{number}.self_attn.{name}.weight": part.get_delta_weight("default")
        for number, layer in enumerate(model.get_base_model().model.layers)
        for name, part in layer.self_attn.named_children()
    }
    merged = merge(model, torch.bfloat16).state_dict()
    assert merged.keys() == exact.keys() == base.keys()
    for name, value in merged.items():
        assert value.dtype == torch.bfloat16
        once = (base[name] + deltas.get(name, 0)).to(torch.bfloat16)
        assert torch.equal(value, once), name


def test_small_updates_are_not_lost_as_they_are_when_summed_in_bfloat16(make_adapter):
    """PEFT rounds the update to the base's format before adding; here it is added exactly."""
    selection = make_adapter(r=4, lora_alpha=1)
    model = load(selection, "bfloat16")
    layer = model.get_base_model().model.layers[0].self_attn.q_proj
    exact = layer.get_base_layer().weight.float() + layer.get_delta_weight("default")
    theirs = load(selection, "bfloat16").merge_and_unload().model.layers[0].self_attn.q_proj.weight
    ours = merge(model, torch.bfloat16).model.layers[0].self_attn.q_proj.weight
    assert (ours.float() - exact).norm() <= (theirs.float() - exact).norm()
    assert torch.equal(ours, exact.to(torch.bfloat16))


def test_an_adapter_with_infinite_numbers_is_refused(plain):
    model = load(plain, "float32")
    layer = model.get_base_model().model.layers[1].self_attn.v_proj
    layer.lora_B["default"].weight.data[0, 0] = torch.inf
    with pytest.raises(AdapterError, match=r"layers\.1\.self_attn\.v_proj.*not finite"):
        merge(model, torch.bfloat16)


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
def test_a_trained_head_is_no_longer_tied_to_the_embedding(tiny_base_folder, tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(tiny_base_folder, dtype="float32")
    assert base.config.tie_word_embeddings
    config = LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["lm_head"])
    model = get_peft_model(base, config)
    with torch.no_grad():
        model.base_model.model.lm_head.modules_to_save["default"].weight.add_(0.1)
    wanted = model(IDS).logits
    merged = merge(model, torch.float32)
    assert merged.config.tie_word_embeddings is False
    merged.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path, dtype="float32")
    assert torch.allclose(again(IDS).logits, wanted, atol=1e-4)
