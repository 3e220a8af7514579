from __future__ import annotations

import sys
from pathlib import Path

import pytest

from theobot.generation.scripted import ScriptedGenerator
from theobot.serving.filters import FAILED, load_filter
from theobot.serving.options import TextFilter

RULES = """\
def check(text):
    if "crash" in text:
        raise KeyError("a secret detail")
    if "odd" in text:
        return False
    return "No." if "exam" in text else None
"""


@pytest.fixture
def check(tmp_path, monkeypatch) -> TextFilter:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "my_rules", raising=False)
    Path("my_rules.py").write_text(RULES, encoding="utf-8")
    return load_filter("my_rules:check")


def test_one_of_ones_own_is_asked_after_the_built_in_one(check):
    assert check("an exam") == "No."
    assert check("How do I make a bomb?") not in (None, "No.")
    assert check("What is grace?") is None


@pytest.mark.parametrize(("text", "logged"), [("crash", "KeyError"), ("odd", "not False")])
def test_one_that_fails_objects_and_the_terminal_says_why(check, caplog, text, logged):
    assert check(text) == FAILED
    assert "--filter my_rules:check: failed" in caplog.text
    assert logged in caplog.text


@pytest.mark.parametrize("asked", ["crash now", "Why?"])
def test_one_that_fails_is_no_fault_of_the_server(open_server, check, asked):
    generator = ScriptedGenerator(lambda question, arm: "an answer that will crash it")
    client = open_server(generator, options={"check": check})
    body = {"model": "base", "messages": [{"role": "user", "content": asked}]}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200
    (choice,) = answer.json()["choices"]
    assert choice["finish_reason"] == "content_filter"
    assert choice["message"]["content"] == FAILED
    assert "secret" not in answer.text
