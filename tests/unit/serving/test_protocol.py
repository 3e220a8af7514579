"""What a request may say: everything that has one meaning here, and nothing that has not."""

from __future__ import annotations

import json

import pytest

from theobot.serving.protocol import (
    MOST_TOKENS,
    ChatRequest,
    CompletionRequest,
    Message,
    read_body,
)
from theobot.serving.refusals import RefusalError

NEUTRAL = {
    "temperature": 0,
    "top_p": 1.0,
    "n": 1,
    "presence_penalty": 0.0,
    "frequency_penalty": 0,
    "repetition_penalty": 1.0,
    "repeat_penalty": 1,
    "seed": 7,
    "user": "somebody",
    "stream": False,
}


def chat(**more) -> bytes:
    messages = [{"role": "user", "content": "Why?"}]
    return json.dumps({"model": "base", "messages": messages, **more}).encode()


def text(**more) -> bytes:
    return json.dumps({"model": "base", "prompt": "Why", **more}).encode()


def refusal(kind, body: bytes) -> RefusalError:
    with pytest.raises(RefusalError) as caught:
        read_body(kind, body)
    assert caught.value.status == 400
    return caught.value


def test_what_changes_nothing_is_accepted():
    extra = {"logprobs": False, "max_completion_tokens": 5, "theobot": {"scripture": True}}
    assert read_body(ChatRequest, chat(**NEUTRAL, **extra)).max_completion_tokens == 5
    assert read_body(ChatRequest, chat(**dict.fromkeys(NEUTRAL.keys() - {"stream"})))
    assert read_body(CompletionRequest, text(**NEUTRAL, echo=False, best_of=1, logprobs=None))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("temperature", 0.7, "greedy"),
        ("temperature", -0.1, "greedy"),
        ("top_p", 0.9, "greedy"),
        ("repetition_penalty", 1.05, "greedy"),
        ("repeat_penalty", 1.1, "greedy"),
        ("presence_penalty", 1, "greedy"),
        ("frequency_penalty", 1, "greedy"),
        ("n", 2, "One answer"),
        ("logprobs", True, "False"),
        ("tools", [], "not support"),
        ("response_format", {"type": "json_object"}, "not support"),
        ("chat_template_kwargs", {}, "not support"),
        ("top_k", 1, "not support"),
        ("max_tokens", 10**9, str(MOST_TOKENS)),
        ("max_tokens", 0, "greater"),
        ("max_completion_tokens", MOST_TOKENS + 1, str(MOST_TOKENS)),
        ("stream", "yes", "boolean"),
        ("stop", ["a"] * 5, "at most 4"),
        ("stop", "", "at least 1"),
        ("stop", ["x" * 65], "at most 64"),
        ("messages", [], "at least 1"),
        ("messages", "Why?", "array"),
        ("model", None, "string"),
        ("theobot", {"magic": True}, "not support"),
    ],
)
def test_what_would_change_the_answer_is_refused_by_name(name, value, words):
    refused = refusal(ChatRequest, chat(**{name: value}))
    assert refused.param is not None
    assert refused.param.split(".")[0] == name
    assert refused.message.startswith(name)
    assert words in refused.message


def test_a_picture_is_refused_where_it_stands():
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "x"}}]
    refused = refusal(ChatRequest, chat(messages=[{"role": "user", "content": parts}]))
    assert refused.param in ("messages.0.content.1.type", "messages.0.content.1.text")
    long = refusal(ChatRequest, chat(messages=[{"role": "user", "content": "x" * 50_001}]))
    assert long.param == "messages.0.content"
    assert "50000" in long.message


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"model": "base"}'])
def test_what_is_no_request_is_a_sentence(body: bytes):
    assert refusal(ChatRequest, body).message.endswith(".")


def test_the_first_missing_parameter_is_named():
    refused = refusal(CompletionRequest, b'{"model": "base"}')
    assert (refused.param, refused.message) == ("prompt", "prompt: missing.")


def test_parts_of_a_message_make_one_text():
    parts = [{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]
    assert Message.model_validate({"role": "user", "content": parts}).text() == "a b"
    assert Message(role="assistant", content="c", refusal=None).text() == "c"


def test_stops_and_prompts_in_both_forms():
    assert read_body(ChatRequest, chat()).stops() == []
    assert read_body(ChatRequest, chat(stop="\nUser:")).stops() == ["\nUser:"]
    assert read_body(ChatRequest, chat(stop=["a", "b"])).stops() == ["a", "b"]
    assert read_body(CompletionRequest, text(prompt=["only one"])).text() == "only one"
    assert refusal(CompletionRequest, text(prompt=["one", "two"])).param.startswith("prompt")
