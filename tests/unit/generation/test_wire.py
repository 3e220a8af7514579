from __future__ import annotations

import pytest

from theobot.data.prompt import Turn
from theobot.errors import ServerError
from theobot.generation.generator import Answer
from theobot.generation.wire import make_request, read_answer, read_count

TURNS = [Turn("user", "Why?"), Turn("assistant", "Because."), Turn("user", "And?")]
CHAT = make_request("m", TURNS, "chat", {"temperature": 0.0}, 9)
SEED = make_request("m", TURNS, "seed", {"temperature": 0.0}, 9)


def raw(text="Peace.", finish="stop", usage=None, **more):
    reply = {"choices": [{"text": text, "finish_reason": finish, **more}]}
    return reply if usage is None else {**reply, "usage": usage}


def chat(message, finish="stop"):
    return {"choices": [{"message": message, "finish_reason": finish}]}


def read(reply, request=SEED) -> Answer:
    return read_answer(reply, request, "there")


def test_messages_go_to_the_servers_template():
    assert CHAT.path == "chat/completions"
    assert CHAT.body == {
        "model": "m",
        "max_tokens": 9,
        "stream": False,
        "temperature": 0.0,
        "messages": [
            {"role": "user", "content": "Why?"},
            {"role": "assistant", "content": "Because."},
            {"role": "user", "content": "And?"},
        ],
    }


def test_the_seeds_prompt_goes_as_it_is():
    assert SEED.path == "completions"
    assert SEED.body["prompt"] == "User: Why?\nAssistant: Because.\nUser: And?\nAssistant:"
    assert SEED.body["stop"] == ["\nUser:"]


@pytest.mark.parametrize(
    ("reply", "request_", "stop"),
    [
        (chat({"content": "Peace."}), CHAT, "eos"),
        (chat({"content": "Peace."}, "length"), CHAT, "length"),
        (raw(), SEED, "stop"),
        (raw(finish="length"), SEED, "length"),
        (raw(stop_reason=None), SEED, "eos"),
        (raw(stop_reason="\nUser:"), SEED, "new_turn"),
        (raw(" Peace. \nUser: no"), SEED, "new_turn"),
        (raw(" Peace. \nUser:", "length"), SEED, "new_turn"),
    ],
)
def test_why_an_answer_ended_is_what_the_server_says_and_no_more(reply, request_, stop):
    answer = read(reply, request_)
    assert (answer.text, answer.stop_reason) == ("Peace.", stop)


def test_a_new_turn_is_ordinary_text_in_the_chat_format():
    assert read(chat({"content": "a\nUser: b"}), CHAT).text == "a\nUser: b"


def test_tokens_are_the_servers_count_or_unknown():
    assert read(raw(usage={"completion_tokens": 5})).new_tokens == 5
    assert read(raw()).new_tokens is None
    assert read(raw(usage={"completion_tokens": None})).new_tokens is None
    assert read(raw(finish="length")).new_tokens == 9, "cut at the cap: that many"


def test_an_empty_answer_is_one():
    assert read(raw("", usage={"completion_tokens": 1})) == Answer("", "stop", 1)
    assert read(chat({"content": ""}), CHAT).text == ""


@pytest.mark.parametrize("reply", [{}, {"choices": []}, {"choices": {}}, {"choices": [None]}])
def test_no_choice_is_no_answer(reply):
    with pytest.raises(ServerError, match="there: one entry in `choices` was expected"):
        read(reply)


@pytest.mark.parametrize("text", [None, 3, ["Peace."], {}])
def test_no_text_is_no_answer(text):
    for reply, request_ in ((raw(text), SEED), (chat({"content": text}), CHAT)):
        with pytest.raises(ServerError, match="there: there is no text"):
            read(reply, request_)


@pytest.mark.parametrize("message", [None, "Peace.", {}])
def test_no_message_is_no_answer(message):
    with pytest.raises(ServerError, match="no text"):
        read(chat(message), CHAT)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "tool_calls"])
def test_what_stands_beside_the_answer_is_refused(name):
    with pytest.raises(ServerError, match="reasoning or tool calls"):
        read(chat({"content": "Peace.", name: "Let me think"}), CHAT)
    assert read(chat({"content": "Peace.", name: None}), CHAT).text == "Peace."


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"scripture_given": [{"reference": "John 11:35"}]}, "start it without --scripture"),
        ({"hints_first": True}, "start it without --hints-first"),
        ({"notice": "The answer was ended."}, r'own answer to the end \("The answer was ended."\)'),
    ],
)
def test_what_theobots_server_added_is_refused(told, words):
    beside = {"scripture_given": [], "hints_first": False, "notice": None}
    for reply, request_ in ((raw(), SEED), (chat({"content": "Peace."}), CHAT)):
        with pytest.raises(ServerError, match=f"there: an answer cannot be compared.*{words}"):
            read(reply | {"theobot": beside | told}, request_)
        assert read(reply | {"theobot": beside}, request_).text == "Peace."


@pytest.mark.parametrize("finish", [None, "content_filter", "tool_calls", 1])
def test_another_end_is_no_answer(finish):
    with pytest.raises(ServerError, match=f"finish_reason {finish!r}"):
        read(raw(finish=finish))


@pytest.mark.parametrize("count", ["5", 5.0, True, -1])
def test_a_count_that_is_none_is_told(count):
    with pytest.raises(ServerError, match=r"completion_tokens in `usage` is"):
        read(raw(usage={"completion_tokens": count}))
    with pytest.raises(ServerError, match="`usage`"):
        read_count({"usage": [1]}, "prompt_tokens", "there")


def test_half_letters_are_told_before_they_reach_a_file():
    with pytest.raises(ServerError, match="half letters"):
        read(raw("Peace \ud83d"))
