"""`theobot serve` as it is typed; what it does once it runs is in tests/pipeline/test_serve.py."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx2
import pytest

from theobot.cli import main
from theobot.config import ServeSettings


def typed(capsys, *tokens: str) -> tuple[int, str]:
    """Exit code and what went to stderr."""
    code = main(["serve", *tokens])
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (("--port", "70000"), "port = '70000'"),
        (("--token", "short"), "token = 'short'"),
        (("--class-code", "a b c d"), "class_code"),
        (("--max-new-tokens", "5000"), "2048"),
        (("--per-minute", "0"), "per_minute = '0'"),
        (("--filter", "nothing"), "filter"),
        (("--filter", "no.such.module:check"), "--filter no.such.module:check: cannot be loaded"),
        (("--filter", "theobot:__version__"), "--filter theobot:__version__: is no function"),
        (("--filter", "broken:check"), "--filter broken:check: cannot be loaded (SyntaxError: "),
        (("--filter", "fails:check"), "--filter fails:check: cannot be loaded (ZeroDivisionError"),
        (("--log", "/dev/null/x"), "--log /dev/null/x: cannot be used"),
        (("--host", "no.such.host.invalid"), "--host no.such.host.invalid"),
        (("--frost", "1"), "--frost"),
    ],
)
def test_a_mistake_is_a_sentence_before_any_model_is_loaded(capsys, monkeypatch, tokens, words):
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("broken.py").write_text("def check(text)\n", encoding="utf-8")
    Path("fails.py").write_text("1 / 0\n", encoding="utf-8")
    code, told = typed(capsys, *tokens, "--model", "no/such-model")
    assert code == 2
    assert words in told
    assert "Traceback" not in told
    assert "no/such-model" not in told


def test_a_port_that_is_taken(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, told = typed(capsys, "--port", port, "--model", "nano", "--base")
    assert code == 2
    assert f"--port {port}: cannot be used" in told
    assert "Choose another port" in told


def test_launchers_carry_what_was_typed_and_load_no_model(capsys):
    flags = ["--adapter", "runs/x/adapter", "--model", "no/such", "--scripture", "--port", "8123"]
    assert main(["serve", "--make-launcher", *flags, "--name", "a.example,b.example"]) == 0
    assert capsys.readouterr().out.split() == ["Theobot.bat", "Theobot.command"]
    script = Path("Theobot.command").read_text(encoding="utf-8")
    wanted = f"--adapter {Path.cwd()}/runs/x/adapter --model no/such --port 8123"
    assert wanted in script
    assert "--name a.example --name b.example --scripture" in script


def read_and_interrupt(address: str, events: list[dict]) -> None:
    """Follow a long stream; Ctrl-C comes with its first event."""
    asked = {
        "model": "base",
        "messages": [{"role": "user", "content": "Why?"}],
        "stream": True,
        "max_tokens": 900,
    }
    with (
        httpx2.Client(transport=httpx2.HTTPTransport(retries=8), timeout=120) as client,
        client.stream("POST", f"{address}/v1/chat/completions", json=asked) as answer,
    ):
        for line in filter(None, answer.iter_lines()):
            if not events:
                signal.raise_signal(signal.SIGINT)
            events.append(json.loads(line.removeprefix("data: ")))


def test_answers_cut_off_by_a_signal_end_with_an_error_and_exit_code_130(capsys):
    """The server runs in the main thread, where signals arrive, and its reader beside it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    events: list[dict] = []
    before = signal.getsignal(signal.SIGINT)
    reader = threading.Thread(
        target=read_and_interrupt, args=(f"http://127.0.0.1:{port}", events), daemon=True
    )
    reader.start()
    code, told = typed(capsys, "--model", "nano", "--base", "--port", str(port), "--grace", "0")
    reader.join(60)
    assert events[-1]["error"]["code"] == "stopping"
    assert code == 130
    assert "Ctrl-C ends it" in told
    assert "Traceback" not in told
    assert signal.getsignal(signal.SIGINT) is before


def test_what_people_are_told_at_the_start(capsys, tmp_path, monkeypatch):
    from theobot import cli_serve

    monkeypatch.delenv("THEOBOT_SERVER_TOKEN", raising=False)

    def told(**settings) -> str:
        options = cli_serve._options(ServeSettings(**settings))
        cli_serve._welcome("http://x:1/", options)
        seen = capsys.readouterr()
        assert seen.out == "http://x:1/\n"
        return seen.err

    assert "oken" not in told()
    open_to_others = told(host="0.0.0.0")
    (token,) = re.findall(r"Token, shown this once: (\S{32})\n", open_to_others)
    assert f"http://x:1/#token={token}" in open_to_others
    assert token not in told(host="0.0.0.0")
    assert "my-own-token" not in told(token="my-own-token")
    pupils = told(class_code="Micah-6-8", log=tmp_path)
    assert "Class code for pupils: Micah-6-8" in pupils
    assert "Token, shown this once" in pupils
    assert "kept for 30 days" in pupils
    monkeypatch.setenv("THEOBOT_SERVER_TOKEN", "from-the-environment")
    assert "from-the-environment" not in told(host="0.0.0.0")
    assert cli_serve._options(ServeSettings()).token == "from-the-environment"


def test_who_can_ask_from_elsewhere_has_a_limit_and_a_token():
    from theobot import cli_serve

    local, others = (cli_serve._options(ServeSettings(host=h)) for h in ("127.0.0.1", "0.0.0.0"))
    assert (local.token, local.per_client) == (None, None)
    assert others.token
    assert others.per_client == 8
    assert cli_serve._options(ServeSettings(per_client=3)).per_client == 3


def test_who_comes_through_a_proxy_needs_a_token(monkeypatch):
    from theobot import cli_serve

    monkeypatch.delenv("THEOBOT_SERVER_TOKEN", raising=False)
    options = cli_serve._options(ServeSettings(name=("re.school.example",)))
    assert options.token
    assert options.per_client is None


def test_the_address_carries_any_token():
    from theobot import cli_serve

    token = "a%20b#c/d?e&f"
    page = cli_serve._with_token("http://x:1/", token)
    assert page == "http://x:1/#token=a%2520b%23c%2Fd%3Fe%26f"
    assert unquote(urlsplit(page).fragment.removeprefix("token=")) == token
