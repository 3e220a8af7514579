"""Base and Theobot in mixed batches: the same answers as alone, and nothing left behind."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import Qwen2Config, Qwen2ForCausalLM

from theobot.data.prompt import Turn
from theobot.errors import AdapterError, ModelError
from theobot.generation.local import LocalGenerator
from theobot.generation.mixing import can_mix, mixed
from theobot.model.base import load_base
from theobot.model.device import Compute

QUESTIONS = [
    "What is peace?",
    "Explain two different beliefs about forgiveness, and why they differ.",
    "Why?",
    "Who protects the widow and the orphan, and the stranger at the gate?",
    "Is it ever right to fight?",
]
CONVERSATIONS = [[Turn("user", question)] for question in QUESTIONS]
FORMATS = {"base": "chat", "theobot": "seed"}
CAPS = [24, 9, 1, 40, 16]


def with_random_adapter(base, **options):
    """A PEFT model whose two matrices are both random."""
    torch.manual_seed(1)
    settings = {"r": 4, "lora_alpha": 6, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]}
    model = get_peft_model(base, LoraConfig(**settings | options))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    return model


def alone(generator: LocalGenerator, formats=FORMATS, caps=CAPS):
    """The answers of each question by itself and each arm by itself."""
    return [
        {
            arm: generator.answer([turns], arm, prompt_format=chosen, max_new_tokens=cap)[0]
            for arm, chosen in formats.items()
        }
        for turns, cap in zip(CONVERSATIONS, caps, strict=True)
    ]


def pairs(generator: LocalGenerator, formats=FORMATS, caps=CAPS):
    return generator.answer_pairs(CONVERSATIONS, formats=formats, max_new_tokens=caps)


def left_behind(generator: LocalGenerator) -> bool:
    """Whether any adapter layer is not as it was made."""
    return any(
        "forward" in vars(layer) or layer._forward_pre_hooks or layer._forward_hooks
        for layer in generator._layers
    )


@pytest.mark.parametrize("formats", [FORMATS, {"theobot": "chat", "base": "chat"}])
def test_mixed_batches_give_the_answers_of_each_alone(tiny_generator: LocalGenerator, formats):
    assert tiny_generator.mixes_arms
    expected = alone(tiny_generator, formats)
    assert pairs(tiny_generator, formats) == expected
    assert expected[0]["base"] != expected[0]["theobot"]
    assert not left_behind(tiny_generator)


def test_grouped_heads_of_another_width_and_layers_without_an_adapter(tiny_tokenizer):
    torch.manual_seed(3)
    config = Qwen2Config(
        vocab_size=len(tiny_tokenizer),
        hidden_size=48,
        intermediate_size=80,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.2,
    )
    base = Qwen2ForCausalLM(config)
    model = with_random_adapter(
        base, target_modules=["v_proj", "up_proj", "down_proj"], layers_to_transform=[0, 2]
    )
    generator = LocalGenerator(model, tiny_tokenizer, None, "random")
    assert generator.mixes_arms
    assert pairs(generator) == alone(generator)


def test_nano_answers_the_same():
    base, tokenizer = load_base("nano", Compute(torch.device("cpu"), torch.float32, "a test"))
    with torch.no_grad():
        generator = LocalGenerator(with_random_adapter(base), tokenizer, None, "nano")
        for layer in generator._layers:
            layer.scaling["default"] = 0.05
    formats = {"base": "seed", "theobot": "seed"}
    found = pairs(generator, formats, [30] * 5)
    assert found == alone(generator, formats, [30] * 5)
    assert [pair["base"] for pair in found] != [pair["theobot"] for pair in found]


def test_in_bfloat16_each_row_gets_the_sums_that_it_gets_alone(tiny_base_folder):
    """PEFT's own mixed batches round the adapter's part first and so change the tuned rows."""
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(tiny_base_folder, dtype="bfloat16")
    layers = [m for m in with_random_adapter(base).modules() if hasattr(m, "lora_A")]
    assert can_mix(layers)
    layer = layers[0].eval()
    x = torch.randn(6, 5, 32, dtype=torch.bfloat16)
    with torch.inference_mode():
        tuned = layer(x)
        plain = layer.base_layer(x)
        with mixed(layers) as mixture:
            for count in (0, 2, 6):
                mixture.base_rows = count
                found = layer(x)
                assert torch.equal(found[:count], plain[:count])
                assert torch.equal(found[count:], tuned[count:])
    assert torch.equal(layer(x), tuned)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("inside", ["step", "layer"])
def test_breaking_off_leaves_no_hook_and_both_arms_as_they_were(
    tiny_generator: LocalGenerator, monkeypatch, error, inside
):
    expected = alone(tiny_generator)
    calls = 0

    def fail(original, *args):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise error
        return original(*args)

    if inside == "step":
        decoder = tiny_generator.decoder
        monkeypatch.setattr(decoder, "step", partial(fail, decoder.step))
    else:
        linear = tiny_generator._layers[1].base_layer
        monkeypatch.setattr(linear, "forward", partial(fail, linear.forward))
    with pytest.raises(error):
        pairs(tiny_generator)
    assert not left_behind(tiny_generator)
    assert tiny_generator.model.get_model_status().enabled is True
    assert pairs(tiny_generator) == expected
    assert alone(tiny_generator) == expected


def test_a_ctrl_c_while_tidying_up_is_mended_by_the_next_answer(tiny_generator: LocalGenerator):
    expected = alone(tiny_generator)
    unfinished = mixed(tiny_generator._layers)
    unfinished.__enter__().base_rows = 3
    assert left_behind(tiny_generator)
    assert alone(tiny_generator) == expected
    assert not left_behind(tiny_generator)
    mixed(tiny_generator._layers).__enter__().base_rows = 3
    assert pairs(tiny_generator) == expected
    assert not left_behind(tiny_generator)


def test_a_copied_model_computes_by_itself(tiny_generator: LocalGenerator):
    with mixed(tiny_generator._layers):
        other = copy.deepcopy(tiny_generator.model)
    copied = LocalGenerator(other, tiny_generator.tokenizer, tiny_generator.adapter)
    expected = alone(tiny_generator)
    for parameter in tiny_generator.model.parameters():
        parameter.data.zero_()
    assert alone(copied) == expected


@pytest.mark.parametrize(
    "options",
    [{"use_dora": True}, {"modules_to_save": ["lm_head"]}, {"target_modules": ["embed_tokens"]}],
)
def test_adapters_that_cannot_be_mixed_answer_in_turn(tiny_model, tiny_tokenizer, options):
    tiny_model.config.tie_word_embeddings = False
    generator = LocalGenerator(with_random_adapter(tiny_model, **options), tiny_tokenizer, None)
    assert not generator.mixes_arms
    assert pairs(generator) == alone(generator)


def test_merged_adapters_and_foreign_forwards_are_not_mixed(tiny_generator: LocalGenerator):
    layer = tiny_generator._layers[0]
    layer.forward = partial(type(layer).forward, layer)
    assert not tiny_generator.mixes_arms
    assert pairs(tiny_generator) == alone(tiny_generator)
    assert "forward" in vars(layer)
    del layer.forward
    assert tiny_generator.mixes_arms
    layer.merge()
    assert not tiny_generator.mixes_arms


def test_one_arm_or_no_conversation(tiny_generator: LocalGenerator):
    expected = alone(tiny_generator, {"theobot": "seed"})
    assert pairs(tiny_generator, {"theobot": "seed"}) == expected
    assert tiny_generator.answer_pairs([], formats=FORMATS, max_new_tokens=3) == []


def test_a_base_alone_has_no_pairs(tiny_model, tiny_tokenizer):
    base = LocalGenerator(tiny_model, tiny_tokenizer, None)
    assert not base.mixes_arms
    with pytest.raises(AdapterError, match="only the base"):
        pairs(base)


def test_a_question_longer_than_the_window_is_refused(tiny_generator: LocalGenerator):
    with pytest.raises(ModelError, match="512 at most"):
        tiny_generator.answer_pairs([[Turn("user", "x " * 600)]], formats=FORMATS, max_new_tokens=5)


def test_running_out_of_memory_halves_a_mixed_batch(tiny_generator: LocalGenerator, monkeypatch):
    expected = alone(tiny_generator)
    read = tiny_generator.decoder.read
    sizes = []

    def small(prompts):
        sizes.append(len(prompts))
        if len(prompts) > 3:
            raise torch.OutOfMemoryError("no memory")
        return read(prompts)

    monkeypatch.setattr(tiny_generator.decoder, "read", small)
    assert pairs(tiny_generator) == expected
    assert sizes == [10, 5, 2, 3, 5, 2, 3]
    assert not left_behind(tiny_generator)


def test_the_longest_answers_come_first_in_batches_that_fit(
    tiny_generator: LocalGenerator, monkeypatch
):
    from theobot.generation import cache

    expected = alone(tiny_generator)
    seen = []
    decode = tiny_generator.decoder.decode

    def watch(prompts, rows, *, before_step):
        seen.append([row.cap for row in rows])
        return decode(prompts, rows, before_step=before_step)

    monkeypatch.setattr(tiny_generator.decoder, "decode", watch)
    monkeypatch.setattr(cache, "MOST_ROWS", 4)
    assert pairs(tiny_generator) == expected
    assert seen == [[40, 24, 40, 24], [16, 9, 16, 9], [1, 1]]
