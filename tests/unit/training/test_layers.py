"""Layers that are computed twice or compiled give the same loss and gradients."""

from __future__ import annotations

import random

import pytest
import torch
import torch._dynamo
from peft import LoraConfig, get_peft_model
from transformers import AttentionInterface

from theobot.data.batches import FlatPass, flatten
from theobot.data.tokens import TokenRow
from theobot.errors import SettingsError
from theobot.training.attention import SEGMENTED, segmented_attention
from theobot.training.head import install_flat_forward
from theobot.training.layers import checkpoint_layers, compile_layers, refuse_without_compiler


def a_pass(number: int) -> FlatPass:
    """Between one and five random rows, another mix for each number."""
    chance = random.Random(number)
    lengths = [chance.randrange(5, 50) for _ in range(1 + number % 5)]
    rows = [[chance.randrange(300) for _ in range(length)] for length in lengths]
    return flatten([TokenRow(ids, len(ids) // 3, "here") for ids in rows], "cpu")


@pytest.fixture
def tuned(tiny_model):
    """The tiny base with an adapter, ready for flat passes."""
    torch.manual_seed(3)
    tiny_model.config.use_cache = False
    tiny_model.set_attn_implementation(SEGMENTED)
    install_flat_forward(tiny_model)
    config = LoraConfig(r=4, lora_dropout=0.2, target_modules=["q_proj", "v_proj", "down_proj"])
    model = get_peft_model(tiny_model, config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return model.train()


def step(model, flat: FlatPass) -> tuple[float, torch.Tensor]:
    torch.manual_seed(11)
    model.zero_grad()
    loss = model(flat=flat).loss
    loss.backward()
    found = [p.grad.flatten().clone() for p in model.parameters() if p.grad is not None]
    return loss.item(), torch.cat(found)


@pytest.mark.parametrize(("every_n", "twice"), [(1, [0, 1]), (2, [0])])
def test_checkpointed_layers_are_computed_twice_with_the_same_dropout(tuned, every_n, twice):
    loss, expected = step(tuned, a_pass(3))
    base = tuned.get_base_model()
    calls: list[int] = []
    for number, layer in enumerate(base.model.layers):
        layer.mlp.register_forward_pre_hook(lambda *_, number=number: calls.append(number))
    checkpoint_layers(base, every_n)
    again, found = step(tuned, a_pass(3))
    assert again == loss
    assert (found - expected).norm() / expected.norm() < 1e-6
    assert expected.norm() > 0
    assert sorted(calls) == sorted([0, 1, *twice])


def test_checkpointing_asks_for_no_gradient_of_the_embeddings(tuned):
    base = tuned.get_base_model()
    asked: list[bool] = []
    base.get_input_embeddings().register_forward_hook(
        lambda module, args, output: asked.append(output.requires_grad)
    )
    checkpoint_layers(base, 1)
    step(tuned, a_pass(3))
    assert asked == [False]


def test_checkpointing_can_be_changed_and_switched_off(tuned):
    base = tuned.get_base_model()
    for every_n, expected in [(2, [True, False]), (1, [True, True]), (0, [False, False])]:
        checkpoint_layers(base, every_n)
        assert [layer.gradient_checkpointing for layer in base.model.layers] == expected


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch's own tracing
@pytest.mark.parametrize("every_n", [2])
def test_compiled_layers_give_the_same_and_are_not_compiled_anew_for_other_lengths(tuned, every_n):
    for module in tuned.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # a compiled dropout draws other numbers
    expected = [step(tuned, a_pass(number)) for number in range(6)]
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    checkpoint_layers(tuned.get_base_model(), every_n)
    try:
        compile_layers(tuned.get_base_model(), backend="aot_eager")
        graphs = []
        for number, (loss, gradient) in enumerate(expected):
            again, found = step(tuned, a_pass(number))
            graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
            assert again == pytest.approx(loss, rel=1e-5)
            assert (found - gradient).norm() / gradient.norm() < 1e-5
    finally:
        AttentionInterface.register(SEGMENTED, segmented_attention)
        torch._dynamo.reset()
    assert 0 < graphs[0] <= 10
    assert graphs[-1] == graphs[1], "six mixes of rows, and nothing is compiled after the second"


def test_without_a_compiler_it_is_said_in_a_sentence(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SettingsError, match=r"C\+\+ compiler"):
        refuse_without_compiler(torch.device("cpu"))
