"""A Modelfile that asks as Theobot asks, stops as it stops, and stands on the right file."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
from gguf import GGUFReader
from hypothesis import given
from hypothesis import strategies as st

from theobot.data.prompt import Turn, render_prompt
from theobot.errors import AdapterError, ModelError, SettingsError
from theobot.export.ollama import (
    CHAT_TEMPLATE,
    QWEN_SYSTEM,
    SEED_TEMPLATE,
    chat_template,
    export_ollama,
)
from theobot.model.adapter import Selection
from theobot.nano import nano_folder

GO = runpy.run_path(str(Path(__file__).with_name("go_templates.py")))
parse_modelfile, render = GO["parse_modelfile"], GO["render"]

TURNS = [Turn("user", "What is sin?"), Turn("assistant", "A wrong."), Turn("user", "Why?\nSay.")]
CONVERSATIONS = [
    TURNS[:1],
    TURNS,
    [Turn("system", "Be brief."), *TURNS],
    [Turn("system", "Be brief."), Turn("system", "Be kind."), *TURNS],
    [TURNS[0], TURNS[1], Turn("system", "Now in Welsh."), TURNS[2]],
]


def messages(turns: list[Turn]) -> list[dict[str, str]]:
    return [{"Role": turn.role, "Content": turn.text} for turn in turns]


@pytest.fixture(scope="module")
def written(plain: Selection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    notes: list[str] = []
    done = export_ollama(plain, tmp_path_factory.mktemp("ollama") / "out", on_note=notes.append)
    assert notes[0].startswith("This writes about")
    return done


@pytest.mark.parametrize("turns", CONVERSATIONS, ids=len)
def test_the_seed_template_renders_the_seed_s_prompts(turns):
    assert render(SEED_TEMPLATE, messages(turns)) == render_prompt(turns, "seed")


@given(st.text(), st.text())
def test_whatever_is_asked_stands_there_as_it_is(question, answer):
    turns = [Turn("user", question), Turn("assistant", answer), Turn("user", question)]
    assert render(SEED_TEMPLATE, messages(turns)) == render_prompt(turns, "seed")


def test_what_ollama_sends_by_itself_is_left_out():
    turns = [Turn("system", QWEN_SYSTEM), *TURNS]
    assert render(SEED_TEMPLATE, messages(turns)) == render_prompt(TURNS, "seed")


@pytest.mark.parametrize("turns", CONVERSATIONS[:3], ids=len)
def test_the_chat_template_renders_the_tokenizers_prompts(turns):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(nano_folder())
    template = chat_template(tokenizer)
    assert template == CHAT_TEMPLATE
    assert render(template, messages(turns)) == render_prompt(turns, "chat", tokenizer)


@pytest.mark.parametrize("turns", CONVERSATIONS[:3], ids=len)
def test_the_system_message_of_the_bases_own_template_is_kept(tiny_tokenizer, turns):
    # As Qwen2.5's: a system message of its own where the first message is none.
    tiny_tokenizer.chat_template = (
        "{%- if messages[0]['role'] != 'system' -%}"
        "{{- '<|im_start|>system\\n" + QWEN_SYSTEM + "<|im_end|>\\n' -}}{%- endif -%}"
    ) + tiny_tokenizer.chat_template
    template = chat_template(tiny_tokenizer)
    assert render(template, messages(turns)) == render_prompt(turns, "chat", tiny_tokenizer)


@pytest.mark.parametrize("template", [None, "[INST] {{ messages[0]['content'] }} [/INST]"])
def test_templates_of_other_kinds_are_refused(tiny_tokenizer, template):
    tiny_tokenizer.chat_template = template
    with pytest.raises(ModelError, match="not Qwen's"):
        chat_template(tiny_tokenizer)


def test_the_modelfile_of_a_whole_model(written):
    found = parse_modelfile(written.read_text())
    assert found == [
        ("FROM", "./model.gguf"),
        ("TEMPLATE", SEED_TEMPLATE),
        ("stop", "\nUser:"),
        ("temperature", "0"),
        ("repeat_penalty", "1"),
        ("num_predict", "768"),
        ("num_ctx", "512"),
    ]


def test_the_model_lies_beside_it(written, plain):
    files = {path.name for path in written.parent.iterdir()}
    assert files == {"Modelfile", "model.gguf", "export.json"}
    reader = GGUFReader(written.parent / "model.gguf")
    assert reader.fields["general.type"].contents() == "model"
    account = json.loads((written.parent / "export.json").read_text())
    assert (account["kind"], account["adapter_sha256"]) == ("ollama", plain.adapter.sha256())


def test_an_adapter_beside_a_model_of_the_library(make_adapter, tmp_path):
    chat = make_adapter(prompt_format="chat")
    done = export_ollama(chat, tmp_path / "out", from_name="qwen2.5:7b-instruct-q8_0")
    found = dict(parse_modelfile(done.read_text()))
    assert found["FROM"] == "qwen2.5:7b-instruct-q8_0"
    assert found["ADAPTER"] == "./adapter.gguf"
    assert found["stop"] == "<|im_end|>"
    assert found["num_ctx"] == "4096"
    reader = GGUFReader(tmp_path / "out" / "adapter.gguf")
    assert reader.fields["general.type"].contents() == "adapter"
    assert not (tmp_path / "out" / "model.gguf").exists()


@pytest.mark.parametrize("name", ["", "two words", "a\nb", "q:1:2", '"x"'])
def test_a_name_that_is_none_is_refused(plain, tmp_path, name):
    with pytest.raises(SettingsError, match="--from"):
        export_ollama(plain, tmp_path / "out", from_name=name)


def test_what_gguf_cannot_hold_is_refused_before_anything_is_written(make_adapter, tmp_path):
    with pytest.raises(AdapterError, match="DoRA"):
        export_ollama(make_adapter(use_dora=True), tmp_path / "out", from_name="qwen2.5:7b")
    assert list(tmp_path.iterdir()) == []
