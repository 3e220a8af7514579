import pytest
from hypothesis import given
from hypothesis import strategies as st

from theobot.bench.questions import Question
from theobot.bench.scoring.checks import check_answer, check_of, check_problems


def question(text: str = "Q?", **meta: object) -> Question:
    return Question("q", "out_of_domain", text, 1, None, meta)


@pytest.mark.parametrize(
    ("kind", "value", "answer", "right"),
    [
        ("number", 54.4, "£54.40", True),
        ("number", 54.4, "64 - 9.60 = 54.40", True),
        ("number", 1250, "The total is 1,250 people.", True),
        ("number", -3, "x = \u22123", True),
        ("number", 0.75, "3/4", True),
        ("number", 12, "twelve", True),
        ("number", 12, "It is 13.", False),
        ("number", 12, "none", False),
        ("word", ["oxygen"], "Oxygen is given off.", True),
        ("word", ["oxygen"], "oxygenated", False),
        ("word", ["oxygen"], "It is not oxygen.", False),
        ("word", "equator", "the Equator", True),
        ("exact", ["red amber green"], " red amber green\n", True),
        ("exact", ["red amber green"], "Red amber green", False),
        ("regex", "[a-z]{3}", "abc", True),
        ("regex", "[a-z]{3}", "abcd", False),
        ("regex", "a+", "a" * 5000, False),
        ("words_exactly", 3, "one two three.", True),
        ("words_exactly", 3, "one two", False),
        ("lines_exactly", 2, "one\n\ntwo", True),
        ("lines_exactly", 2, "one", False),
        ("json", {"a": [1, True]}, '{"a": [1, true]}', True),
        ("json", {"a": 1}, '```json\n{"a": 1}\n```', True),
        ("json", {"a": 1}, '{"a": true}', False),
        ("json", {"a": 1}, "a: 1", False),
    ],
)  # fmt: skip
def test_answers_are_checked_by_kind(kind, value, answer, right):
    assert check_answer(question(), answer, kind, value).right is right


def test_an_empty_answer_is_wrong_and_choices_go_by_the_question():
    assert not check_answer(question(), " ", "word", ["x"]).right
    asked = question("Q? A) Get B) Siddur")
    assert check_answer(asked, "B", "choice", "B").right


def test_bullets_are_seen_where_none_were_wanted():
    asked = question("Give two lines, no bullet points.")
    assert not check_answer(asked, "- one\n- two", "lines_exactly", 2).right


def test_the_check_comes_from_check_or_from_expected():
    assert check_of(question(check={"kind": "number", "value": 1})) == ("number", 1)
    assert check_of(question("Q? A) Get B) Siddur", expected="b")) == ("choice", "B")
    assert check_of(question(expected="oxygen")) == ("word", ["oxygen"])
    assert check_of(question(expected="oxygen", key_points=[{}])) is None
    assert check_of(question()) is None


@pytest.mark.parametrize(
    "check",
    [
        "six",
        {"kind": "guess", "value": 1},
        {"kind": "number", "value": True},
        {"kind": "word", "value": []},
        {"kind": "choice", "value": "Z"},
        {"kind": "words_exactly", "value": 0},
        {"kind": "regex", "value": "("},
    ],
)
def test_a_wrong_check_is_told(check):
    assert len(check_problems(question(check=check).meta)) == 1


def test_sound_checks_are_not_told():
    assert check_problems(question().meta) == []
    assert check_problems(question(check={"kind": "python", "value": {}}).meta) == []
    assert check_problems(question(check={"kind": "regex", "value": "a+"}).meta) == []


@given(st.text(max_size=60), st.sampled_from(["number", "word", "json", "lines_exactly"]))
def test_any_answer_can_be_checked(answer, kind):
    value = {"number": 1, "word": ["x"], "json": {}, "lines_exactly": 1}[kind]
    assert check_answer(question(), answer, kind, value).right in {True, False}


def test_a_pattern_that_takes_for_ever_is_given_up():
    found = check_answer(question(), "a" * 3000, "regex", r"(a|aa)+(a|aa)+(a|aa)+b\1")
    assert not found.right
    assert "took more than" in found.note


@pytest.mark.parametrize("check", [{"kind": ["regex"]}, {"kind": "number", "value": 10**400}])
def test_checks_of_a_strange_kind_are_told(check):
    assert len(check_problems({"check": check})) == 1
