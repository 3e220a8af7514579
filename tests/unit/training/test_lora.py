"""Adapters as people choose them: what PEFT is told, what is learned, what is saved."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from peft import PeftModel

from theobot.config import LoraSettings, TrainSettings
from theobot.errors import AdapterError, SettingsError
from theobot.model.adapter import load_adapter, read_adapter_info
from theobot.run_folder import RunFolder
from theobot.training.lora import (
    LoraPlus,
    add_adapter,
    first_adapter,
    lora_config,
    loraplus,
    save_plain,
)

IDS = torch.arange(40).unsqueeze(0)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    run.make()
    return run


@pytest.fixture
def fresh(tiny_base_folder: Path):
    """Makes the tiny base anew, in float32."""
    from transformers import AutoModelForCausalLM

    return lambda: AutoModelForCausalLM.from_pretrained(tiny_base_folder, dtype="float32").eval()


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits


def learn_something(model: PeftModel) -> None:
    """Move every adapter weight, as training would."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)


def test_settings_reach_peft_line_for_line():
    config = lora_config(
        LoraSettings(
            r=8,
            lora_alpha=12,
            target_modules=("all-linear",),
            use_rslora=True,
            init_lora_weights="gaussian",
        )
    )
    assert (config.r, config.lora_alpha, config.target_modules) == (8, 12, "all-linear")
    assert (config.use_rslora, config.use_dora, config.init_lora_weights) == (
        True,
        False,
        "gaussian",
    )
    assert lora_config(LoraSettings()).init_lora_weights is True
    assert lora_config(LoraSettings(use_dora=True)).use_dora


def test_rslora_scales_by_the_root_of_the_rank(fresh, folder):
    settings = LoraSettings(r=16, lora_alpha=32, target_modules=("q_proj",), use_rslora=True)
    model = add_adapter(fresh(), settings, folder)
    layer = model.get_base_model().model.layers[0].self_attn.q_proj
    assert layer.scaling["default"] == 32 / math.sqrt(16)


@pytest.mark.parametrize(
    "choice",
    [
        {"use_rslora": True},
        {"use_dora": True},
        {"init_lora_weights": "gaussian"},
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "pissa", "use_rslora": True},
        {"target_modules": ("all-linear",), "init_lora_weights": "pissa"},
    ],
    ids=lambda choice: "-".join(choice),
)
def test_the_saved_adapter_over_the_original_base_is_the_trained_model(
    fresh, folder, tmp_path, choice
):
    model = add_adapter(fresh(), LoraSettings(r=4, lora_alpha=8, **choice), folder).eval()
    assert torch.allclose(logits(model), logits(fresh()), atol=1e-4), "begins as the base"
    learn_something(model)
    trained = logits(model)
    assert not torch.allclose(trained, logits(fresh()), atol=0.1)
    save_plain(model, folder, tmp_path / "adapter")
    assert torch.equal(logits(model), trained), "saving leaves the model as it is"

    plain = PeftModel.from_pretrained(fresh(), tmp_path / "adapter").eval()
    assert torch.allclose(logits(plain), trained, atol=1e-4)
    ours = load_adapter(fresh(), read_adapter_info(tmp_path / "adapter"))
    assert torch.equal(logits(ours), logits(plain))


def test_pissa_splits_the_weight_by_its_largest_singular_values(fresh, folder):
    settings = LoraSettings(
        r=4, lora_alpha=8, target_modules=("q_proj",), init_lora_weights="pissa"
    )
    before = fresh().model.layers[0].self_attn.q_proj.weight
    model = add_adapter(fresh(), settings, folder)
    layer = model.get_base_model().model.layers[0].self_attn.q_proj
    left = torch.linalg.svdvals(layer.get_base_layer().weight)
    assert torch.allclose(left[:28], torch.linalg.svdvals(before)[4:], atol=1e-5)
    assert torch.allclose(left[28:], torch.zeros(4), atol=1e-5)


def test_pissa_doubles_the_rank_and_keeps_the_scale(fresh, folder, tmp_path):
    settings = LoraSettings(r=4, lora_alpha=8, init_lora_weights="pissa")
    save_plain(add_adapter(fresh(), settings, folder), folder, tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["init_lora_weights"]) == (8, 16, True)


def test_a_resumed_pissa_run_gets_the_same_base_without_another_decomposition(
    fresh, folder, monkeypatch
):
    settings = LoraSettings(r=4, lora_alpha=8, init_lora_weights="pissa")
    first = add_adapter(fresh(), settings, folder).state_dict()
    # On another machine the decomposition may differ; the stored one must count.
    monkeypatch.setattr(torch.linalg, "svd", None)
    again = add_adapter(fresh(), settings, folder)
    assert first.keys() == again.state_dict().keys()
    for name, value in again.state_dict().items():
        assert torch.equal(value, first[name]), name
    trainable = [name for name, value in again.named_parameters() if value.requires_grad]
    assert len(trainable) == 16
    assert all("lora_" in name for name in trainable)


def test_pissa_refuses_a_rank_above_the_width_of_a_layer(fresh, folder):
    settings = LoraSettings(r=24, init_lora_weights="pissa", target_modules=("k_proj",))
    with pytest.raises(SettingsError, match=r"16 singular vectors.*lora\.r = 16 or less"):
        add_adapter(fresh(), settings, folder)
    assert not first_adapter(folder).exists()


def test_a_pissa_checkpoint_is_not_taken_for_an_adapter_of_the_base(fresh, folder):
    add_adapter(fresh(), LoraSettings(r=4, init_lora_weights="pissa"), folder)
    with pytest.raises(AdapterError, match="only fits that changed base"):
        read_adapter_info(first_adapter(folder))


def test_an_unknown_target_module_is_a_sentence(fresh, folder):
    with pytest.raises(SettingsError, match=r"lora\.target_modules.*nope"):
        add_adapter(fresh(), LoraSettings(target_modules=("nope",)), folder)
    # One that fits must not hide another that does not.
    with pytest.raises(SettingsError, match=r'no layer "v_porj"\. Did you mean v_proj\?'):
        add_adapter(fresh(), LoraSettings(target_modules=("q_proj", "v_porj")), folder)
    with pytest.raises(SettingsError, match=r'"all-linear".*There are: .*q_proj'):
        add_adapter(fresh(), LoraSettings(target_modules=("all-linear", "q_proj")), folder)
    add_adapter(fresh(), LoraSettings(target_modules=("q_proj", "self_attn.v_proj")), folder)


def test_loraplus_moves_b_so_many_times_further_than_a(fresh, folder):
    """AdamW's first step moves each weight by its learning rate, whatever the gradient's size."""
    settings = TrainSettings.model_validate(
        {"lora": {"r": 4, "loraplus_lr_ratio": 8}, "training": {"learning_rate": 1e-3}}
    )
    factory, arguments = loraplus(settings)
    assert factory is LoraPlus
    model = add_adapter(fresh(), settings.lora, folder)
    optimizer = factory()(model, **arguments)
    before = {name: value.clone() for name, value in model.named_parameters()}
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.full_like(parameter, 0.5)
    optimizer.step()
    for name, value in model.named_parameters():
        moved = (before[name] - value.detach()).abs().max().item()
        if "lora_B" in name:
            assert moved == pytest.approx(8e-3, rel=1e-4)
        elif "lora_A" in name:
            assert moved == pytest.approx(1e-3, rel=1e-3)
        else:
            assert moved == 0


def test_loraplus_decays_weights_as_the_settings_say_and_ratio_1_is_the_trainers_own(fresh, folder):
    values = {"lora": {"loraplus_lr_ratio": 4}, "training": {"weight_decay": 0.1}}
    factory, arguments = loraplus(TrainSettings.model_validate(values))
    optimizer = factory()(add_adapter(fresh(), LoraSettings(), folder), **arguments)
    decays = {group["weight_decay"] for group in optimizer.param_groups if group["params"]}
    assert decays == {0.1}
    assert loraplus(TrainSettings()) is None
