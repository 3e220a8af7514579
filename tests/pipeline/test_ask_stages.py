"""Asking through the same calls as the command: select, load, answer, stream, chat."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from theobot.data.prompt import Turn
from theobot.data.tokens import tokenize_prompt
from theobot.generation.chat import Conversation, Finished
from theobot.generation.generator import Answer
from theobot.generation.local import LocalGenerator, load_generator
from theobot.model.adapter import select

QUESTION = "What is the main message of Deuteronomy 24:17?"


@pytest.fixture
def loaded(tiny_base_folder: Path, tiny_adapter_folder: Path) -> LocalGenerator:
    selection = select(adapter=tiny_adapter_folder, model=str(tiny_base_folder))
    return load_generator(selection, "cpu")


def test_any_plain_peft_folder_answers_and_the_logits_are_peft_s_own(
    loaded: LocalGenerator, tiny_base_folder: Path, tiny_adapter_folder: Path
):
    base = AutoModelForCausalLM.from_pretrained(tiny_base_folder, dtype="float32")
    plain = PeftModel.from_pretrained(base, str(tiny_adapter_folder)).eval()
    ids = torch.tensor([tokenize_prompt(loaded.tokenizer, [Turn("user", QUESTION)], "seed")])
    with torch.no_grad():
        assert torch.equal(plain(ids).logits, loaded.model(ids).logits)
    output = plain.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False
    )
    [answer] = loaded.answer([[Turn("user", QUESTION)]], "theobot", max_new_tokens=20)
    text = loaded.decoder.text(output[0, ids.shape[1] :].tolist())
    assert answer.text == text.partition("\nUser:")[0].strip()


def test_streaming_gives_the_same_answer(loaded: LocalGenerator):
    *pieces, last = loaded.stream([Turn("user", QUESTION)], "theobot", 30)
    assert isinstance(last, Answer)
    assert "".join(pieces) == last.text


def test_a_chat_keeps_what_was_said_and_compares(loaded: LocalGenerator):
    chat = Conversation(loaded, max_new_tokens=8)
    assert chat.arm == "theobot"
    for line in ("/compare", QUESTION):
        events = list(chat.handle(line))
    assert [event.arm for event in events if isinstance(event, Finished)] == ["base", "theobot"]
    list(chat.handle("And why?"))
    assert [turn.role for turn in chat.history] == ["user", "assistant"] * 2


def test_a_chat_longer_than_the_window_goes_on(loaded: LocalGenerator):
    chat = Conversation(loaded, max_new_tokens=8)
    for number in range(8):
        events = list(chat.handle(f"{number} " + "and why is that so? " * 4))
        assert isinstance(events[-1], Finished)
    assert 2 <= len(chat.history) < 16


def test_a_models_own_sampling_settings_give_no_warnings(
    start, tiny_base_folder: Path, tmp_path: Path
):
    """Qwen2.5 ships such settings, and transformers warns of them; a process shows all."""
    base = tmp_path / "base"
    shutil.copytree(tiny_base_folder, base)
    sampling = {"do_sample": False, "temperature": 0.7, "top_k": 20, "repetition_penalty": 1.05}
    (base / "generation_config.json").write_text(json.dumps(sampling))
    typed = ["ask", QUESTION, "--base", "--model", str(base), "--device", "cpu"]
    done = start(*typed, "--max-new-tokens", 4).end()
    done.ended(0)
    first, *_, last = done.told.splitlines()
    assert first.startswith("Computing on the CPU")
    assert last.startswith("(cut at 4 tokens")
    assert not any(word in done.err.lower() for word in ("temperature", "top_k", "warn"))
