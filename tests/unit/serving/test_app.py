"""The endpoint over a real connection, answered by the scripted generator."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil

import httpx2
import pytest

from theobot.data.prompt import Turn
from theobot.errors import ModelError, PromptError
from theobot.generation.scripted import ScriptedBatch, ScriptedGenerator
from theobot.serving.app import build_app
from theobot.serving.engine import Engine
from theobot.serving.options import ServeOptions
from theobot.serving.records import Records
from theobot.serving.server import serving_in_thread

CHAT = "/v1/chat/completions"
NOTHING_BESIDE = {"scripture_given": [], "hints_first": False, "notice": None}


def chat_body(question: str = "Why?", model: str = "theobot", **more) -> dict:
    return {"model": model, "messages": [{"role": "user", "content": question}], **more}


def events(client, body: dict, path: str = CHAT) -> list[dict]:
    """The chunks of a stream; the last one is the mark of its end, if it came."""
    with client.stream("POST", path, json={**body, "stream": True}) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.headers["Cache-Control"] == "no-store"
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    return [{"done": True} if line == "[DONE]" else json.loads(line) for line in lines]


def text_of(chunks: list[dict]) -> str:
    choices = [choice for chunk in chunks for choice in chunk.get("choices", [])]
    return "".join(c["delta"].get("content", "") if "delta" in c else c["text"] for c in choices)


def test_the_models_are_the_arms(open_server):
    client = open_server()
    assert [one["id"] for one in client.get("/v1/models").json()["data"]] == ["base", "theobot"]
    alone = open_server(ScriptedGenerator({}, arms=("base",)))
    assert [one["id"] for one in alone.get("/v1/models").json()["data"]] == ["base"]


def test_an_answer_has_all_that_clients_read(client):
    answer = client.post(CHAT, json=chat_body("Why me?")).json()
    assert answer["object"] == "chat.completion"
    assert answer["choices"] == [
        {
            "index": 0,
            "finish_reason": "stop",
            "logprobs": None,
            "message": {"role": "assistant", "content": "theobot on Why me?"},
        }
    ]
    assert answer["usage"] == {"prompt_tokens": 4, "completion_tokens": 5, "total_tokens": 9}
    assert answer["theobot"] == NOTHING_BESIDE
    assert answer["system_fingerprint"].startswith("fp_")


def test_a_stream_is_the_answer_in_pieces(client):
    body = chat_body("Why me?", "base", stream_options={"include_usage": True})
    first, *pieces, last, usage, done = events(client, body)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert first["theobot"] == NOTHING_BESIDE
    assert text_of(pieces) == "base on Why me?"
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["choices"][0]["delta"] == {}
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 4, "completion_tokens": 5, "total_tokens": 9}
    assert done == {"done": True}
    assert len({chunk["id"] for chunk in [first, *pieces, last, usage]}) == 1


def test_conversations_keep_their_turns_and_their_system_text(open_server):
    seen = []

    class Watching(ScriptedGenerator):
        def live_batch(self, most_rows):
            class Batch(ScriptedBatch):
                def add(self, key, prompt, arm, max_new_tokens):
                    seen.append(prompt)
                    return super().add(key, prompt, arm, max_new_tokens)

            return Batch(self, most_rows)

    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "What is grace?"},
        {"role": "assistant", "content": "A gift.", "refusal": None},
        {"role": "user", "content": [{"type": "text", "text": "Whose?"}]},
    ]
    client = open_server(Watching(lambda question, arm: "God's."))
    assert client.post(CHAT, json=chat_body(messages=messages)).status_code == 200
    assert seen == [
        [
            Turn("system", "Be brief."),
            Turn("user", "What is grace?"),
            Turn("assistant", "A gift."),
            Turn("user", "Whose?"),
        ]
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_a_text_is_continued_without_any_template(open_server, stream):
    generator = ScriptedGenerator(lambda text, arm: f"{text}|User: no more")
    body = {"model": "base", "prompt": " raw\nUser:", "stop": ["User: no"], "max_tokens": 9}
    client = open_server(generator)
    if stream:
        chunks = events(client, body, "/v1/completions")
        assert text_of(chunks) == " raw\nUser:|"
        assert [c["choices"][0]["finish_reason"] for c in chunks[:-1]][-1] == "stop"
        assert "theobot" not in chunks[0]
    else:
        answer = client.post("/v1/completions", json=body).json()
        assert answer["object"] == "text_completion"
        assert answer["choices"][0]["text"] == " raw\nUser:|"
        assert answer["theobot"] == NOTHING_BESIDE
        assert answer["choices"][0]["finish_reason"] == "stop"


def test_an_answer_cut_at_its_cap_says_so(client):
    answer = client.post(CHAT, json=chat_body("a b c", max_tokens=2)).json()
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["choices"][0]["message"]["content"] == "theobot on"
    assert answer["usage"]["completion_tokens"] == 2


def test_where_nothing_is_said_the_servers_cap_holds(open_server):
    client = open_server(max_new_tokens=3)
    assert client.post(CHAT, json=chat_body("a b c")).json()["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        (CHAT, chat_body(model="gpt-4"), 404, "model_not_found"),
        (CHAT, chat_body(temperature=1), 400, "unsupported_or_invalid"),
        (CHAT, chat_body("x " * 5000), 400, "context_length_exceeded"),
        (CHAT, chat_body("  "), 400, None),
        (CHAT, chat_body("x" * 50_001), 400, "unsupported_or_invalid"),
        (CHAT, chat_body(messages=[{"role": "assistant", "content": "x"}]), 400, None),
        ("/v1/completions", {"model": "base", "prompt": ""}, 400, "unsupported_or_invalid"),
        ("/citations", {"text": 5}, 400, "unsupported_or_invalid"),
        ("/nowhere", {}, 404, None),
        ("/health", {}, 405, None),
    ],
)
def test_refusals_have_the_form_that_clients_read(client, path, body, status, code):
    answer = client.post(path, json=body)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == code
    assert error["message"].endswith(".")
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_prompt_too_long_is_refused_before_a_stream_begins(client):
    answer = client.post(CHAT, json=chat_body("x " * 5000, stream=True))
    assert answer.status_code == 400


@pytest.mark.parametrize("stream", [False, True])
def test_a_reader_who_leaves_stops_the_writing(open_server, gated, stream):
    client = open_server(gated)
    body = chat_body("x " * 500, stream=stream, max_tokens=1000)
    if stream:
        with client.stream("POST", CHAT, json=body) as answer:
            gated.let(2)
            next(answer.iter_lines())
    else:
        with pytest.raises(Exception, match="timed out"):
            client.post(CHAT, json=body, timeout=0.2)
    for _ in range(100):  # far fewer words than the answer has
        gated.let(1)
        if not (client.get("/health").json()["open"] or len(gated.batch)):
            return
    pytest.fail("the answer is still being written")


def test_a_failure_in_the_middle_is_the_last_event(open_server):
    class Failing(ScriptedGenerator):
        def live_batch(self, most_rows):
            class Batch(ScriptedBatch):
                steps = 0

                def step(self):
                    self.steps += 1
                    if self.steps > 2:
                        raise ModelError("The model computed NaN instead of numbers.")
                    return super().step()

            return Batch(self, most_rows)

    client = open_server(Failing(lambda question, arm: "one two three four"))
    *before, last = events(client, chat_body())
    assert text_of(before) == "one "
    assert last["error"]["message"].startswith("The model computed NaN")
    answer = client.post(CHAT, json=chat_body())
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_the_filter_objects_to_is_withheld(open_server, stream):
    generator = ScriptedGenerator(lambda question, arm: "First one must build a pipe bomb, so")
    check = {"check": lambda text: "Not here." if "pipe bomb" in text else None}
    client = open_server(generator, options=check)
    if stream:
        chunks = events(client, chat_body())
        assert "pipe bomb" not in text_of(chunks)
        assert "First one must build a pipe bomb, so".startswith(text_of(chunks))
        last = chunks[-2]
    else:
        last = client.post(CHAT, json=chat_body()).json()
        assert last["choices"][0]["message"]["content"] == "Not here."
    assert last["choices"][0]["finish_reason"] == "content_filter"
    assert last["theobot"]["notice"] == "Not here."


@pytest.mark.parametrize("stream", [False, True])
def test_when_the_time_is_up_the_answer_ends_as_it_stands(open_server, gated, stream):
    client = open_server(gated, deadline=1.5)
    gated.let(3)
    body = chat_body("x " * 500, max_tokens=1000)
    if stream:
        chunks = events(client, body)
        last = chunks[-2]
        assert text_of(chunks) == "theobot on x"
        assert last["choices"][0]["finish_reason"] == "length"
    else:
        last = client.post(CHAT, json=body).json()
        assert last["choices"][0]["message"]["content"] == "theobot on x"
    assert "ended after 1.5 seconds" in last["theobot"]["notice"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_text_that_is_continued_is_told_to_be_cut_off(open_server, gated, stream):
    client = open_server(gated, deadline=1.5)
    gated.let(3)
    body = {"model": "base", "prompt": "x " * 500, "max_tokens": 1000}
    if stream:
        last = events(client, body, "/v1/completions")[-2]
    else:
        last = client.post("/v1/completions", json=body).json()
    assert last["choices"][0]["finish_reason"] == "length"
    assert "ended after 1.5 seconds" in last["theobot"]["notice"]


@pytest.mark.parametrize("path", [CHAT, "/v1/completions"])
def test_an_answer_without_a_word_when_the_time_is_up_is_none(open_server, gated, path):
    client = open_server(gated, deadline=0.2)
    body = chat_body() if path == CHAT else {"model": "base", "prompt": "Why?"}
    # Read by the model, but no token comes.
    answer = client.post(path, json=body)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "busy"
    assert int(answer.headers["Retry-After"]) > 0


def test_a_stream_without_a_word_when_the_time_is_up_ends_with_an_error(open_server, gated):
    client = open_server(gated, deadline=0.2)
    *before, last = events(client, chat_body())
    assert text_of(before) == ""
    assert last["error"]["code"] == "busy"


def test_hints_are_told_as_such(client):
    answer = client.post(CHAT, json=chat_body(theobot={"hints_first": True})).json()
    assert answer["theobot"] == NOTHING_BESIDE | {"hints_first": True}


def test_a_conversation_that_the_models_template_refuses_is_the_readers_mistake(open_server):
    def script(question: str, arm: str) -> str:
        raise PromptError("The model's chat template refuses this conversation.")

    answer = open_server(ScriptedGenerator(script)).post(CHAT, json=chat_body())
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "prompt_refused"


def test_what_cannot_begin_in_time_may_be_asked_again(open_server, gated):
    client = open_server(gated, deadline=0.2)
    with client.stream("POST", CHAT, json=chat_body(stream=True)) as first:
        # The thread is inside a step for the first answer and cannot take in another.
        second = client.post(CHAT, json=chat_body())
        assert second.status_code == 503
        assert second.json()["error"]["code"] == "busy"
        gated.let(100)
        first.read()


def test_health_is_open_and_counts(open_server, gated):
    client = open_server(gated)
    assert client.get("/health").json() == {"status": "ok", "open": 0}
    with client.stream("POST", CHAT, json=chat_body(stream=True)):
        assert client.get("/health").json()["open"] == 1
        gated.let(10)


def test_conversations_are_recorded_only_where_that_is_switched_on(open_server, tmp_path):
    client = open_server(options={"records": Records(tmp_path, 5)}, class_code="Micah-6-8")
    seat = {"X-Class-Code": "Micah-6-8", "X-Seat": "seat-0001"}
    client.headers.update(seat)
    assert client.get("/about").json()["logging"]["days"] == 5
    client.post(CHAT, json=chat_body("Why me?"))
    events(client, chat_body("And you?", "base"))
    (file,) = tmp_path.iterdir()
    entries = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [entry.pop("time")[:2] for entry in entries] == ["20", "20"]
    assert entries[0] == {
        "seat": "seat-0001",
        "model": "theobot",
        "messages": [{"role": "user", "content": "Why me?"}],
        "answer": "theobot on Why me?",
        "finish": "stop",
        "notice": None,
    }
    assert entries[1]["answer"] == "base on And you?"


def test_a_record_that_cannot_be_written_costs_nobody_the_answer(open_server, tmp_path, caplog):
    folder = tmp_path / "log"
    client = open_server(options={"records": Records(folder, 5)})
    shutil.rmtree(folder)
    folder.touch()
    assert client.post(CHAT, json=chat_body()).status_code == 200
    assert f"--log {folder}: cannot be written" in caplog.text


def test_a_fault_of_ours_is_told_as_one(caplog, monkeypatch):
    for name in ("uvicorn", "uvicorn.error", "theobot.serving"):
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
        monkeypatch.setattr(logging.getLogger(name), "disabled", False)

    def check(text: str) -> str | None:
        raise ZeroDivisionError("a secret detail")

    with serving_in_thread(ScriptedGenerator({}), ServeOptions(check=check)) as url:
        answer = httpx2.post(f"{url}{CHAT}", json=chat_body())
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert "secret" not in answer.text
    assert "ZeroDivisionError" in caplog.text


def test_a_full_queue_and_a_stopping_server_say_when_to_come_again():
    async def ask(engine: Engine) -> httpx2.Response:
        transport = httpx2.ASGITransport(build_app(engine, ServeOptions()))
        async with httpx2.AsyncClient(transport=transport, base_url="http://a") as client:
            return await client.post(CHAT, json=chat_body())

    engine = Engine(ScriptedGenerator({}), most_rows=0, most_waiting=0)
    engine.start()
    full = asyncio.run(ask(engine))
    engine.close()
    stopping = asyncio.run(ask(engine))
    assert (full.status_code, full.json()["error"]["code"]) == (429, "queue_full")
    assert (stopping.status_code, stopping.json()["error"]["code"]) == (503, "stopping")
    assert int(full.headers["Retry-After"]) > 0
    assert int(stopping.headers["Retry-After"]) > 0
