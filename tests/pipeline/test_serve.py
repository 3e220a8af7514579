"""`theobot serve` as a process of its own, asked by OpenAI's client over a real connection."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import openai
import pytest

from theobot.data.prompt import Turn
from theobot.generation.local import LocalGenerator, load_generator
from theobot.model.adapter import select

TOKEN = "a-token-for-the-tests"
PATIENCE = 120


class Server:
    """A running `theobot serve`."""

    def __init__(self, command) -> None:
        self._command = command
        self._clients: list[openai.OpenAI] = []
        command.wait_for(lambda: command.out().endswith("/\n"))
        self.url = command.out().split()[-1]

    @property
    def told(self) -> list[str]:
        return [*self._command.err().splitlines(), *self._command.out().splitlines()]

    def client(self, **options) -> openai.OpenAI:
        settings = {"api_key": TOKEN, "max_retries": 0, "timeout": PATIENCE, **options}
        self._clients.append(openai.OpenAI(base_url=f"{self.url}v1", **settings))
        return self._clients[-1]

    def stop(self) -> int | None:
        self._command.send(signal.SIGTERM)
        return self._command.end().code

    def close(self) -> None:
        for client in self._clients:
            client.close()


@pytest.fixture(scope="module")
def folders(tiny_base_folder: Path, tiny_adapter_folder: Path) -> tuple[Path, Path]:
    return tiny_base_folder, tiny_adapter_folder


@pytest.fixture(scope="module")
def server(folders, launch) -> Iterator[Server]:
    base, adapter = folders
    words = ("serve", "--port", 0, "--model", base, "--adapter", adapter, "--device", "cpu")
    running = Server(launch(*words, "--token", TOKEN))
    yield running
    running.close()


@pytest.fixture(scope="module")
def here(folders) -> LocalGenerator:
    """The same model in this process."""
    base, adapter = folders
    return load_generator(select(None, adapter, str(base)), "cpu")


def message(question: str) -> list[dict]:
    return [{"role": "user", "content": question}]


def test_it_says_where_it_computes_and_where_it_is(server: Server):
    assert server.told[0].startswith("Computing on the CPU in float32")
    assert not any(TOKEN in line for line in server.told)


def test_the_client_lists_the_models(server: Server):
    assert [model.id for model in server.client().models.list()] == ["base", "theobot"]


@pytest.mark.parametrize("arm", ["base", "theobot"])
def test_answers_are_those_of_theobot_ask(server: Server, here: LocalGenerator, arm):
    question = "What is the main message of Deuteronomy 24:17?"
    expected = here.answer([[Turn("user", question)]], arm, max_new_tokens=60)[0]
    client = server.client()
    asked = {"model": arm, "messages": message(question), "max_tokens": 60, "temperature": 0}
    whole = client.chat.completions.create(**asked)
    assert whole.choices[0].message.content == expected.text
    assert whole.choices[0].finish_reason == (
        "length" if expected.stop_reason == "length" else "stop"
    )
    assert whole.usage.completion_tokens == expected.new_tokens
    assert whole.usage.prompt_tokens == here.count_tokens([Turn("user", question)], arm)
    stream = client.chat.completions.create(
        **asked, stream=True, stream_options={"include_usage": True}
    )
    *chunks, usage = list(stream)
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(pieces) == expected.text
    assert usage.usage == whole.usage


def test_a_conversation_goes_on(server: Server, here: LocalGenerator):
    client = server.client()
    first = client.chat.completions.create(
        model="theobot", messages=message("What is peace?"), max_tokens=20
    )
    said = first.choices[0].message
    messages = [*message("What is peace?"), said, *message("And war?")]
    second = client.chat.completions.create(model="theobot", messages=messages, max_tokens=20)
    turns = [Turn("user", "What is peace?"), Turn("assistant", said.content)]
    expected = here.answer([[*turns, Turn("user", "And war?")]], "theobot", max_new_tokens=20)[0]
    assert second.choices[0].message.content == expected.text


def test_a_raw_text_is_continued_up_to_its_stop(server: Server, here: LocalGenerator):
    client = server.client()
    asked = {"model": "base", "prompt": "The orphan and", "max_tokens": 30}
    whole = client.completions.create(**asked).choices[0].text
    batch = here.live_batch(1)
    batch.add(0, "The orphan and", "base", 30)
    pieces = [update.piece for _ in range(30) if len(batch) for update in batch.step()]
    assert whole == "".join(pieces)
    assert len(whole) > 8
    stop = whole[5:8]
    part = client.completions.create(**asked, stop=[stop]).choices[0]
    assert (part.text, part.finish_reason) == (whole[: whole.index(stop)], "stop")
    streamed = client.completions.create(**asked, stop=stop, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == part.text


def test_a_hundred_at_the_same_time_get_their_own_answers(server: Server, here: LocalGenerator):
    asked = [(f"What does number {n} teach?", here.arms[n % 2]) for n in range(100)]
    client = server.client()

    def ask(question: str, arm: str) -> str:
        found = client.chat.completions.create(model=arm, messages=message(question), max_tokens=10)
        return found.choices[0].message.content

    with ThreadPoolExecutor(100) as threads:
        found = list(threads.map(lambda one: ask(*one), asked))
    for arm in here.arms:
        mine = [n for n, one in enumerate(asked) if one[1] == arm]
        turns = [[Turn("user", asked[n][0])] for n in mine]
        alone = here.answer(turns, arm, max_new_tokens=10)
        assert [found[n] for n in mine] == [answer.text for answer in alone]


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"model": "gpt-4"}, openai.NotFoundError),
        ({"temperature": 0.5}, openai.BadRequestError),
        ({"max_tokens": 10**9}, openai.BadRequestError),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, openai.BadRequestError),
        ({"messages": message("peace " * 600)}, openai.BadRequestError),
    ],
)
def test_the_client_understands_refusals(server: Server, more, error):
    asked = {"model": "theobot", "messages": message("Why?"), "max_tokens": 5, **more}
    with pytest.raises(error) as caught:
        server.client().chat.completions.create(**asked)
    assert caught.value.body["message"].endswith(".")


def test_a_wrong_token_and_a_wrong_name_are_refused(server: Server):
    with pytest.raises(openai.AuthenticationError):
        server.client(api_key="another").models.list()
    with pytest.raises(openai.APIStatusError) as caught:
        server.client(default_headers={"Host": "evil.example"}).models.list()
    assert caught.value.status_code == 421


def test_ten_megabytes_are_refused(server: Server):
    with pytest.raises(openai.APIStatusError) as caught:
        server.client().chat.completions.create(model="theobot", messages=message("x" * 10 * 2**20))
    assert caught.value.status_code == 413


def test_a_reader_who_leaves_frees_the_model(server: Server):
    stream = server.client().chat.completions.create(
        model="theobot", messages=message("Why?"), max_tokens=2000, stream=True
    )
    next(iter(stream))
    stream.close()
    health = {"status": "ok", "open": 1}
    for _ in range(1000):
        health = httpx2.get(f"{server.url}health").json()
        if health["open"] == 0:
            return
    pytest.fail(f"still open: {health}")


def test_told_to_stop_it_lets_the_answer_end(server: Server, here: LocalGenerator):
    """The last test of this server."""
    stream = server.client().chat.completions.create(
        model="base", messages=message("Who?"), max_tokens=150, stream=True
    )
    chunks = iter(stream)
    next(chunks)
    stopped = ThreadPoolExecutor(1).submit(server.stop)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    expected = here.answer([[Turn("user", "Who?")]], "base", max_new_tokens=150)[0]
    assert text == expected.text
    assert stopped.result() == 0
    assert "Traceback" not in "\n".join(server.told)
