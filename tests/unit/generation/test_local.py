from __future__ import annotations

import copy
import warnings

import pytest
import torch
from transformers import AutoModelForCausalLM

from theobot.data.prompt import Turn
from theobot.data.tokens import tokenize_prompt
from theobot.errors import AdapterError, ModelError
from theobot.generation.generator import Answer
from theobot.generation.local import LocalGenerator, load_generator
from theobot.model.adapter import Selection, load_adapter

QUESTIONS = [
    "What is peace?",
    "Explain two different beliefs about forgiveness.",
    "Why?",
    "Who protects the widow and the orphan, and the stranger at the gate?",
]
CONVERSATIONS = [[Turn("user", question)] for question in QUESTIONS]


def reference(model, tokenizer, turns, prompt_format, cap, stop_ids):
    """Token ids that transformers' own greedy generate adds, without early stop at a new turn."""
    ids = torch.tensor([tokenize_prompt(tokenizer, turns, prompt_format)])
    output = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=cap,
        do_sample=False,
        repetition_penalty=1.0,
        eos_token_id=sorted(stop_ids),
        pad_token_id=tokenizer.pad_token_id,
    )
    return output[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("arm", ["base", "theobot"])
@pytest.mark.parametrize("prompt_format", ["seed", "chat"])
def test_a_batch_gives_the_tokens_of_transformers_own_greedy_generation(
    tiny_generator: LocalGenerator, tiny_base_folder, tiny_info, arm, prompt_format
):
    plain = AutoModelForCausalLM.from_pretrained(tiny_base_folder, dtype="float32").eval()
    model = plain if arm == "base" else load_adapter(plain, tiny_info)
    caps = [24, 9, 1, 16]
    answers = tiny_generator.answer(
        CONVERSATIONS, arm, prompt_format=prompt_format, max_new_tokens=caps
    )
    for turns, cap, answer in zip(CONVERSATIONS, caps, answers, strict=True):
        stops = tiny_generator.decoder.stop_ids
        ids = reference(model, tiny_generator.tokenizer, turns, prompt_format, cap, stops)
        text = tiny_generator.decoder.text([i for i in ids if i not in stops])
        assert answer.text == text.partition("\nUser:")[0].strip()
        assert answer.new_tokens == len(ids)


def test_both_arms_differ_and_the_base_is_untouched_by_the_adapter(tiny_generator: LocalGenerator):
    base = tiny_generator.answer(CONVERSATIONS, "base", prompt_format="seed", max_new_tokens=12)
    tuned = tiny_generator.answer(CONVERSATIONS, "theobot", max_new_tokens=12)
    assert base != tuned
    assert tiny_generator.answer(CONVERSATIONS, "theobot", max_new_tokens=12) == tuned


def test_the_base_alone_offers_no_theobot(tiny_model, tiny_tokenizer):
    generator = LocalGenerator(tiny_model, tiny_tokenizer, None, "tiny")
    assert generator.arms == ("base",)
    assert generator.adapter_effect(CONVERSATIONS) is None
    assert generator.answer(CONVERSATIONS[:1], "base", max_new_tokens=3)[0].new_tokens <= 3
    with pytest.raises(AdapterError, match="only the base"):
        generator.answer(CONVERSATIONS, "theobot", max_new_tokens=3)


def test_each_arm_has_its_proper_format(tiny_generator: LocalGenerator):
    assert tiny_generator.formats == {"base": "chat", "theobot": "seed"}
    assert tiny_generator.render(CONVERSATIONS[0], "base").startswith("<|im_start|>user")
    tiny_generator.tokenizer.chat_template = None
    again = LocalGenerator(tiny_generator.model, tiny_generator.tokenizer, tiny_generator.adapter)
    assert again.formats["base"] == "seed"


def test_a_stream_joins_to_the_answer_of_a_batch(tiny_generator: LocalGenerator):
    for turns in CONVERSATIONS:
        *pieces, last = tiny_generator.stream(turns, "theobot", 40)
        assert isinstance(last, Answer)
        assert "".join(pieces) == last.text
        assert [last] == tiny_generator.answer([turns], "theobot", max_new_tokens=40)


def test_two_streams_taking_turns_do_not_mix_their_arms(tiny_generator: LocalGenerator):
    alone = {
        arm: list(tiny_generator.stream(CONVERSATIONS[1], arm, 20)) for arm in tiny_generator.arms
    }
    streams = {arm: tiny_generator.stream(CONVERSATIONS[1], arm, 20) for arm in tiny_generator.arms}
    mixed: dict[str, list[str | Answer]] = {arm: [] for arm in streams}
    while streams:
        for arm in list(streams):
            try:
                mixed[arm].append(next(streams[arm]))
            except StopIteration:
                del streams[arm]
    assert mixed == alone


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_breaking_off_in_the_middle_leaves_both_arms_usable(tiny_generator, monkeypatch, error):
    before = {
        a: tiny_generator.answer(CONVERSATIONS, a, max_new_tokens=8) for a in ("base", "theobot")
    }
    calls = 0
    step = tiny_generator.decoder.step

    def fail(state):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise error
        return step(state)

    monkeypatch.setattr(tiny_generator.decoder, "step", fail)
    with pytest.raises(error):
        tiny_generator.answer(CONVERSATIONS, "base", max_new_tokens=8)
    assert tiny_generator.model.get_model_status().enabled is True
    for arm, answers in before.items():
        assert tiny_generator.answer(CONVERSATIONS, arm, max_new_tokens=8) == answers


def test_half_switched_adapter_layers_are_mended(tiny_generator: LocalGenerator):
    tuned = tiny_generator.answer(CONVERSATIONS, "theobot", max_new_tokens=8)
    tiny_generator._layers[0].enable_adapters(False)
    assert tiny_generator.answer(CONVERSATIONS, "theobot", max_new_tokens=8) == tuned


def test_an_abandoned_stream_gives_the_adapters_back(tiny_generator: LocalGenerator):
    stream = tiny_generator.stream(CONVERSATIONS[0], "base", 20)
    next(stream)
    stream.close()
    assert tiny_generator.model.get_model_status().enabled is True


def force_tokens(generator: LocalGenerator, ids: list[int]) -> None:
    """Make the network write these ids, whatever the prompt (a linear map of the position)."""
    network = generator.network
    original = network.forward
    written = 0

    def forward(*args, **kwargs):
        nonlocal written
        output = original(*args, **kwargs)
        output.logits.zero_()
        output.logits[..., ids[written % len(ids)]] = 1
        written += 1
        return output

    network.forward = forward


def test_a_new_turn_split_over_many_tokens_ends_the_answer(tiny_generator: LocalGenerator):
    tokenizer = tiny_generator.tokenizer
    ids = [i for letter in " Peace.\nUser: no" for i in tokenizer.encode(letter)]
    force_tokens(tiny_generator, ids)
    *pieces, answer = tiny_generator.stream(CONVERSATIONS[0], "theobot", 50)
    assert answer == Answer("Peace.", "new_turn", len(" Peace.\nUser:"))
    assert "".join(pieces) == "Peace."


def test_a_new_turn_is_ordinary_text_in_the_chat_format(tiny_generator: LocalGenerator):
    ids = tiny_generator.tokenizer.encode("a\nUser: b")
    force_tokens(tiny_generator, [*ids, tiny_generator.tokenizer.eos_token_id])
    [answer] = tiny_generator.answer(CONVERSATIONS[:1], "base", max_new_tokens=50)
    assert answer == Answer("a\nUser: b", "eos", len(ids) + 1)


def test_letters_of_several_bytes_are_never_shown_in_halves(tiny_generator: LocalGenerator):
    text = "Śīla – мир ☮"
    force_tokens(
        tiny_generator,
        [*tiny_generator.tokenizer.encode(text), tiny_generator.tokenizer.eos_token_id],
    )
    *pieces, answer = tiny_generator.stream(CONVERSATIONS[0], "theobot", 60)
    assert answer.text == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_every_end_id_of_the_model_stops_it(tiny_model, tiny_tokenizer):
    tiny_model.generation_config.eos_token_id = [tiny_tokenizer.eos_token_id, 7]
    generator = LocalGenerator(tiny_model, tiny_tokenizer, None, "tiny")
    assert generator.describe()["decoding"]["stop_ids"] == sorted({tiny_tokenizer.eos_token_id, 7})
    force_tokens(generator, [*tiny_tokenizer.encode("ab"), 7])
    [answer] = generator.answer(CONVERSATIONS[:1], "base", max_new_tokens=9)
    assert answer.text == "ab"
    assert answer.stop_reason == "eos"


def test_the_models_own_sampling_settings_are_ignored_without_a_warning(tiny_model, tiny_tokenizer):
    plain = LocalGenerator(copy.deepcopy(tiny_model), tiny_tokenizer, None, "tiny")
    tiny_model.generation_config.update(
        do_sample=True, temperature=0.7, top_p=0.8, top_k=20, repetition_penalty=1.5
    )
    other = LocalGenerator(tiny_model, tiny_tokenizer, None, "tiny")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answers = [g.answer(CONVERSATIONS, "base", max_new_tokens=12) for g in (plain, other)]
    assert answers[0] == answers[1]


def test_a_question_longer_than_the_window_is_refused_in_a_sentence(tiny_generator: LocalGenerator):
    with pytest.raises(ModelError, match="512 at most"):
        tiny_generator.answer([[Turn("user", "x " * 600)]], "base", max_new_tokens=5)


def test_an_answer_ends_at_the_window(tiny_generator: LocalGenerator):
    force_tokens(tiny_generator, tiny_generator.tokenizer.encode("a"))
    turns = [Turn("user", "why " * 120)]
    room = tiny_generator.context_window - tiny_generator.count_tokens(turns, "base")
    assert 0 < room < 500
    [answer] = tiny_generator.answer([turns], "base", max_new_tokens=500)
    assert (answer.stop_reason, answer.new_tokens) == ("length", room)


def test_running_out_of_memory_halves_the_batch(tiny_generator: LocalGenerator, monkeypatch):
    expected = tiny_generator.answer(CONVERSATIONS, "theobot", max_new_tokens=6)
    read = tiny_generator.decoder.read
    sizes = []

    def small(prompts):
        sizes.append(len(prompts))
        if len(prompts) > 2:
            raise torch.OutOfMemoryError("no memory")
        return read(prompts)

    monkeypatch.setattr(tiny_generator.decoder, "read", small)
    assert tiny_generator.answer(CONVERSATIONS, "theobot", max_new_tokens=6) == expected
    assert sizes == [4, 2, 2]

    def never(prompts):
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(tiny_generator.decoder, "read", never)
    with pytest.raises(ModelError, match="Out of memory"):
        tiny_generator.answer(CONVERSATIONS, "theobot", max_new_tokens=6)


def test_nan_is_an_error_and_not_an_answer(tiny_model, tiny_tokenizer):
    with torch.no_grad():
        tiny_model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="NaN"):
        LocalGenerator(tiny_model, tiny_tokenizer, None).answer(
            CONVERSATIONS, "base", max_new_tokens=2
        )


def test_the_adapters_effect_is_measured_and_zero_for_a_no_op(tiny_generator: LocalGenerator):
    effect = tiny_generator.adapter_effect(CONVERSATIONS)
    assert effect is not None
    assert effect > 0.01
    with torch.no_grad():
        for name, parameter in tiny_generator.model.named_parameters():
            if "lora_B" in name:
                parameter.zero_()
    assert tiny_generator.adapter_effect(CONVERSATIONS) == 0.0


def test_the_selected_adapter_is_loaded_in_float32_over_a_bfloat16_base(
    tiny_base_folder, tiny_info
):
    from theobot.model.device import Compute

    compute = Compute(torch.device("cpu"), torch.bfloat16, "a test")
    selection = Selection(str(tiny_base_folder), tiny_info, None, "")
    generator = load_generator(selection, compute=compute)
    dtypes = {name: p.dtype for name, p in generator.model.named_parameters()}
    assert {d for n, d in dtypes.items() if "lora_" in n} == {torch.float32}
    assert {d for n, d in dtypes.items() if "lora_" not in n} == {torch.bfloat16}
    assert generator.network.config._attn_implementation == "sdpa"
    assert generator.describe()["decoding"]["dtype"] == "bfloat16"
    assert len(generator.answer(CONVERSATIONS, "theobot", max_new_tokens=4)) == 4


def test_training_attention_is_replaced_for_generation(tiny_model, tiny_tokenizer):
    from theobot.training.attention import SEGMENTED

    tiny_model.set_attn_implementation(SEGMENTED)
    generator = LocalGenerator(tiny_model, tiny_tokenizer, None)
    assert generator.answer(CONVERSATIONS, "base", max_new_tokens=2)
