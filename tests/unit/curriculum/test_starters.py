from __future__ import annotations

from collections import Counter
from importlib.resources import files

from theobot.curriculum.question_types import QUESTION_TYPES, type_of
from theobot.curriculum.shares import THEMES
from theobot.curriculum.starters import STARTERS
from theobot.scripture import Status, find_citations
from theobot.scripture.texts import text_of


def test_three_for_each_theme_of_known_kinds():
    assert Counter(one.theme for one in STARTERS) == dict.fromkeys(THEMES, 3)
    assert {one.qtype for one in STARTERS} <= set(QUESTION_TYPES)


def test_the_marks_in_brackets_are_those_of_the_kind():
    for one in STARTERS:
        marks = type_of(one.text)
        assert marks is None or marks.marks == QUESTION_TYPES[one.qtype].marks


def test_their_references_exist_and_their_words_are_at_hand():
    found = [citation for one in STARTERS for citation in find_citations(one.text)]
    assert len(found) == sum(one.qtype == "scripture_message" for one in STARTERS)
    assert all(one.status is Status.EXISTS and text_of(one) for one in found)


def test_none_is_a_question_of_the_benchmark_nor_names_a_verse_of_it():
    folder = files("theobot.curriculum") / "questions"
    asked = "\n".join(
        file.read_text(encoding="utf-8")
        for file in folder.iterdir()
        if file.name.endswith("_questions.txt")
    )
    verses = {one.reference for one in find_citations(asked)}
    for one in STARTERS:
        assert one.text not in asked
        assert not {citation.reference for citation in find_citations(one.text)} & verses
