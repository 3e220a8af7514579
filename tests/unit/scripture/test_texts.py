from __future__ import annotations

import pytest

from theobot.scripture.finder import find_citations
from theobot.scripture.texts import MOST_VERSES, TRANSLATION, VerseText, text_of


def words(text: str) -> VerseText | None:
    (citation,) = find_citations(text)
    return text_of(citation)


def test_one_verse_and_a_short_range():
    assert words("John 11:35") == VerseText("John 11:35", "Jesus wept.", TRANSLATION)
    both = words("Matt 5:38-39")
    assert both.reference == "Matthew 5:38-39"
    assert both.text.startswith("Ye have heard")
    assert "turn to him the other also" in both.text


@pytest.mark.parametrize(
    "text",
    ["Genesis 60:5", "Matthew 5", "Qur'an 2:256", "Tobit 4:15", f"Psalm 23:1-{MOST_VERSES + 1}",
     "Genesis 1:30-2:7", "Acts 8:37",
     "Genesis 32:32-33", "Psalm 3:8-9", "Malachi 3:18-19", "Wisdom 19:22", "2 Maccabees 12:44"],
)  # fmt: skip
def test_nothing_is_given_for(text: str):
    assert words(text) is None


def test_over_the_end_of_a_chapter():
    assert words("Genesis 1:31-2:1").text.endswith("all the host of them.")
