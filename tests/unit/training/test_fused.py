"""Fused layers equal the plain ones of transformers and PEFT, forward and backward."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.layer import Linear as LoraLinear
from transformers import Qwen3Config, Qwen3ForCausalLM
from transformers.models.gemma2.modeling_gemma2 import Gemma2RMSNorm

from theobot.training.fused import FusedLora, fuse

IDS = torch.arange(3, 21).unsqueeze(0)


def with_adapter(base, **changes):
    torch.manual_seed(1)
    config = LoraConfig(
        **{"r": 4, "lora_alpha": 12, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
        | changes
    )
    model = get_peft_model(base, config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
    return model


def outcome(model):
    """Logits, and the gradient of each trained parameter, of one pass."""
    model.zero_grad()
    logits = model(input_ids=IDS).logits
    logits.square().mean().backward()
    return logits.detach(), {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def assert_fusing_changes_nothing(model):
    logits, gradients = outcome(model)
    fuse(model)
    fused_logits, fused_gradients = outcome(model)
    torch.testing.assert_close(fused_logits, logits, rtol=1e-4, atol=1e-5)
    for name, gradient in gradients.items():
        difference = (fused_gradients[name] - gradient).norm() / gradient.norm()
        assert difference < 1e-5, name


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "v_proj"], ["down_proj", "up_proj"]])
def test_a_fused_qwen2_computes_what_the_plain_one_does(tiny_model, targets):
    assert_fusing_changes_nothing(with_adapter(tiny_model, target_modules=targets).train())


def test_a_fused_qwen3_with_head_norms_does_too():
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
    )
    assert_fusing_changes_nothing(with_adapter(Qwen3ForCausalLM(config)).train())


def test_layers_of_another_kind_keep_their_own_forward(tiny_model):
    model = with_adapter(tiny_model, use_dora=True)
    fuse(model)
    adapted = [module for module in model.modules() if type(module) is LoraLinear]
    assert adapted
    assert all("forward" not in vars(module) for module in adapted)
    norm = Gemma2RMSNorm(8)
    norm.weight.requires_grad_(False)
    holder = torch.nn.ModuleList([norm])
    fuse(holder)
    assert "forward" not in vars(norm)


def test_an_adapter_that_is_switched_off_leaves_the_base_alone(tiny_model):
    with torch.no_grad():
        plain = tiny_model(input_ids=IDS).logits
    model = with_adapter(tiny_model)
    fuse(model)
    with torch.no_grad(), model.disable_adapter():
        torch.testing.assert_close(model(input_ids=IDS).logits, plain)


def test_dropout_drops_the_adapters_inputs_alone_and_keeps_their_expectation(tiny_model):
    model = with_adapter(tiny_model, lora_dropout=0.5, target_modules=["o_proj"])
    fuse(model)
    layer = next(module for module in model.modules() if type(module) is LoraLinear)
    x = torch.randn(1, 6, layer.in_features)
    layer.eval()
    expected = layer(x)
    layer.train()
    torch.manual_seed(0)
    drawn = torch.stack([layer(x) for _ in range(4000)])
    assert not torch.equal(drawn[0], drawn[1])
    spread = (drawn.std(0) / drawn.shape[0] ** 0.5).max().item()
    torch.testing.assert_close(drawn.mean(0), expected, atol=6 * spread, rtol=0)


def test_dropouts_gradient_is_that_of_the_inputs_that_stay():
    torch.manual_seed(0)
    x, weight = torch.randn(5, 6, requires_grad=True), torch.randn(4, 6)
    a, b = torch.randn(2, 6, requires_grad=True), torch.randn(4, 2, requires_grad=True)
    stays = torch.rand(5, 6) < 0.6
    upstream = torch.randn(5, 4)
    plain = x @ weight.T + (x * stays) @ a.T @ b.T * 1.5
    fused = FusedLora.apply(x, weight, None, a, b, 1.5, stays)
    torch.testing.assert_close(fused, plain)
    expected = torch.autograd.grad((plain * upstream).sum(), (x, a, b))
    found = torch.autograd.grad((fused * upstream).sum(), (x, a, b))
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right)


def test_less_is_kept_for_the_backward_pass(tiny_model):
    def kept(model):
        found = {}

        def note(tensor):
            if not isinstance(tensor, torch.nn.Parameter):
                storage = tensor.untyped_storage()
                found[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
            return tensor

        alive: list[torch.Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            model(input_ids=IDS).logits.sum()
        return sum(found.values())

    model = with_adapter(tiny_model).train()
    plain = kept(model)
    fuse(model)
    assert kept(model) < 0.75 * plain
