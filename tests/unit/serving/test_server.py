from __future__ import annotations

import json
import socket
import threading
from contextlib import ExitStack

import httpx2
import pytest

from theobot.config import ServeSettings
from theobot.errors import SettingsError
from theobot.generation.scripted import ScriptedGenerator
from theobot.serving.options import ServeOptions
from theobot.serving.server import at_home, listen, serving_in_thread


@pytest.mark.parametrize("host", ["192.0.2.1", "no host"])
def test_a_host_that_is_not_this_machine_is_a_sentence(host):
    with pytest.raises(SettingsError, match=r"cannot be used \([^()]+\)\. Choose another port"):
        listen(host, 0)


def test_options_learn_the_port_and_the_device():
    class Computing(ScriptedGenerator):
        def describe(self):
            return {**super().describe(), "decoding": {"device": "cpu", "dtype": "float32"}}

    with listen("127.0.0.1", 0) as listening:
        options = ServeOptions(settings=ServeSettings(name=("a.example",)))
        options = at_home(options, listening, Computing({}))
        assert options.device == "cpu, float32"
        assert options.hosts.accept(f"localhost:{listening.getsockname()[1]}")
        assert options.hosts.accept("a.example")
        assert at_home(options, listening, ScriptedGenerator({})).device == ""


def test_at_its_end_answers_are_cut_off_with_an_error_and_the_port_is_free(gated):
    body = {"model": "base", "messages": [{"role": "user", "content": "x"}], "stream": True}
    with ExitStack() as server, httpx2.Client() as client:
        url = server.enter_context(serving_in_thread(gated))
        with client.stream("POST", f"{url}/v1/chat/completions", json=body) as answer:
            # The step that is under way ends a little after the server was told to stop.
            threading.Timer(0.2, gated.let, args=(1,)).start()
            server.close()
            last = [line for line in answer.iter_lines() if line][-1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "stopping"
    with socket.create_server(("127.0.0.1", httpx2.URL(url).port)):
        pass
