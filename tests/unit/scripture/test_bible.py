"""References to the Bible: what counts as one, where it stands, and whether it exists."""

import re
from itertools import pairwise

import pytest

from theobot.scripture import find_citations

NONE: list[tuple[str, str, str]] = []


def found(text: str) -> list[tuple[str, str, str]]:
    return [(one.text, one.reference, one.status.value) for one in find_citations(text)]


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("Deut 24:17", "Deuteronomy 24:17"),
        ("Deut. 24:17", "Deuteronomy 24:17"),
        ("Deuteronomy 24.17", "Deuteronomy 24:17"),
        ("Deuteronomy 24 v 17", "Deuteronomy 24:17"),
        ("Deuteronomy 24, verse 17", "Deuteronomy 24:17"),
        ("Deuteronomy chapter 24 verse 17", "Deuteronomy 24:17"),
        ("Eph 5v25", "Ephesians 5:25"),
        ("Exodus 20 1-17", "Exodus 20:1-17"),
        ("Mark's Gospel 1:9-11", "Mark 1:9-11"),
        ("Mark’s Gospel 1:9–11", "Mark 1:9-11"),
        ("Deut 24:17–18", "Deuteronomy 24:17-18"),
        ("Deut 24:17—18", "Deuteronomy 24:17-18"),
        ("Matthew 5:38-9", "Matthew 5:38-39"),
        ("1 Cor 11:23-6", "1 Corinthians 11:23-26"),
        ("I Corinthians 13:4", "1 Corinthians 13:4"),
        ("First Corinthians 13:4", "1 Corinthians 13:4"),
        ("First Letter to the Corinthians 13:4", "1 Corinthians 13:4"),
        ("Second Book of Kings 4:1", "2 Kings 4:1"),
        ("1Cor 13:4", "1 Corinthians 13:4"),
        ("2nd Timothy 3:16", "2 Timothy 3:16"),
        ("Dt 24:17", "Deuteronomy 24:17"),
        ("Gn 1:1", "Genesis 1:1"),
        ("Ex 20:3", "Exodus 20:3"),
        ("Lv 19:18", "Leviticus 19:18"),
        ("Mt 5:9", "Matthew 5:9"),
        ("Rm 8:28", "Romans 8:28"),
        ("Am 5:24", "Amos 5:24"),
        ("Revelations 21:4", "Revelation 21:4"),
        ("Hebrews13:4", "Hebrews 13:4"),
        ("Genesis 1:1-2:3", "Genesis 1:1-2:3"),
        ("Gen 1:26f", "Genesis 1:26"),
        ("Gen 2:4b-25", "Genesis 2:4-25"),
        ("Jude 3", "Jude 3"),
        ("Philemon 1:16", "Philemon 16"),
        ("John iii. 16", "John 3:16"),
        ("Matt. v. 9", "Matthew 5:9"),
        ("John chapter three, verse sixteen", "John 3:16"),
        ("verse 9 of Matthew 5", "Matthew 5:9"),
        ("chapter 5 verse 9 of Matthew", "Matthew 5:9"),
        ("Luke, chapter 10, verses 25 to 37", "Luke 10:25-37"),
        ("Acts of the Apostles 2:38", "Acts 2:38"),
        ("Song of Songs 8:6-7", "Song of Songs 8:6-7"),
        ("Ecclus 3:1", "Sirach 3:1"),
        ("Qoh 3:1", "Ecclesiastes 3:1"),
        ("Bereishit 1:27", "Genesis 1:27"),
        ("Tobit 4:15", "Tobit 4:15"),
        ("Judith 8:1", "Judith 8:1"),
        ("Baruch 3:9", "Baruch 3:9"),
        ("2 Maccabees 12:46", "2 Maccabees 12:46"),
        ("3 Kings 19:12", "1 Kings 19:12"),
        ("john 3:16", "John 3:16"),
    ],
)
def test_a_form_in_use_is_read_whole(text, reference):
    assert found(text) == [(text, reference, "exists")]
    inside = f"Many Christians point to {text}, which matters."
    assert found(inside) == [(text, reference, "exists")]


@pytest.mark.parametrize(
    "text",
    [
        "he acts 2:30 pm",
        "Acts 2:30 pm",
        "Romans 2:30 p.m.",
        "job 3:15 shift",
        "Job 3:15 shift",
        "mark 5:1 ratio",
        "Numbers 3:2 ratio",
        "numbers 3:2",
        "Please mark 4 of them",
        "Mark 4 marks",
        "Mark 4.5 out of 10",
        "Mark 7 out of 10",
        "Daniel 12 years old",
        "Luke 10 people",
        "Luke won 2:1",
        "James 5 ft",
        "John 5 years later",
        "Judges, Romans and Song are books; John Paul II was a pope",
        "chapter 3:16 ratio, at 10:30",
        "civil law and I mark 5 papers",
        "Genesis 2.0",
        "Kings 2:1 Queens",
        "Exodus 5 people left",
        "Act 3, scene 2",
        "Andy beat Paul 6:4.",
        "Titus 4 was ill",
    ],
)
def test_a_time_a_score_or_a_person_is_no_reference(text):
    assert found(text) == NONE


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Genesis 60:5", "Genesis has 50 chapters, so there is no chapter 60"),
        ("Genesis 1:99", "Genesis 1 has 31 verses, so there is no verse 99"),
        ("Psalm 23:7", "Psalm 23 has 6 verses, so there is no verse 7"),
        ("Jude 26", "Jude has 25 verses, so there is no verse 26"),
        ("Matthew 5:9-7", "the range runs backwards"),
        ("Genesis 1:30-40", "Genesis 1 has 31 verses, so there is no verse 40"),
        ("3 Corinthians 1:1", "the Bible has no book 3 Corinthians"),
        ("Hezekiah 3:16", "the Bible has no book of Hezekiah"),
        ("2 Kings 26", "2 Kings has 25 chapters, so there is no chapter 26"),
        ("3 John 16", "3 John has 14 verses, so there is no verse 16"),
    ],
)
def test_what_does_not_exist_is_told_with_the_reason(text, why):
    (citation,) = find_citations(text)
    assert (citation.text, citation.status, citation.reason) == (text, "missing", why)


def test_psalm_151_is_missing_from_the_bibles_used_in_britain():
    (citation,) = find_citations("Psalm 151:1")
    assert citation.status == "missing"
    assert "Orthodox" in citation.reason


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("Malachi 3:19", "Hebrew"),
        ("Joel 4:10", "Hebrew"),
        ("Psalm 3:9", "Hebrew"),
        ("Psalm 51:21", "Hebrew"),
        ("Daniel 13:1", "Catholic"),
        ("3 John 15", "some translations"),
    ],
)
def test_another_numbering_is_no_error(text, where):
    (citation,) = find_citations(text)
    assert citation.status == "exists"
    assert where in citation.reason


@pytest.mark.parametrize("text", ["Acts 8:37", "Matthew 17:21", "Mark 9:44", "Romans 16:24"])
def test_a_verse_that_many_translations_lack_is_omitted(text):
    assert [status for _, _, status in found(text)] == ["omitted"]


@pytest.mark.parametrize(
    "text", ["Genesis 1", "Psalm 23", "Genesis 1-3", "in Mark 4", "Romans 8 says"]
)
def test_a_whole_chapter_is_too_broad(text):
    assert [status for _, _, status in found(text)] == ["too_broad"]


def test_a_letter_without_its_number_cannot_be_verified():
    assert found("Corinthians 13:4") == [("Corinthians 13:4", "Corinthians 13:4", "unverifiable")]
    assert found("Corinthians 99:1")[0][2] == "missing"


def test_a_list_carries_the_book_and_the_chapter_forward():
    text = "(Matthew 5:3-12, 38-48; 7:1) and Romans 12:17-18, 21; 1 John 4:8, 2 Cor 9:7"
    assert [reference for _, reference, _ in found(text)] == [
        "Matthew 5:3-12",
        "Matthew 5:38-48",
        "Matthew 7:1",
        "Romans 12:17-18",
        "Romans 12:21",
        "1 John 4:8",
        "2 Corinthians 9:7",
    ]


def test_two_books_in_one_range_are_two_references():
    text = "Gen 99:1 - Exodus 2:3"
    assert [status for _, _, status in found(text)] == ["missing", "exists"]


def test_an_item_number_is_no_number_of_a_book():
    assert found("3. John 3:16") == [("John 3:16", "John 3:16", "exists")]


def test_spans_hold_in_the_original_text():
    text = "“So God…” (Genesis\u00a01:27) – see Qur’an 2:256; Deut 24:17–18."
    for citation in find_citations(text):
        assert text[citation.start : citation.end] == citation.text
    assert len(find_citations(text)) == 3


def test_no_span_overlaps_another():
    text = "Surah Jonah 10:99; Surah 4 (An-Nisa) verse 34; 1 John 4:8 and John 4:8; "
    text += "Guru Granth Sahib, Ang 8"
    spans = [(one.start, one.end) for one in find_citations(text)]
    assert spans == sorted(spans)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    assert len(spans) == 5


def test_ordinary_prose_holds_no_reference():
    prose = "In 2021 there were 12 pupils, 3:16 on the clock, and 4 marks for each of 5 answers. "
    assert not re.search("Genesis", prose)
    assert found(prose * 20) == NONE


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("chapter 4 of First\r\nJohn", "1 John 4"),
        ("verse 8 of First\r\nJohn 4", "1 John 4:8"),
        ("chapter 4 of 1\u2003John", "1 John 4"),
        ("chapter 4 of 1st. John", "1 John 4"),
        ("First\r\nJohn 4:8", "1 John 4:8"),
        ("Matthew\r\n5:9", "Matthew 5:9"),
        ("\u0131 John 4:8", "1 John 4:8"),
        ("1nd John 4:8", "1 John 4:8"),
        ("Matthew \u0130V:3", "Matthew 4:3"),
        ("Matthew chapter \u017fix verse 3", "Matthew 6:3"),
        ("P\u017falms 23:1", "Psalm 23:1"),
        ("Mar\u212a 4:3", "Mark 4:3"),
    ],
)
def test_letters_and_spaces_of_other_texts_are_read_like_ours(text, reference):
    (one,) = find_citations(f"See {text}.")
    assert (one.text, one.reference) == (text, reference)


def test_a_number_that_no_book_has_may_be_written_in_any_way():
    assert [status for *_, status in found("See 4\u2003Corinthians 1:2 and \u0131V John 1:2.")] == [
        "missing",
        "missing",
    ]


ODD = [
    "\u017f",
    "\u0131",
    "\u0130",
    "\u212a",
    "\r\n",
    "\u2003",
    "\u2028",
    "\x85",
    "\x1f",
    "\t",
    "\v",
]


@pytest.mark.parametrize("odd", ODD)
def test_no_text_with_odd_letters_or_spaces_ends_in_an_error(odd):
    texts = [
        "chapter six of First Corinthians; verse 8 of III John 1; 4 Kings 2:3; 2nd Peter iv. 3",
        "Mishnah Rosh Hashanah 1:2; Shabbat 31a; Baba Metzia 59b; Talmud Kiddushin 30b",
        "Surah Al-Ikhlas 112:1; Sahih Muslim 16; Dhammapada 5; Guru Granth Sahib 473; CCC 2267",
        "Bhagavad Gita 2:47; page 3 of the Catechism; paragraph 4 of the Dhammapada; HV 14",
    ]
    letters = {"\u017f": "sS", "\u0131": "iI", "\u0130": "iI", "\u212a": "kK"}.get(odd, " ")
    for text in texts:
        places = [at for at, letter in enumerate(text) if letter in letters]
        changed = [text[:at] + odd + text[at + 1 :] for at in places]
        for one in [*changed, re.sub(f"[{letters}]", odd, text)]:
            assert all(one[c.start : c.end] == c.text for c in find_citations(one))
