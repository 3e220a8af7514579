from __future__ import annotations

from theobot.curriculum.question_types import QUESTION_TYPES
from theobot.generation.scripted import ScriptedGenerator
from theobot.serving.about import about, citations
from theobot.serving.options import ServeOptions


def test_the_page_learns_who_answers_and_what_to_ask():
    told = about(ScriptedGenerator({}), ServeOptions(device="the CPU"))
    assert [model["id"] for model in told["models"]] == ["base", "theobot"]
    assert (told["base_model"], told["device"]) == ("scripted", "the CPU")
    assert [theme["id"] for theme in told["themes"]] == list("ABCDEF")
    assert all(len(theme["starters"]) == 3 for theme in told["themes"])
    assert [kind["id"] for kind in told["question_types"]] == list(QUESTION_TYPES)
    assert (told["scripture"]["on"], told["hints_first"]) == (False, {"on": False})
    assert told["class_code_needed"] is False
    assert told["logging"] is None


def test_citations_are_found_with_their_words():
    text = "🙏 See Micah 6:8, Genesis 60:5, Qur'an 2:256 and Psalm 119:1-20."
    found = {one.text: one for one in citations(text).citations}
    assert all(text[one.start : one.end] == one.text for one in found.values())
    micah = found["Micah 6:8"]
    assert micah.status == "exists"
    assert "do justly" in micah.verse_text
    assert micah.translation.startswith("American Standard")
    assert (found["Genesis 60:5"].status, found["Genesis 60:5"].verse_text) == ("missing", None)
    assert (found["Qur'an 2:256"].status, found["Qur'an 2:256"].verse_text) == ("exists", None)
    assert found["Psalm 119:1-20"].verse_text is None
