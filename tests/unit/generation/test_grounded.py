from __future__ import annotations

from theobot.data.prompt import Turn
from theobot.generation.generator import SCRIPTURE
from theobot.generation.grounded import GroundedGenerator, with_scripture
from theobot.generation.local import LocalGenerator
from theobot.generation.scripted import ScriptedGenerator

VERSE = [Turn("user", "What does Micah 4:3 teach about peace?")]
NONE = [Turn("user", "What is peace?")]
FORMATS = {"base": "seed", "theobot": "seed"}


def test_only_the_last_question_gets_the_words():
    turns = [*VERSE, Turn("assistant", "Micah 4:3 hopes for peace."), *VERSE]
    found = with_scripture(turns)
    assert found[:2] == turns[:2]
    assert "beat their swords into plowshares" in found[2].text
    assert found[2].text.endswith(VERSE[0].text)


def test_both_arms_are_theobot_and_one_is_given_the_words():
    asked = []

    def say(question: str, arm: str) -> str:
        asked.append((question, arm))
        return "swords" if "plowshares" in question else "peace"

    generator = GroundedGenerator(ScriptedGenerator(say))
    found = generator.answer_pairs([NONE, VERSE], formats=FORMATS, max_new_tokens=[5, 9])
    assert [(pair["base"].text, pair["theobot"].text) for pair in found] == [
        ("peace", "peace"),
        ("peace", "swords"),
    ]
    # The question without a verse is asked once, and nobody asks the base.
    assert len(asked) == 3
    assert {arm for _, arm in asked} == {"theobot"}
    assert generator.describe()["decoding"][SCRIPTURE].startswith("American Standard Version")
    assert "plowshares" in generator.render(VERSE, "theobot")
    assert "plowshares" not in generator.render(VERSE, "base")


def test_answers_are_those_of_the_model_asked_so(tiny_generator: LocalGenerator):
    generator = GroundedGenerator(tiny_generator)
    found = generator.answer_pairs([VERSE, NONE], formats=FORMATS, max_new_tokens=12)
    for turns, pair in zip([VERSE, NONE], found, strict=True):
        for arm, asked in (("base", turns), ("theobot", with_scripture(turns))):
            alone = tiny_generator.answer(
                [asked], "theobot", prompt_format="seed", max_new_tokens=12
            )
            assert [pair[arm]] == alone
            assert generator.answer([turns], arm, max_new_tokens=12) == alone
            streamed = list(generator.stream(turns, arm, 12))
            assert streamed[-1] == alone[0]
            assert generator.count_tokens(turns, arm) == tiny_generator.count_tokens(
                asked, "theobot"
            )
    assert generator.adapter_effect([VERSE]) is None
