"""The tables of chapters and verses, checked against the dependency and its text."""

import pytest
import pythonbible

from theobot.scripture import books, canon


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
