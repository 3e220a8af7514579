import pytest

from theobot.data.prompt import Turn
from theobot.errors import AdapterError
from theobot.generation.generator import Answer
from theobot.generation.scripted import ScriptedGenerator

TURNS = [Turn("user", "Why?")]


def test_it_says_what_it_was_told():
    generator = ScriptedGenerator({"Why?": "Because it is."})
    assert generator.answer([TURNS], "base", max_new_tokens=9) == [
        Answer("Because it is.", "eos", 4)
    ]
    assert generator.answer([TURNS], "base", max_new_tokens=[2]) == [
        Answer("Because it", "length", 2)
    ]


def test_its_stream_joins_to_its_answer():
    generator = ScriptedGenerator(lambda question, arm: f"{arm} says: {question}")
    *pieces, last = generator.stream(TURNS, "theobot", 9)
    assert "".join(pieces) == last.text == "theobot says: Why?"


def test_its_pairs_are_the_answers_of_each_arm():
    generator = ScriptedGenerator(lambda question, arm: f"{arm} says: {question}")
    found = generator.answer_pairs(
        [TURNS, [Turn("user", "Who?")]],
        formats={"theobot": "seed", "base": "seed"},
        max_new_tokens=[2, 9],
    )
    assert found == [
        {
            "base": Answer("base says:", "length", 2),
            "theobot": Answer("theobot says:", "length", 2),
        },
        {
            "base": Answer("base says: Who?", "eos", 4),
            "theobot": Answer("theobot says: Who?", "eos", 4),
        },
    ]


def test_a_missing_arm_is_refused():
    with pytest.raises(AdapterError):
        ScriptedGenerator({}, arms=("base",)).answer([TURNS], "theobot", max_new_tokens=1)
