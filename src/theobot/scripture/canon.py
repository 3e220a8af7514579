"""Which chapters and verses the Bible has, in the English, Hebrew and Greek numbering.

The English numbering of the 66 books is `pythonbible`'s. Bibles of Jews, Catholics and Orthodox
Christians number some places differently or have more books; a place that stands in any of them
exists.
"""

from __future__ import annotations

from functools import cache

import pythonbible

from theobot.scripture.citation import EXISTS, Judgement, Status

# Books and additions that pythonbible lacks, or whose verses it counts wrongly: verses of each
# chapter in the NRSV, and after a stroke those of the longest edition where that has more (Vulgate,
# Douay-Rheims, King James, Septuagint), so that no true reference is called wrong. Compiled from
# the versification tables of the SWORD project (NRSVA, KJVA, Catholic, Vulg, LXX) and of the
# Copenhagen Alliance (eng, vul); each longest count stands in two of them at least, but for
# chapters 7 and 12 of 4 Maccabees, where the larger of two claims is kept.
_MORE_BOOKS = {
    title: [tuple(int(count) for count in chapter.split("/")) for chapter in counts.split()]
    for title, counts in {
        "Tobit": "22/25 14/23 17/25 21/23 22/28 18/22 16/20 21/24 6/12 13/14 18/21 22 17/23 15/17",
        "Judith": "16 28 10/15 15/17 24/29 21 32 36 14/19 23 23 20 20/31 19 14/15 25/31",
        "Wisdom": "16 24/25 19 20 23/24 25/27 30 21 18/19 21 26/27 27 19 31 19 29 21 25 22",
        "Sirach": "30/40 18/23 31/34 31/36 15/18 37 36/40 19/22 18/25 31/34 34/36 18/19 26/32 27 "
        "20/22 30/31 32 33 30 31/33 28/31 27/33 27/38 34/47 26/36 29 30/33 26/30 28/35 "
        "25/27 31/42 24/28 33 31 26 31 31/34 34/39 35/41 30/32 22/28 25/26 33/37 23/27 "
        "26/31 20/23 25/31 25/28 16/19 29/31 30/38",
        "Baruch": "22 35 37/38 37 9 73",
        "Letter of Jeremiah": "73",
        "Susanna": "64",
        "Bel and the Dragon": "42",
        "Prayer of Azariah": "68",
        "Prayer of Manasseh": "15",
        "1 Maccabees": "64/67 70 60 61 68 63 50 32 73 89 74 53/54 53/54 49 41 24",
        "2 Maccabees": "36 32/33 40 50 27 31 42 36 29 38 38 45/46 26 46 39/40",
        "3 Maccabees": "29 33 30 21 51 41 23",
        "4 Maccabees": "35 24 21 26 38 35 23/25 29 32 21 27 19/20 27 20 32 25 24 24",
        "1 Esdras": "58 30/31 24 63 73 34 15 96/97 55/56",
        "2 Esdras": "40 48 36 52 56 59 140 63 47 59/60 46 51 58 48 63 78",
    }.items()
}
_CATHOLIC: dict[str, dict[int, int]] = {
    "Daniel": {3: 100, 13: 65, 14: 42},
    "Esther": {10: 13, 11: 12, 12: 6, 13: 18, 14: 19, 15: 19, 16: 24},
}

# Chapters that are longer in Hebrew Bibles, whose divisions differ in places.
_HEBREW: dict[str, dict[int, int]] = {
    "Genesis": {32: 33},
    "Exodus": {7: 29, 21: 37},
    "Leviticus": {5: 26},
    "Numbers": {17: 28, 25: 19, 30: 17},
    "Deuteronomy": {13: 19, 23: 26, 28: 69},
    "1 Samuel": {21: 16, 24: 23},
    "2 Samuel": {19: 44},
    "1 Kings": {5: 32, 22: 54},
    "2 Kings": {12: 22},
    "1 Chronicles": {5: 41, 12: 41},
    "2 Chronicles": {1: 18, 13: 23},
    "Nehemiah": {3: 38, 10: 40},
    "Job": {40: 32},
    "Ecclesiastes": {4: 17},
    "Song of Songs": {7: 14},
    "Isaiah": {8: 23},
    "Jeremiah": {8: 23},
    "Ezekiel": {21: 37},
    "Daniel": {3: 33, 6: 29},
    "Hosea": {2: 25, 12: 15, 14: 10},
    "Joel": {4: 21},
    "Jonah": {2: 11},
    "Micah": {4: 14},
    "Nahum": {2: 14},
    "Zechariah": {2: 17},
    "Malachi": {3: 24},
}
# Psalms whose title is a verse of its own in Hebrew Bibles, so that the rest moves by one (or two).
_TITLED = frozenset(
    int(number)
    for number in "3 4 5 6 7 8 9 12 18 19 20 21 22 30 31 34 36 38 39 40 41 42 44 45 46 47 48 49 "
    "53 55 "
    "56 57 58 59 61 62 63 64 65 67 68 69 70 75 76 77 80 81 83 84 85 88 89 92 102 108 140 "
    "142".split()
)
_TWICE_TITLED = frozenset({51, 52, 54, 60})

# Verses that the ASV and most later translations leave out or put into a footnote.
_OMITTED: dict[str, frozenset[tuple[int, int]]] = {
    "Matthew": frozenset({(17, 21), (18, 11), (23, 14)}),
    "Mark": frozenset({(7, 16), (9, 44), (9, 46), (11, 26), (15, 28)}),
    "Luke": frozenset({(17, 36), (23, 17)}),
    "John": frozenset({(5, 4)}),
    "Acts": frozenset({(8, 37), (15, 34), (24, 7), (28, 29)}),
    "Romans": frozenset({(16, 24)}),
}
# Verses that some translations count and others join to the one before.
_SPLIT = {("3 John", 1): 15, ("Revelation", 12): 18}


@cache
def enum_of(title: str) -> pythonbible.Book | None:
    """Pythonbible's name of a book; None where it does not know the book, or not its verses."""
    if title in _MORE_BOOKS:
        return None
    number, _, name = title.partition(" ")
    written = f"{name}_{number}" if number.isdigit() else title
    return pythonbible.Book.__members__[written.upper().replace(" ", "_")]


@cache
def chapters(title: str) -> int:
    """How many chapters a book has in English Bibles."""
    book = enum_of(title)
    return int(pythonbible.get_number_of_chapters(book)) if book else len(_MORE_BOOKS[title])


@cache
def verses(title: str, chapter: int) -> int:
    """How many verses a chapter has in English Bibles; 0: there is no such chapter."""
    if not 1 <= chapter <= chapters(title):
        return 0
    book = enum_of(title)
    if book is None:
        return _MORE_BOOKS[title][chapter - 1][0]
    return int(pythonbible.get_number_of_verses(book, chapter))


def most_verses(title: str, chapter: int) -> int:
    """How many verses a chapter has in the edition that counts most; 0: there is no such chapter.

    Args:
        title: one of `books.TITLES`.
        chapter: number of the chapter.
    """
    longest = max(_CATHOLIC.get(title, {}).get(chapter, 0), _SPLIT.get((title, chapter), 0))
    longest = max(longest, _HEBREW.get(title, {}).get(chapter, 0), verses(title, chapter))
    if title == "Psalms" and chapter in _TITLED | _TWICE_TITLED:
        longest += 2 if chapter in _TWICE_TITLED else 1
    if longest and title in _MORE_BOOKS:
        longest = _MORE_BOOKS[title][chapter - 1][-1]
    return longest


def judge_chapter(title: str, chapter: int) -> Judgement:
    """Whether a book has a chapter; a chapter that exists is too broad to check."""
    if verses(title, chapter):
        name = "psalm" if title == "Psalms" else "chapter"
        return Judgement(Status.TOO_BROAD, f"a whole {name}; name the verses meant")
    if _elsewhere(title, chapter, 1):
        return Judgement(Status.TOO_BROAD, f"a whole chapter, {_elsewhere(title, chapter, 1)}")
    return Judgement(Status.MISSING, _no_chapter(title, chapter))


def judge_verse(title: str, chapter: int, verse: int) -> Judgement:
    """Whether a book has a verse."""
    if (chapter, verse) in _OMITTED.get(title, ()):
        return Judgement(Status.OMITTED, "omitted in many translations, or put into a footnote")
    count = verses(title, chapter)
    if 1 <= verse <= count:
        return EXISTS
    if verse >= 1 and (where := _elsewhere(title, chapter, verse)):
        return Judgement(Status.EXISTS, where)
    if not count:
        return Judgement(Status.MISSING, _no_chapter(title, chapter))
    place = f"{_singular(title)} {chapter}" if chapters(title) > 1 else title
    most = most_verses(title, chapter) if title in _MORE_BOOKS else count
    have = f"{count} verse{'s' if count != 1 else ''}"
    if most > count:
        have += f", in some editions {most}"
    return Judgement(Status.MISSING, f"{place} has {have}, so there is no verse {verse}")


def _elsewhere(title: str, chapter: int, verse: int) -> str:
    """Which other numbering has the place; empty: none."""
    if verse > most_verses(title, chapter):
        return ""
    if title in _MORE_BOOKS:
        return "in the numbering of some editions only"
    if verse <= _CATHOLIC.get(title, {}).get(chapter, 0):
        return "in Catholic and Orthodox Bibles"
    if verse <= _SPLIT.get((title, chapter), 0):
        return "a verse of its own in some translations only"
    return "in the numbering of Hebrew Bibles"


def _no_chapter(title: str, chapter: int) -> str:
    count = chapters(title)
    if title == "Psalms":
        more = "; Psalm 151 stands in Orthodox Bibles alone" if chapter == 151 else ""
        return f"there are {count} psalms, so there is no Psalm {chapter}{more}"
    have = f"{count} chapters" if count > 1 else "one chapter"
    return f"{title} has {have}, so there is no chapter {chapter}"


def _singular(title: str) -> str:
    return "Psalm" if title == "Psalms" else title
