"""The tables of chapters and verses, checked against the dependency and its text."""

import pytest
import pythonbible

from theobot.scripture import books, canon, find_citations


def test_every_title_has_chapters_and_verses():
    for title in books.TITLES:
        assert canon.chapters(title) >= 1
        assert all(canon.verses(title, number) for number in range(1, canon.chapters(title) + 1))


def test_the_protestant_bible_has_its_31_102_verses():
    protestant = [
        book for book in pythonbible.Book if book.value <= 66 and canon.enum_of(_title(book))
    ]
    total = sum(
        canon.verses(_title(book), chapter)
        for book in protestant
        for chapter in range(1, canon.chapters(_title(book)) + 1)
    )
    assert (len(protestant), total) == (66, 31_102)


def _title(book: pythonbible.Book) -> str:
    return next(title for title in books.TITLES if canon.enum_of(title) is book)


def test_the_omitted_verses_are_the_empty_ones_of_the_asv():
    empty = set()
    for book in pythonbible.Book:
        if book.value > 66 or book.value < 40:
            continue
        title = _title(book)
        for chapter in range(1, canon.chapters(title) + 1):
            for verse in range(1, canon.verses(title, chapter) + 1):
                verse_id = pythonbible.get_verse_id(book, chapter, verse)
                if not pythonbible.get_verse_text(verse_id):
                    empty.add((title, chapter, verse))
    omitted = {
        (title, chapter, verse)
        for title, chapter, verse in empty
        if canon.judge_verse(title, chapter, verse).status == "omitted"
    }
    assert empty == omitted
    assert len(empty) == 16


@pytest.mark.parametrize(("title", "chapter"), [("Genesis", 0), ("Genesis", 51), ("Jude", 2)])
def test_a_chapter_outside_the_book_is_missing(title, chapter):
    assert canon.judge_chapter(title, chapter).status == "missing"
    assert canon.judge_verse(title, chapter, 1).status == "missing"


@pytest.mark.parametrize(
    ("title", "last"),
    [
        ("Tobit", (14, 17)),
        ("Judith", (16, 31)),
        ("Wisdom", (19, 22)),
        ("Sirach", (51, 38)),
        ("Baruch", (6, 73)),
        ("1 Maccabees", (16, 24)),
        ("2 Maccabees", (15, 40)),
        ("3 Maccabees", (7, 23)),
        ("4 Maccabees", (18, 24)),
        ("1 Esdras", (9, 56)),
        ("2 Esdras", (16, 78)),
    ],
)
def test_the_books_of_catholic_and_orthodox_bibles_end_where_their_longest_edition_ends(
    title, last
):
    chapter, verse = last
    assert canon.chapters(title) == chapter
    assert canon.judge_verse(title, chapter, verse).status == "exists"
    assert canon.judge_verse(title, chapter, verse + 1).status == "missing"
    assert canon.judge_verse(title, chapter + 1, 1).status == "missing"


@pytest.mark.parametrize(
    "place",
    ["2 Maccabees 12:53", "2 Maccabees 9:73", "2 Maccabees 16:1", "Wisdom 1:77", "Wisdom 5:60",
     "1 Esdras 19:20", "Tobit 3:26", "Sirach 24:48", "1 Maccabees 1:68"],
)  # fmt: skip
def test_a_place_that_no_edition_has_is_missing(place):
    assert [one.status.value for one in find_citations(f"See {place}.")] == ["missing"]


@pytest.mark.parametrize(
    "place",
    ["Wisdom 19:22", "Wisdom 17:21", "Sirach 19:30", "Sirach 36:31", "2 Maccabees 12:44",
     "Tobit 4:15", "1 Esdras 4:63", "Judith 5:24"],
)  # fmt: skip
def test_a_place_of_the_nrsv_exists(place):
    (one,) = find_citations(f"See {place}.")
    assert (one.status.value, one.reason) == ("exists", "")


def test_a_place_that_only_other_editions_have_exists_with_a_word_about_it():
    """The Douay-Rheims has the prayer for the dead in 2 Maccabees 12:46."""
    (one,) = find_citations("See 2 Maccabees 12:46.")
    assert (one.status.value, one.reason) == (
        "exists",
        "in the numbering of some editions only",
    )
    (one,) = find_citations("See 2 Maccabees 12:47.")
    assert one.reason == (
        "2 Maccabees 12 has 45 verses, in some editions 46, so there is no verse 47"
    )


def test_no_edition_has_less_than_the_one_that_is_counted_first():
    for title in books.TITLES:
        for chapter in range(1, canon.chapters(title) + 1):
            assert canon.most_verses(title, chapter) >= canon.verses(title, chapter)
    assert canon.most_verses("Psalms", 51) == 21
    assert canon.most_verses("Daniel", 3) == 100
    assert canon.most_verses("Tobit", 15) == 0
