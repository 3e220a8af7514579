"""References to the Bible in free text, with their places in it.

The text is never rewritten: dashes, spaces and quotation marks are made alike letter for letter, so
every span holds in the original. Words such as "chapter" and "verse" are read where they stand.
Not covered: a verse named without its book ("verse 18" in a later sentence).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from theobot.scripture import books, canon
from theobot.scripture.citation import (
    Citation,
    Judgement,
    Status,
    is_age,
    is_cited,
    is_clock_or_score,
    is_closed,
    is_count,
)
from theobot.scripture.places import SPELT, Place, complete, judge, read_verses, value_of

_NAME = re.compile(
    rf"(?<![A-Za-z0-9])(?P<number>{books.NUMBER_PATTERN}"
    r"(?:(?:letter|epistle|book|gospel)\s+(?:of|to)\s+(?:the\s+)?(?:st\.?\s+)?)?)?"
    rf"(?P<book>{books.NAME_PATTERN})(?![A-Za-z])",
    re.IGNORECASE,
)
_CHAPTER = re.compile(
    r"\.?(?:'s?)?(?:\s+(?:gospel|letter|epistle)\b)?[ \t,]*\n?[ \t]*(?P<open>\(\s?)?"
    r"(?:(?P<key>chapters?|chapt|chaps?|chs?|cc?|ps|psalms?)\b\.?\s*|(?P<verse_key>verses?"
    r"|vv?)(?![a-z])\.?\s*)?"
    r"(?:(?P<digits>\d{1,3})(?![\d])|(?P<roman>[ivxlc]+|[IVXLC]+)\b(?=\.?\s?[:.,]\s?\d)"
    rf"|(?P<spelt>{SPELT})\b)",
    re.IGNORECASE,
)
_VERSE_SIGN = re.compile(
    r"\s?(?P<colon>:)\s?(?=\d)|(?P<dot>\.)(?=\d)"
    rf"|[\s,]*\(?(?P<key>verses?|ver\.|vss?\.|vv?\.?)\s*(?=\d|(?:{SPELT})\b)"
    r"|(?P<space>\s)(?=\d{1,3}-\d{1,3}(?!\d))",
    re.IGNORECASE,
)
_ROMAN_SIGN = re.compile(r"\.?\s?[:.,]?\s?(?=\d)")
_CHAPTER_RANGE = re.compile(r"\s?-\s?(?P<last>\d{1,3})(?!\d)(?:[:.](?P<verse>\d{1,3})(?!\d))?")
_OF_BOOK = (
    r"\s+(?:of|in|from)\s+(?:the\s+)?(?:(?:book|gospel|letter|epistle)\s+(?:of|to"
    r"|according\s+to)\s+"
    rf"(?:the\s+)?)?(?:(?:st\.?|saint)\s+)?(?P<number>{books.NUMBER_PATTERN})?"
    rf"(?P<book>{books.NAME_PATTERN})(?![A-Za-z])"
)
_CHAPTER_FIRST = re.compile(
    rf"\b(?:chapter|ch\.?)\s+(?P<chapter>\d{{1,3}}|{SPELT})"
    rf"(?:,?\s+(?:verses?|vv?\.?)\s*(?P<first>\d{{1,3}})(?:\s?-\s?(?P<last>\d{{1,3}}))?)?{_OF_BOOK}"
    r"(?!\s*(?:chapter\s+)?\d)",
    re.IGNORECASE,
)
_VERSE_FIRST = re.compile(
    rf"\b(?:verses?|vv?\.)\s+(?P<first>\d{{1,3}})(?:\s?(?:-|to)\s?(?P<last>\d{{1,3}}))?{_OF_BOOK}"
    r",?\s+(?:chapter\s+|ch\.?\s*)?(?P<chapter>\d{1,3})(?!\d|[:.]\d)",
    re.IGNORECASE,
)
_PERSON = re.compile(
    rf"\b(?P<person>{'|'.join(books.PERSONS)}),?\s+(?:chapter\s+)?\d{{1,3}}(?::|,?\s+verse\s+)"
    r"\d{1,3}(?!\d)(?:-\d{1,3}(?!\d))?"
)
_MISSPELT = re.compile(
    rf"(?<![A-Za-z0-9])(?P<number>(?i:{books.NUMBER_PATTERN}))?(?P<book>[A-Za-z][a-z]{{4,}})"
    r"\s+\d{1,3}(?:\s?:\s?|\s?v\.?\s?)\d"
)
# "Dan 3, Sophie 2" is a score, and "John, 3, was baptised" an age.
_SCORE = re.compile(r",\s*(?:and\s+)?(?P<other>[A-Z][a-z]+)\s+\d{1,2}(?::\d\d)?(?![\d:])")
_SIBLING = re.compile(r",\s+[A-Z][a-z]+\s+\d{1,2}\b")
_LIST_NUMBER = re.compile(r"(?:\b(?:see|in|from|and|of|cf\.?)\s+|\()$", re.IGNORECASE)


def find(plain: str) -> Iterator[Citation]:
    """Find references to the Bible.

    Args:
        plain: the text after `citation.plain`.
    """
    yield from _find_reversed(plain)
    yield from _find_persons(plain)
    yield from _find_misspelt(plain)
    at = 0
    while (match := _NAME.search(plain, at)) is not None:
        citations = list(_read(plain, match))
        at = citations[-1].end if citations else _next_name(plain, match)
        yield from citations


def _next_name(plain: str, match: re.Match[str]) -> int:
    # A number that belongs to no such book may begin another one: "3:16, 1 John".
    return (
        match.start("book")
        if match["number"] and match.start() != match.start("book")
        else (match.end())
    )


def _read(plain: str, match: re.Match[str]) -> Iterator[Citation]:
    """The citations that begin with one book's name."""
    number, written = match["number"], match["book"]
    number = number.split()[0] if number else None
    digit = re.match(r"[1-4](?:st|nd|rd|th)?", number, re.IGNORECASE) if number else None
    number = digit[0] if digit else number.rstrip(".") if number else None
    name = books.look_up(number, written)
    start = match.start()
    if number and (name is None or _is_list_number(plain, match, written)):
        if name is None and _means_number(plain, match, number, written):
            yield from _no_such_book(plain, match, number)
            return
        number, start = None, match.start("book")
        name = books.look_up(None, written)
    if name is None:
        return
    places = _places(plain, match.end("book"), start, name)
    if not places or not _accepted(plain, match, name, number, places[0]):
        return
    for place in places:
        yield _citation(plain, place, name.titles)


def _is_list_number(plain: str, match: re.Match[str], written: str) -> bool:
    """Whether "3. John 3:16" is the third item of a list rather than the third letter."""
    line = plain[plain.rfind("\n", 0, match.start()) + 1 : match.start()]
    number = match["number"]
    return (
        "." in number
        and not line.strip()
        and books.look_up(None, written) is not None
        and (len(books.SINGLE[books.fold(written)].titles) == 1)
    )


def _means_number(plain: str, match: re.Match[str], number: str, written: str) -> bool:
    """Whether a number before a book that has none is meant as part of its name."""
    if books.is_numbered_family(written):
        return (
            books.look_up(None, written) is None
            or not number[0].isdigit()
            or (len(books.SINGLE[books.fold(written)].titles) > 1)
        )
    before = plain[max(0, match.start() - 8) : match.start()]
    return number.lower() != "i" and _LIST_NUMBER.search(before) is not None


def _no_such_book(plain: str, match: re.Match[str], number: str) -> Iterator[Citation]:
    reading = books.look_up(None, match["book"])
    anything = reading or books.Name(("1 Corinthians",), False, False, False)
    places = _places(plain, match.end("book"), match.start(), anything)
    if places and places[0].verse is not None and match["book"][:1].isupper():
        place = places[0]
        text = plain[place.start : place.end]
        name = f"{books.number_of(number)} {match['book']}"
        why = f"the Bible has no book {name}"
        yield Citation(place.start, place.end, text, "bible", text, Status.MISSING, why)


def _find_persons(plain: str) -> Iterator[Citation]:
    """Find "Hezekiah 3:16": persons of the Bible who have no book."""
    for match in _PERSON.finditer(plain):
        start, end = match.span()
        meant = match["person"] == "Hezekiah" or is_cited(plain, start, end)
        if meant and not is_clock_or_score(plain, end):
            why = f"the Bible has no book of {match['person']}"
            yield Citation(start, end, match[0], "bible", match[0], Status.MISSING, why)


def _find_misspelt(plain: str) -> Iterator[Citation]:
    """Find "Genisis 1:1": a word that is nearly a book's name, with chapter and verse."""
    for match in _MISSPELT.finditer(plain):
        number = match["number"].split()[0] if match["number"] else None
        if books.look_up(number, match["book"]) or books.fold(match["book"]) in books.SINGLE:
            continue
        name = books.nearest(number, match["book"])
        if name is None or not (
            match["book"][0].isupper() or is_cited(plain, match.start("book"), match.end())
        ):
            continue
        places = _places(plain, match.end("book"), match.start(), name)
        if places and not is_clock_or_score(plain, places[0].end):
            yield from (_citation(plain, place, name.titles) for place in places)


def _find_reversed(plain: str) -> Iterator[Citation]:
    """Find "chapter 5 of Matthew" and "verse 9 of Matthew 5"."""
    for pattern in (_CHAPTER_FIRST, _VERSE_FIRST):
        for match in pattern.finditer(plain):
            name = books.look_up(match["number"], match["book"])
            if name is None or not match["book"][0].isupper():
                continue
            chapter = value_of(match["chapter"])
            first = int(match["first"]) if match["first"] else None
            last = complete(first, match["last"]) if match["last"] and first else first
            place = Place(match.start(), match.end(), chapter, first, chapter, last)
            if match.re is _CHAPTER_FIRST or not is_count(plain, match.end()):
                yield _citation(plain, place, name.titles)


def _places(plain: str, at: int, start: int, name: books.Name) -> list[Place]:
    """Read chapter, verses and further items after a book's name; empty: no reference."""
    match = _CHAPTER.match(plain, at)
    if match is None:
        return []
    single = name.titles[0] in books.SINGLE_CHAPTER
    roman_five = match["digits"] and plain.startswith("v. ", match.start("verse_key"))
    if match["verse_key"] and not single and roman_five:
        return read_verses(plain, match.start("digits"), start, 5, ".")  # "Matt. v. 9"
    if (match["spelt"] and not match["key"]) or (match["verse_key"] and not single):
        return []
    number = match["digits"] or match["roman"] or match["spelt"]
    chapter = value_of(number)
    sign = (_ROMAN_SIGN if match["roman"] else _VERSE_SIGN).match(plain, match.end())
    if chapter == 0 and not sign:
        return []
    if match["roman"] and (sign is None or match["verse_key"]):
        return []
    if sign is None:
        if match["open"] and not match["key"]:
            return []
        if single and match["digits"] and not match["key"]:
            return read_verses(plain, match.start("digits"), start, 1, "")
        return [_chapters(plain, start, match.end(), chapter)]
    group = sign.lastgroup or "roman"
    if group == "space" and (name.weak or is_count(plain, sign.end())):
        return []
    if group == "dot" and plain[sign.end()] == "0":
        return []
    mark = {"colon": ":", "dot": "."}.get(group, "v")
    return read_verses(plain, sign.end(), start, chapter, mark)


def _chapters(plain: str, start: int, end: int, chapter: int) -> Place:
    match = _CHAPTER_RANGE.match(plain, end)
    if match is None or is_count(plain, match.end()):
        return Place(start, end, chapter, None, chapter, None)
    last = complete(chapter, match["last"])
    if match["verse"]:
        return Place(start, match.end(), chapter, 1, last, int(match["verse"]))
    return Place(start, match.end(), chapter, None, last, None)


def _accepted(
    plain: str, match: re.Match[str], name: books.Name, number: str | None, place: Place
) -> bool:
    """Whether a name followed by numbers is a reference, not a person, a time or a score."""
    written = match["book"]
    capital = written[0].isupper()
    after_name = plain[match.end("book") : place.end]
    cited = is_cited(plain, match.start() if number else match.start("book"), place.end)
    if written == "DN":  # the Digha Nikaya
        return False
    if not capital and not _meant_in_small_letters(plain, match, name, place):
        return False
    score = _SCORE.match(plain, place.end)
    if score and books.look_up(None, score["other"]) is None and not cited:
        return False
    if place.verse is None:
        if is_age(plain, match.end("book"), place.end) or is_count(plain, place.end):
            return False
        if re.search(r"chap|\bch\b", after_name, re.IGNORECASE) and capital:
            return True
        weak = name.weak or name.short or name.word or not capital
        return cited if weak else True
    if is_clock_or_score(plain, place.end):
        return False
    if name.titles[0] in books.SINGLE_CHAPTER and _SIBLING.match(plain, place.end):
        return False
    if name.short:
        return cited or is_closed(plain, place.end)
    if name.weak and (len(name.titles) > 1 or re.search(r"\d\.\d", after_name)):
        return cited
    if name.titles[0] in books.SINGLE_CHAPTER and ":" not in after_name:
        return not is_count(plain, place.end)
    return True


def _meant_in_small_letters(
    plain: str, match: re.Match[str], name: books.Name, place: Place
) -> bool:
    """Whether "jn 3:16" or "according to acts 2:48" is a reference though nothing is capital."""
    if place.verse and re.search(r"\d\.\d", plain[match.end("book") : place.end]):
        return False  # "rev 3.2" is a version
    if books.fold(match["book"]) in books.SMALL_LETTERS:
        return True
    if not name.word and len(match["book"]) >= 3:
        return True
    told = plain[: match.start()].strip() and is_cited(plain, match.start("book"), place.end)
    return bool(told and place.verse)


def _citation(plain: str, place: Place, titles: tuple[str, ...]) -> Citation:
    judged = [
        judge(place, partial(canon.judge_chapter, title), partial(canon.judge_verse, title))
        for title in titles
    ]
    judgement = judged[0]
    title = titles[0]
    if len(titles) > 1:
        title = title.partition(" ")[2]
        known = any(item.status is not Status.MISSING for item in judged)
        status = Status.UNVERIFIABLE if known else Status.MISSING
        which = " or ".join(titles)
        why = f"does not say which: {which}" if known else f"neither in {which}"
        judgement = Judgement(status, why)
    text = plain[place.start : place.end]
    reference = _reference(title, place)
    return Citation(place.start, place.end, text, "bible", reference, *judgement)


def _reference(title: str, place: Place) -> str:
    if title == "Psalms" and place.chapter == place.last_chapter:
        title = "Psalm"
    one = title in books.SINGLE_CHAPTER and place.chapter == place.last_chapter == 1
    return f"{title} {place.verses() if one and place.verse is not None else place.numbers()}"
