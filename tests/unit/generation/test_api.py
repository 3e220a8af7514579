from __future__ import annotations

import asyncio
import inspect
import itertools
import runpy
import signal
import socket
import sys
import threading
from pathlib import Path

import pytest

from theobot.errors import ServerError, SettingsError
from theobot.generation.api import ApiClient, normalise_url, run

FAKES = runpy.run_path(str(Path(__file__).parents[2] / "fake_server.py"))
Reply, honest = FAKES["Reply"], FAKES["honest"]


def post(url: str, body=None, pauses=None, **options):
    """One POST; pauses are noted, not made."""

    async def sleep(seconds: float) -> None:
        if pauses is not None:
            pauses.append(seconds)

    async def run():
        async with ApiClient(url, sleep=sleep, **options) as client:
            return await client.post("completions", body or {"prompt": "é"})

    return asyncio.run(run())


def in_turn(*replies):
    """A behaviour that gives these replies one after the other."""
    left = iter(replies)
    return lambda asked: next(left)


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("host:8000", "http://host:8000/v1"),
        ("http://host:8000/", "http://host:8000/v1"),
        ("https://host/v1/", "https://host/v1"),
        ("http://host/api/v2", "http://host/api/v2"),
        ("http://host:1/v1/chat/completions", "http://host:1/v1"),
        ("host/v1/models", "http://host/v1"),
        ("[::1]:8000", "http://[::1]:8000/v1"),
    ],
)
def test_an_address_has_one_form(typed, address):
    assert normalise_url(typed) == address
    assert normalise_url(address) == address


@pytest.mark.parametrize(
    "typed",
    ["", "ftp://host", "http://", "http://host:no", "host:99999", "http://[::1", "a b", "h/?q=1"],
)
def test_what_is_no_address_is_told(typed):
    with pytest.raises(SettingsError, match=r"--server .*http://127.0.0.1:8000 was expected"):
        normalise_url(typed)


def test_a_password_in_an_address_is_refused_and_not_repeated():
    with pytest.raises(SettingsError, match="THEOBOT_SERVER_TOKEN") as caught:
        normalise_url("http://me:secret@host:8000")
    assert "secret" not in str(caught.value)


def test_an_object_goes_there_and_one_comes_back(serve):
    server = serve(lambda asked: Reply({"said": asked.body["prompt"]}))
    assert post(server.url) == {"said": "é"}
    assert "Authorization" not in server.asked[0].headers


def test_the_token_is_that_of_one_variable_alone(serve, monkeypatch):
    server = serve(lambda asked: Reply({"ok": 1}))
    monkeypatch.setenv("OPENAI_API_KEY", "other")
    monkeypatch.setenv("THEOBOT_SERVER_TOKEN", "mine\n")
    post(server.url)
    assert server.asked[0].headers["Authorization"] == "Bearer mine"
    monkeypatch.setenv("THEOBOT_SERVER_TOKEN", "mïne")
    with pytest.raises(SettingsError, match="THEOBOT_SERVER_TOKEN"):
        post(server.url)


def test_a_proxy_is_not_asked_for_a_server_on_this_machine(serve, monkeypatch):
    server = serve(lambda asked: Reply({"ok": 1}))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert post(server.url) == {"ok": 1}


def test_a_full_queue_is_waited_for_as_long_as_it_asks(serve):
    full = [Reply({"error": "full"}, 429, {"Retry-After": wait}) for wait in ("7", "0", "9999")]
    odd = Reply({}, 429, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"})
    server = serve(in_turn(*full, odd, Reply({"ok": 1})))
    pauses = []
    assert post(server.url, pauses=pauses) == {"ok": 1}
    assert (pauses[0], pauses[2]) == (7, 30)
    assert 0.7 <= pauses[1] <= 1.3
    assert 2.8 <= pauses[3] <= 5.2


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_what_passes_by_itself_is_tried_again(serve, status):
    server = serve(in_turn(Reply("oops", status), None, Reply("<html>", 200), Reply({"ok": 1})))
    told, pauses = [], []
    assert post(server.url, pauses=pauses, on_wait=told.append) == {"ok": 1}
    assert len(pauses) == 3
    assert len(told) == 1, "one sentence in half a minute is enough"
    assert f"status {status}: oops. Trying again." in told[0]


def test_patience_ends(serve):
    server = serve(lambda asked: Reply("<h1>Bad\n gateway</h1>", 502))
    pauses = []
    with pytest.raises(ServerError, match=r"/v1/completions: .* 502: <h1>Bad gateway<") as caught:
        post(server.url, pauses=pauses, patience=6)
    assert caught.value.status == 502
    assert len(server.asked) == len(pauses) + 1
    assert 3 <= len(pauses) <= 4
    assert sum(pauses) < 4 * 6


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply({"error": {"message": "no model x"}}, 404), "404: no model x."),
        (Reply({"error": "no model x"}, 404), "404: no model x."),
        (Reply({"detail": "Unexpected fields"}, 422), "422: Unexpected fields."),
        (Reply({"object": "error", "message": "too long"}, 400), "400: too long."),
        (Reply([1], 400), r"400: \[1\]."),
        (Reply("", 403), "403: Forbidden. Set the token in THEOBOT_SERVER_TOKEN."),
        (Reply({"error": {"message": "Invalid"}}, 401), "401: Invalid. Set the token in"),
        (Reply("", 307, {"Location": "http://127.0.0.1:1/"}), "307: Temporary Redirect."),
        (Reply("x" * 9999, 418), "418: x{300}.$"),
    ],
)
def test_a_refusal_is_told_at_once_in_the_servers_words(serve, reply, words):
    server = serve(lambda asked: reply)
    with pytest.raises(ServerError, match=words) as caught:
        post(server.url)
    assert caught.value.status == reply.status
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "body", ["<html>hello</html>", '{"cut": ', "[1, 2]", "null", "[" * 100_000, ""]
)
def test_what_is_no_object_is_no_answer(serve, body):
    server = serve(lambda asked: Reply(body))
    with pytest.raises(ServerError, match="no JSON object of this protocol"):
        post(server.url, patience=0)


def test_an_error_with_status_200_is_no_answer(serve):
    server = serve(lambda asked: Reply({"error": {"message": "out of memory"}}))
    with pytest.raises(ServerError, match="out of memory"):
        post(server.url, patience=0)


def test_a_connection_that_breaks_is_told(serve):
    server = serve(lambda asked: None)
    with pytest.raises(ServerError, match="connection broke") as caught:
        post(server.url, patience=0)
    assert caught.value.status is None


def test_nobody_there_is_told():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match="no server answers there") as caught:
            post(f"127.0.0.1:{port}", patience=0)
    assert caught.value.status is None


def test_a_slow_answer_ends_at_the_timeout(serve):
    done = threading.Event()
    server = serve(lambda asked: Reply({"ok": done.wait(60)}))
    with pytest.raises(ServerError, match="took too long"):
        post(server.url, patience=0, timeout=0.05)
    done.set()


def test_patience_counts_from_the_first_failure_not_from_the_question(serve):
    """An answer may take longer than all patience before the server goes down."""
    moments = itertools.count()

    def behave(asked):
        if next(moments) == 0:
            threading.Event().wait(0.3)
            return None
        return honest(asked)

    server = serve(behave)
    body = {"prompt": "Why?", "model": "base", "max_tokens": 1}
    assert post(server.url, body, patience=0.66, pauses=[])["choices"]
    assert len(server.asked) == 2


@pytest.fixture
def stoppable():
    """SIGTERM interrupts, as it does in a command."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGTERM, before) is signal.default_int_handler


def terminate() -> None:
    signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("ctrl_c", [signal.default_int_handler, signal.SIG_IGN])
def test_sigterm_cancels_and_breaks_into_no_step(stoppable, ctrl_c):
    seen = []

    async def work():
        try:
            terminate()
            seen.append("the step goes on")
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            seen.append("cleaned up")

    before = signal.signal(signal.SIGINT, ctrl_c)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(work())
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == ["the step goes on", "cleaned up"]


def test_sigterm_between_two_steps_of_the_loop_leaves_no_task_waiting(stoppable):
    """An exception there would lose the step that is taken next, and the loop never end."""
    once = asyncio.BaseEventLoop._run_once
    lines, first = inspect.getsourcelines(once)
    taken = first + next(n for n, line in enumerate(lines) if "_ready.popleft()" in line) + 1
    armed = False

    def trace(frame, event, argument):
        nonlocal armed
        if frame.f_code is once.__code__:
            if armed and frame.f_lineno == taken:
                armed = False
                terminate()
            return trace
        return None

    async def work():
        while True:
            await asyncio.sleep(0)

    async def main():
        nonlocal armed
        loop = asyncio.get_running_loop()
        loop.call_later(10, loop.stop)  # so that the test ends in any case
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(work())
            await asyncio.sleep(0)
            armed = True

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(main())
    finally:
        sys.settrace(before)
    assert not armed


def test_sigterm_before_the_first_step_cancels_the_work(stoppable, monkeypatch):
    seen = []
    begin = asyncio.run

    async def work():
        await asyncio.sleep(0)
        seen.append("went on")

    def terminated_first(main):
        terminate()
        return begin(main)

    monkeypatch.setattr(asyncio, "run", terminated_first)
    with pytest.raises(KeyboardInterrupt):
        run(work())
    assert seen == []


def test_sigterm_in_the_last_step_is_told_too(stoppable):
    async def ends():
        await asyncio.sleep(0)
        terminate()

    with pytest.raises(KeyboardInterrupt):
        run(ends())


def test_a_result_an_error_and_a_cancelled_task_come_through(stoppable):
    async def result():
        return 3

    async def error():
        raise ServerError("no")

    async def cancelled():
        raise asyncio.CancelledError

    assert run(result()) == 3
    with pytest.raises(ServerError):
        run(error())
    with pytest.raises(asyncio.CancelledError):
        run(cancelled())


def test_a_handler_of_somebody_elses_stays():
    told = []

    async def work():
        terminate()
        return "done"

    before = signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    try:
        assert run(work()) == "done"
    finally:
        signal.signal(signal.SIGTERM, before)
    assert told == [signal.SIGTERM]
