"""One rendering for train, ask, chat and bench."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from theobot.data.prompt import SEED_CHAT_TEMPLATE, Turn, parse_prompt, render_prompt
from theobot.errors import PromptError

QUESTION = st.text(min_size=1).filter(lambda text: "\nUser:" not in text and "\nAssi" not in text)


def test_the_seed_format_is_the_seeds():
    turns = [Turn("user", "What is the main message of Deuteronomy 24:17?")]
    expected = "User: What is the main message of Deuteronomy 24:17?\nAssistant:"
    assert render_prompt(turns, "seed") == expected


def test_the_chat_format_is_the_tokenizers_template(tiny_tokenizer):
    turns = [Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c")]
    assert render_prompt(turns, "chat", tiny_tokenizer) == (
        "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n"
        "<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ raise_exception('System role not supported.') }}", r"\(System role not supported\)"),
        ("{{ messages[9].content.strip() }}", "has no element 9"),
        ("{% for %}", "Expected an expression"),
    ],
)
def test_a_template_that_refuses_is_one_sentence(tiny_tokenizer, template, words):
    tiny_tokenizer.chat_template = template
    with pytest.raises(PromptError, match=f"template refuses this conversation .*{words}"):
        render_prompt([Turn("user", "a")], "chat", tiny_tokenizer)


@given(st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text())))
def test_the_seed_format_as_a_chat_template_gives_the_same_prompts(tiny_tokenizer_once, said):
    turns = [Turn(role, text) for role, text in [*said, ("user", "Why?")]]
    assert render_prompt(turns, "chat", tiny_tokenizer_once) == render_prompt(turns, "seed")


@pytest.fixture(scope="module")
def tiny_tokenizer_once(tiny_base_folder):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_base_folder)
    tokenizer.chat_template = SEED_CHAT_TEMPLATE
    return tokenizer


@given(st.lists(QUESTION, min_size=1, max_size=5).filter(lambda texts: len(texts) % 2 == 1))
def test_parsing_a_rendered_prompt_gives_the_turns_back(texts):
    roles = ["user", "assistant"] * len(texts)
    turns = [Turn(role, text) for role, text in zip(roles, texts, strict=False)]
    assert parse_prompt(render_prompt(turns, "seed")) == turns


@given(st.text())
def test_whatever_parses_renders_back_to_itself(text):
    turns = parse_prompt(f"User: {text}\nAssistant:")
    if turns is not None:
        assert render_prompt(turns, "seed") == f"User: {text}\nAssistant:"


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "What?",
        "User: a",
        "User:a\nAssistant:",
        "User: a\nAssistant: ",
        "a\nUser: b\nAssistant:",
    ],
)
def test_other_prompts_are_not_taken_for_the_seeds_format(prompt):
    assert parse_prompt(prompt) is None
