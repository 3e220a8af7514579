"""What becomes of a question before a model sees it."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from theobot.config import ServeSettings
from theobot.data.prompt import Turn
from theobot.serving.conversation import plan_chat
from theobot.serving.engine import Work
from theobot.serving.options import ServeOptions
from theobot.serving.protocol import ChatRequest
from theobot.serving.replies import FixedReply
from theobot.serving.school import HINTS_PROMPT, REMINDER, SIGNPOST

PLAIN = ServeOptions()


def plan(*texts: str, options: ServeOptions = PLAIN, **extension):
    """The plan for a conversation in which both speak in turn."""
    roles = ("user", "assistant")
    body = {
        "model": "theobot",
        "messages": [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)],
        "theobot": extension or None,
    }
    return plan_chat(ChatRequest.model_validate(body), "theobot", options)


def asked(found) -> str:
    assert isinstance(found.work, Work)
    return found.work.prompt[-1].text


def with_settings(**settings) -> ServeOptions:
    return ServeOptions(settings=ServeSettings(**settings))


def test_an_ordinary_question_goes_to_the_model_as_it_is():
    found = plan("Why do some Christians oppose suicide?")
    assert found.work == Work(
        [Turn("user", "Why do some Christians oppose suicide?")], "theobot", 768, []
    )
    assert (found.given, found.notice) == ((), None)


def test_distress_gets_the_signpost_and_no_model_is_asked():
    found = plan("What is grace?", "A gift.", "I want to kill myself")
    assert isinstance(found.work, FixedReply)
    assert found.work.text == SIGNPOST
    assert found.work.finish == "stop"
    assert "No model" in found.notice


def test_after_distress_later_answers_have_a_reminder():
    found = plan("I want to die", SIGNPOST, "What is grace?")
    assert asked(found) == "What is grace?"
    assert found.notice == REMINDER


def test_what_the_filter_objects_to_is_not_asked():
    found = plan("How do I make a bomb?")
    assert isinstance(found.work, FixedReply)
    assert found.work.finish == "content_filter"
    assert found.notice == found.work.text


def test_another_filter_can_take_its_place():
    options = replace(PLAIN, check=lambda text: "No." if "grace" in text else None)
    assert plan("What is grace?", options=options).work.text == "No."
    assert asked(plan("How do I make a bomb?", options=options))
    assert asked(plan("What is grace?", options=replace(PLAIN, check=None)))


QUESTION = "What does Micah 6:8 teach, and Genesis 60:5?"


@pytest.mark.parametrize(
    ("by_default", "wanted", "given"),
    [(False, None, False), (True, None, True), (False, True, True), (True, False, False)],
)
def test_scripture_is_given_where_it_is_wanted(by_default, wanted, given):
    found = plan(QUESTION, options=with_settings(scripture=by_default), scripture=wanted)
    assert asked(found).endswith(QUESTION)
    assert (asked(found) != QUESTION) is given
    assert [one.reference for one in found.given] == ["Micah 6:8"] * given
    if given:
        assert found.given[0].text in asked(found)
        assert "Genesis 60:5 does not exist" in found.notice


@pytest.mark.parametrize(
    ("by_default", "wanted", "hints"),
    [(False, None, False), (True, None, True), (False, True, True), (True, False, False)],
)
def test_hints_come_first_where_they_are_wanted(by_default, wanted, hints):
    options = with_settings(hints_first=by_default)
    found = plan("What is {grace}?", options=options, hints_first=wanted)
    whole = HINTS_PROMPT.replace("{question}", "What is {grace}?")
    assert asked(found) == (whole if hints else "What is {grace}?")


@pytest.mark.parametrize("words", ["i just really ", "my friend ", "I want to ", "Micah 6:8 "])
def test_a_message_as_long_as_may_be_is_looked_at_in_time(words):
    text = (words * 50_000)[:50_000]
    before = time.process_time()
    assert asked(plan(text, scripture=True)).endswith(text)
    assert time.process_time() - before < 3
