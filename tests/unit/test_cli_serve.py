"""`theobot serve` as it is typed; what it does once it runs is in tests/pipeline/test_serve.py."""

from __future__ import annotations

import json
import signal
import socket
import threading
from pathlib import Path

import httpx2
import pytest

from theobot.cli import main


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
        (("--log", "/dev/null/x"), "--log /dev/null/x: cannot be used"),
        (("--host", "no.such.host.invalid"), "--host no.such.host.invalid"),
        (("--frost", "1"), "--frost"),
    ],
)
def test_a_mistake_is_a_sentence_before_any_model_is_loaded(capsys, tokens, words):
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


def test_answers_cut_off_by_a_signal_end_with_an_error_and_exit_code_130(capsys):
    """Signals are this process's own: the server runs in the main thread, the reader beside it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    events: list[dict] = []

    def read() -> None:
        asked = {
            "model": "base",
            "messages": [{"role": "user", "content": "Why?"}],
            "stream": True,
            "max_tokens": 900,
        }
        address = f"http://127.0.0.1:{port}/v1/chat/completions"
        transport = httpx2.HTTPTransport(retries=5)
        with (
            httpx2.Client(transport=transport, timeout=120) as client,
            client.stream("POST", address, json=asked) as answer,
        ):
            for line in answer.iter_lines():
                if line and not events:
                    signal.raise_signal(signal.SIGINT)
                if line:
                    events.append(json.loads(line.removeprefix("data: ")))

    reader = threading.Timer(0.0, read)
