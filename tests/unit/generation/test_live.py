"""Rows that join and leave between tokens answer what they would answer alone."""

from __future__ import annotations

import random

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import Qwen2Config, Qwen2ForCausalLM

from theobot.data.prompt import Turn
from theobot.errors import AdapterError, ModelError
from theobot.generation import live as live_module
from theobot.generation.cache import BLOCK
from theobot.generation.live import GrowingText
from theobot.generation.local import LocalGenerator

WORDS = "peace war justice mercy widow orphan stranger gate law love why what who".split()


def questions(count: int, seed: int = 0) -> list[list[Turn]]:
    """Conversations of very different lengths."""
    draw = random.Random(seed)
    return [
        [Turn("user", " ".join(draw.choices(WORDS, k=draw.choice([1, 4, 30]))) + "?")]
        for _ in range(count)
    ]


def write_all(batch, arrivals: dict[int, list[tuple]]) -> dict[int, tuple[str, object]]:
    """Step until all is written; `arrivals` are what to add before which step."""
    pieces: dict[int, str] = {}
    answers: dict[int, object] = {}
    step = 0
    while arrivals or len(batch):
        for job in arrivals.pop(step, []):
            assert batch.add(*job) > 0
            pieces[job[0]] = ""
        for update in batch.step():
            pieces[update.key] += update.piece
            if update.answer is not None:
                assert update.new_tokens == update.answer.new_tokens
                answers[update.key] = update.answer
        step += 1
    assert {key: answer.text for key, answer in answers.items()} == pieces
    return answers


def jobs(generator: LocalGenerator, count: int = 10):
    """Who asks what: both arms, caps from one token on."""
    draw = random.Random(1)
    return [
        (key, turns, generator.arms[key % len(generator.arms)], draw.choice([1, 5, 20, 40]))
        for key, turns in enumerate(questions(count))
    ]


def alone(generator: LocalGenerator, wanted) -> dict[int, object]:
    return {
        key: generator.answer([turns], arm, max_new_tokens=cap)[0]
        for key, turns, arm, cap in wanted
    }


def spread(wanted, every: int = 3) -> dict[int, list[tuple]]:
    """A few newcomers every few steps."""
    arrivals: dict[int, list[tuple]] = {}
    for number, job in enumerate(wanted):
        arrivals.setdefault(number // 2 * every, []).append(job)
    return arrivals


def test_whoever_joins_when_gets_the_answer_it_gets_alone(tiny_generator: LocalGenerator):
    wanted = jobs(tiny_generator)
    expected = alone(tiny_generator, wanted)
    assert len({answer.text for answer in expected.values()}) > len(wanted) // 2
    assert write_all(tiny_generator.live_batch(64), spread(wanted)) == expected
    assert write_all(tiny_generator.live_batch(3), {0: wanted}) == expected
    assert tiny_generator.model.get_model_status().enabled is True


def test_rows_of_the_base_alone_switch_no_layer(tiny_generator: LocalGenerator, monkeypatch):
    wanted = [job for job in jobs(tiny_generator) if job[2] == "base"]
    expected = alone(tiny_generator, wanted)
    with tiny_generator.using("base"):
        switched_off = tiny_generator.network(torch.tensor([[5, 6, 7]])).logits

    def switch(*_):
        raise AssertionError("every layer is switched for each token")

    for name in ("disable_adapter_layers", "enable_adapter_layers"):
        monkeypatch.setattr(tiny_generator.model.base_model, name, switch)
    assert write_all(tiny_generator.live_batch(64), spread(wanted)) == expected
    with tiny_generator.computing_as(["base"]):
        assert tiny_generator.network(torch.tensor([[5, 6, 7]])).logits.equal(switched_off)


def test_one_group_takes_both_arms_and_stays_as_narrow_as_its_rows(tiny_generator: LocalGenerator):
    batch = tiny_generator.live_batch(4)
    turns = [Turn("user", "Why?")]
    key, widest = 0, 0
    for _ in range(5 * BLOCK):
        while len(batch) < 4:
            batch.add(key, turns, tiny_generator.arms[key % 2], 20 + 3 * (key % 5))
            key += 1
        batch.step()
        assert len(batch._groups) <= 1
        if batch._groups:
            state = batch._groups[0].state
            widest = max(widest, state.mask.shape[1])
            assert state.cache.get_seq_length() == state.mask.shape[1] - 1
    assert key > 10
    assert widest < 60 + 2 * BLOCK


def in_groups(tiny_base_folder, tiny_tokenizer, reason: str) -> LocalGenerator:
    """A generator whose rows cannot all share a pass."""
    config = Qwen2Config.from_pretrained(tiny_base_folder)
    if reason == "window":
        config.use_sliding_window, config.sliding_window = True, 16
        config.layer_types = ["full_attention", "sliding_attention"]
    torch.manual_seed(3)
    base = Qwen2ForCausalLM(config).eval()
    settings = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], use_dora=reason == "variant")
    model = get_peft_model(base, settings)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    return LocalGenerator(model, tiny_tokenizer, None, "tiny")


@pytest.mark.parametrize("reason", ["variant", "window"])
def test_rows_that_cannot_share_a_pass_take_turns(tiny_base_folder, tiny_tokenizer, reason):
    generator = in_groups(tiny_base_folder, tiny_tokenizer, reason)
    assert generator.mixes_arms is (reason == "window")
    wanted = jobs(generator, 6)
    expected = alone(generator, wanted)
    assert len({answer.text for answer in expected.values()}) > 3
    assert write_all(generator.live_batch(64), spread(wanted, every=1)) == expected


def test_a_text_is_continued_exactly_as_it_stands(tiny_generator: LocalGenerator):
    prompt = "The orphan\nUser: and the widow"
    with tiny_generator.using("theobot"), torch.no_grad():
        ids = tiny_generator.tokenizer(prompt)["input_ids"]
        start = len(ids)
        while len(ids) - start < 60 and ids[-1] not in tiny_generator.decoder.stop_ids:
            logits = tiny_generator.model(torch.tensor([ids])).logits
            ids.append(int(logits[0, -1].argmax()))
    answers = write_all(tiny_generator.live_batch(2), {0: [(7, prompt, "theobot", 60)]})
    ended = ids[-1] in tiny_generator.decoder.stop_ids
    assert answers[7].text == tiny_generator.decoder.text(ids[start : len(ids) - ended])
    assert answers[7].stop_reason == ("eos" if ended else "length")


def test_dropped_answers_are_not_written_and_disturb_nobody(tiny_generator: LocalGenerator):
    wanted = jobs(tiny_generator, 8)
    expected = alone(tiny_generator, wanted)
    batch = tiny_generator.live_batch(5)
    answers = {}
    for job in wanted:
        batch.add(*job)
    for step in range(200):
        if step == 2:
            batch.drop({1, 2, 7, 99})
        answers |= {u.key: u.answer for u in batch.step() if u.answer}
    gone = {1, 2, 7} - {key for key, answer in expected.items() if answer.new_tokens <= 2}
    assert answers == {key: expected[key] for key in expected if key not in gone}
    assert len(batch) == 0
    assert batch.step() == []


def test_running_out_of_memory_reads_all_again_in_halves(tiny_generator, monkeypatch):
    wanted = [job for job in jobs(tiny_generator, 9) if job[3] > 1]
    expected = alone(tiny_generator, wanted)
    sizes = []

    def limited(function):
        def call(argument):
            rows = len(getattr(argument, "tokens", argument))
            sizes.append(rows)
            if rows > 3:
                raise torch.OutOfMemoryError("no memory")
            return function(argument)

        return call

    for name in ("read", "step"):
        decoder = tiny_generator.decoder
        monkeypatch.setattr(decoder, name, limited(getattr(decoder, name)))
    assert write_all(tiny_generator.live_batch(64), spread(wanted, every=2)) == expected
    assert max(sizes) > 3


@pytest.mark.parametrize("name", ["join", "keep"])
def test_running_out_of_memory_between_passes_loses_nobody(tiny_generator, monkeypatch, name):
    from theobot.generation import decoding

    wanted = jobs(tiny_generator, 8)
    expected = alone(tiny_generator, wanted)
    real, calls = getattr(decoding, name), []

    def scarce(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("no memory")
        return real(*arguments)

    monkeypatch.setattr(decoding, name, scarce)
    arrivals = {0: wanted[:4], 1: wanted[4:7], 2: wanted[7:]}
    assert write_all(tiny_generator.live_batch(64), arrivals) == expected
    assert len(calls) > 3


def test_running_out_of_memory_while_dropping_loses_nobody(tiny_generator, monkeypatch):
    from theobot.generation import decoding

    wanted = [job for job in jobs(tiny_generator, 8) if job[3] > 1]
    expected = alone(tiny_generator, wanted)
    batch = tiny_generator.live_batch(64)
    for job in wanted:
        batch.add(*job)
    batch.step()
    real = decoding.keep

    def scarce(*arguments):
        monkeypatch.setattr(decoding, "keep", real)
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(decoding, "keep", scarce)
    batch.drop({wanted[0][0]})
    answers = {}
    while len(batch):
        answers |= {update.key: update.answer for update in batch.step() if update.answer}
    assert answers == {key: expected[key] for key in expected if key != wanted[0][0]}


def test_dropped_answers_stay_dropped_where_memory_runs_out_in_the_first_of_several_groups(
    tiny_base_folder, tiny_tokenizer, monkeypatch
):
    from theobot.generation import decoding

    generator = in_groups(tiny_base_folder, tiny_tokenizer, "variant")
    wanted = [(key, [Turn("user", "Why?")], generator.arms[key % 2], 12) for key in range(4)]
    batch = generator.live_batch(64)
    for job in wanted:
        batch.add(*job)
    batch.step()
    assert len(batch._groups) == 2
    real = decoding.keep

    def scarce(*arguments):
        monkeypatch.setattr(decoding, "keep", real)
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(decoding, "keep", scarce)
    batch.drop({0, 1})
    assert len(batch) == 2
    answers = {}
    while len(batch):
        answers |= {update.key: update.answer for update in batch.step() if update.answer}
    assert answers == alone(generator, wanted[2:])


def test_memory_too_small_for_one_answer_is_a_sentence(tiny_generator, monkeypatch):
    def never(prompts):
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(tiny_generator.decoder, "read", never)
    batch = tiny_generator.live_batch(8)
    batch.add(0, [Turn("user", "Why?")], "base", 4)
    with pytest.raises(ModelError, match="single question"):
        batch.step()


def test_what_does_not_fit_into_memory_waits(tiny_generator: LocalGenerator, monkeypatch):
    wanted = jobs(tiny_generator, 6)
    expected = alone(tiny_generator, wanted)
    monkeypatch.setattr("theobot.generation.cache.free_memory", lambda device: 0.0)
    batch = tiny_generator.live_batch(64)
    for job in wanted:
        batch.add(*job)
    order = []
    while len(batch):
        updates = batch.step()
        assert len(updates) == 1
        order += [update.key for update in updates if update.answer == expected[update.key]]
    assert order == [job[0] for job in wanted]


def test_long_prompts_are_read_a_few_at_a_time(tiny_generator: LocalGenerator, monkeypatch):
    monkeypatch.setattr(live_module, "_MOST_READ", 100)
    batch = tiny_generator.live_batch(64)
    for key in range(4):
        batch.add(key, [Turn("user", "justice " * 10)], "base", 4)
    assert [len(batch.step()) for _ in range(2)] == [1, 2]


def test_what_cannot_be_answered_is_refused_when_it_comes(tiny_generator: LocalGenerator):
    batch = tiny_generator.live_batch(8)
    with pytest.raises(ModelError, match="512 at most"):
        batch.add(0, "x " * 600, "base", 5)
    assert len(batch) == 0
    assert batch.add(1, [Turn("user", "Why? " * 95)], "base", 400) > 112
    while len(batch):
        updates = batch.step()
    assert updates[0].new_tokens <= 512


def test_an_arm_that_is_not_there(tiny_model, tiny_tokenizer):
    batch = LocalGenerator(tiny_model, tiny_tokenizer, None, "tiny").live_batch(2)
    with pytest.raises(AdapterError, match="No adapter"):
        batch.add(0, [Turn("user", "Why?")], "theobot", 3)


def test_growing_text_ends_as_the_whole_text_and_never_takes_back(tiny_tokenizer):
    text = "Ελπίδα is hope 🙏🏽, naïve café – שלום سلام"
    ids = tiny_tokenizer(text)["input_ids"]
    growing, before = GrowingText(tiny_tokenizer.decode), ""
    for end in range(1, len(ids) + 1):
        now = growing.update(ids[:end])
        assert now.startswith(before)
        assert "\ufffd" not in now
        before = now
    assert before == text
