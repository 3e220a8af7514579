import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from theobot.bench.judge import prompts
from theobot.bench.judge.prompts import (
    Task,
    criteria_of,
    fence_for,
    messages_of,
    prompt_hash,
    read_reply,
    request_of,
    task_key,
)
from theobot.bench.marking import entries
from theobot.bench.marking.pack import page_part
from theobot.bench.questions import Question, read_questions

POINTS = [{"text": "Sewa", "marks": 1, "accept": ["service"]}, {"text": "Langar", "marks": 1}]
ASKED = Question("q", "in_domain", "Why?", 2, "A reference.", {"key_points": POINTS})
MARK, COMPARE = Task(ASKED, ("One.",)), Task(ASKED, ("One.", "Two."))
CRITERIA = {"task": 2, "scripture": 0, "reasoning": 1, "specific": 1, "clear": 2}


def mark_line(**changes):
    reply = {"check": "f1", "points": ["yes", "no"], "criteria": CRITERIA} | changes
    return json.dumps(reply)


def test_the_last_line_is_the_verdict():
    wanted = {"points": [True, False], "criteria": CRITERIA}
    assert read_reply(MARK, "f1", mark_line()) == wanted
    thoughts = f"Let me see.\n{mark_line(points=['no', 'no'])}\nNo, better:\n\n"
    assert read_reply(MARK, "f1", f"{thoughts}```json\n{mark_line()}\n```\n") == wanted
    assert read_reply(COMPARE, "f1", '{"check": "f1", "better": "tie"}') == {"better": "tie"}


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "A",
        mark_line(check="f2"),
        mark_line(points=["yes"]),
        mark_line(points=["yes", "no", "no"]),
        mark_line(points=["yes", True]),
        mark_line(criteria={**CRITERIA, "clear": 3}),
        mark_line(criteria={**CRITERIA, "clear": 1.5}),
        mark_line(criteria={**CRITERIA, "clear": True}),
        mark_line(criteria={**CRITERIA, "perspective": 1}),
        mark_line(criteria={key: 1 for key in CRITERIA if key != "task"}),
        mark_line(better="A"),
        mark_line() + " Well done.",
        mark_line() + "\nWell done.",
        f"[{mark_line()}]",
        mark_line()[:-1],
        '{"check": "f1", "points": ["\\ud800"], "criteria": {}}',
        '{"check": "f1", "better": "A"}',
    ],
)
def test_what_is_not_exactly_a_verdict_is_none(reply):
    assert read_reply(MARK, "f1", reply) is None


@pytest.mark.parametrize("better", ["a", "C", "", None, ["A"]])
def test_a_preference_is_a_b_or_tie(better):
    assert read_reply(COMPARE, "f1", json.dumps({"check": "f1", "better": better})) is None


@given(st.text())
def test_any_reply_can_be_read(reply):
    assert read_reply(MARK, "f1", reply) is None
    assert read_reply(COMPARE, "f1", reply) is None


def test_a_fence_that_occurs_is_replaced_by_another():
    first = fence_for("seed", ["text"])
    second = fence_for("seed", [f"text with {first} in it"])
    third = fence_for("seed", [first, second])
    assert len({first, second, third, fence_for("other", [])}) == 4
    assert fence_for("seed", ["else"]) == first


def test_the_same_request_is_the_same_bytes_and_another_try_is_not():
    assert request_of(COMPARE, "key 0") == request_of(COMPARE, "key 0")
    assert request_of(COMPARE, "key 0")[1] != request_of(COMPARE, "key 1")[1]


def test_hostile_characters_are_made_visible():
    evil = "One\u202e \x1b[31m \ud800"
    content = messages_of(Task(ASKED, (evil,)), "f1")[1]["content"]
    assert content.encode()
    assert not set("\u202e\x1b") & set(content)


def test_a_model_answer_is_shown_only_without_a_mark_scheme():
    assert "A reference." not in messages_of(COMPARE, "f")[1]["content"]
    bare = Task(ASKED._replace(meta={}), ("One.", "Two."))
    assert "A reference." in messages_of(bare, "f")[1]["content"]
    line = json.dumps({"check": "f", "points": [], "criteria": CRITERIA})
    assert read_reply(bare._replace(answers=("One.",)), "f", line) is not None


def test_the_key_changes_with_all_that_decides_a_verdict():
    other = [{**POINTS[0], "text": "Seva"}, POINTS[1]]
    tasks = [
        MARK,
        COMPARE,
        Task(ASKED, ("Two.", "One.")),
        Task(ASKED, ("One!",)),
        Task(ASKED._replace(text="How?"), ("One.",)),
        Task(ASKED._replace(meta={"key_points": other}), ("One.",)),
    ]
    keys = [task_key(task, "judge", "http://a/v1") for task in tasks]
    keys += [task_key(MARK, "other", "http://a/v1"), task_key(MARK, "judge", "http://b/v1")]
    assert len(set(keys)) == len(keys)
    assert len(prompt_hash()) == 64


def test_criteria_fit_the_question():
    assert criteria_of(ASKED) == list(CRITERIA)
    named = ASKED._replace(meta={"religions": ["Islam"]})
    assert "perspective" in criteria_of(named)
    assert criteria_of(ASKED._replace(set="out_of_domain")) == ["task", "specific", "clear"]


def test_no_request_about_a_shipped_question_names_an_arm():
    for question in read_questions():
        for answers in (("one",), ("one", "two")):
            text = messages_of(Task(question, answers), "f")[1]["content"].lower()
            assert "theobot" not in text
            assert "answer b" not in text or len(answers) == 2


def test_people_and_a_judge_are_asked_for_the_same_criteria():
    assert tuple(prompts.CRITERIA) == entries.CRITERIA
    listed = page_part("js").partition("const criteria = {")[2].partition("}")[0]
    assert tuple(line.split(":")[0].strip() for line in listed.split(",\n")[:-1]) == (
        entries.CRITERIA
    )
