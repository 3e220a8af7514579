"""Numbers after a title: chapters, verses, ranges and lists of them, as people write them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from theobot.scripture.citation import (
    EXISTS,
    Judgement,
    Status,
    is_cited,
    is_clock_or_score,
    is_count,
)

_TEENS = "eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_UNITS = "one two three four five six seven eight nine ten".split() + _TEENS.split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
SPELT = rf"(?:{'|'.join(_TENS)})(?:[- ](?:{'|'.join(_UNITS[:9])}))?|{'|'.join(reversed(_UNITS))}"

_VERSES = re.compile(
    rf"(?:(?P<first>\d{{1,3}})(?!\d)(?:[a-d](?![A-Za-z]))?|(?P<spelt>{SPELT})\b)"
    r"(?:\s?ff?\b\.?(?!\s?\d)|(?P<dash>\s?-\s?|\s+(?:to|through|until)\s+(?:verses?\s+)?)"
    r"(?:(?P<chapter>\d{1,3})[:.])?(?:vv?\.?\s?)?(?P<last>\d{1,3})(?!\d)(?:[a-d](?![A-Za-z]))?)?",
    re.IGNORECASE,
)
_MORE = re.compile(
    r"\s*(?:(?P<mark>[,;])\s*(?:and\s+|&\s*|or\s+)?|\s(?:and|or)\s+|\s?&\s*)"
    r"(?:(?:see\s+)?also\s+|cf\.?\s*)?(?:(?P<chapter>\d{1,3})(?P<sign>[:.]|\s?v\.?\s?)(?=\d)"
    r"|(?:verses?\s+|vv?\.?\s*)?(?=\d))",
    re.IGNORECASE,
)


_LIST_ENDS = re.compile(
    r"\s*(?:$|[)\].,;:!?'\"-]|and\b|&|of\s+(?:the|that|this)\s+(?:same\s+)?(?:chapter|psalm|book)\b)"
)


def near(
    pattern: re.Pattern[str],
    anchor: re.Pattern[str],
    plain: str,
    before: int = 60,
    after: int = 120,
) -> Iterator[re.Match[str]]:
    """Search with a costly pattern only around what a cheap one finds.

    Args:
        pattern: what is looked for; it must contain a match of `anchor`.
        anchor: a pattern that is quick to search for.
        plain: the text.
        before: characters that a match may have before the anchor.
        after: characters that a match may have from the anchor's start on.
    """
    done = 0
    for sign in anchor.finditer(plain):
        if sign.start() < done:
            continue
        for match in pattern.finditer(
            plain, max(done, sign.start() - before), sign.start() + after
        ):
            done = match.end()
            yield match


class Place(NamedTuple):
    """One reference: a whole chapter where `verse` is None, else verses to the last one."""

    start: int
    end: int
    chapter: int
    verse: int | None
    last_chapter: int
    last_verse: int | None

    def verses(self) -> str:
        """The verses without their chapter: "3" or "3-5"."""
        more = f"-{self.last_verse}" if self.last_verse != self.verse else ""
        return f"{self.verse}{more}"

    def numbers(self) -> str:
        """Chapter and verses: "5", "5-7", "5:3", "5:3-12" or "5:3-6:2"."""
        if self.verse is None:
            more = f"-{self.last_chapter}" if self.last_chapter != self.chapter else ""
            return f"{self.chapter}{more}"
        if self.last_chapter != self.chapter:
            return f"{self.chapter}:{self.verse}-{self.last_chapter}:{self.last_verse}"
        return f"{self.chapter}:{self.verses()}"


def judge(
    place: Place,
    of_chapter: Callable[[int], Judgement],
    of_verse: Callable[[int, int], Judgement],
) -> Judgement:
    """Judge both ends of a reference.

    Args:
        place: the reference.
        of_chapter: judges a whole chapter.
        of_verse: judges a verse by chapter and number.
    """
    if (place.last_chapter, place.last_verse or 0) < (place.chapter, place.verse or 0):
        return Judgement(Status.MISSING, "the range runs backwards")
    if place.verse is None:
        ends = [of_chapter(place.chapter), of_chapter(place.last_chapter)]
        return next((end for end in ends if end.status is Status.MISSING), ends[0])
    first = of_verse(place.chapter, place.verse)
    last = of_verse(place.last_chapter, place.last_verse or place.verse)
    if Status.MISSING in (first.status, last.status):
        return first if first.status is Status.MISSING else last
    alone = (place.chapter, place.verse) == (place.last_chapter, place.last_verse)
    if alone or first.status is last.status:
        return first
    return next((end for end in (first, last) if end.status is Status.EXISTS), EXISTS)


def read_verses(plain: str, at: int, start: int, chapter: int, mark: str) -> list[Place]:
    """Read verses and the list after them: "5:3-12, 38-48; 7:1"."""
    places: list[Place] = []
    while (match := _VERSES.match(plain, at)) is not None:
        place = _verse_place(plain, match, start if not places else match.start(), chapter)
        if places:
            place = place._replace(start=start)
        places.append(place)
        more = _MORE.match(plain, place.end)
        if more is None:
            break
        if more["chapter"]:
            chapter = int(more["chapter"])
            start, at = more.start("chapter"), more.end()
            if (more["sign"] == "." and mark != ".") or not _continues(plain, at, 0, mark):
                break
        else:
            at = start = more.end()
            if more["mark"] == ";" or not _continues(plain, at, place.last_verse or 0, ","):
                break
    return places


def _continues(plain: str, at: int, after: int, mark: str) -> bool:
    """Whether the number at a place goes on with a list of verses."""
    match = _VERSES.match(plain, at)
    if match is None or match["first"] is None or is_clock_or_score(plain, match.end()):
        return False
    if mark != ",":
        return True
    if int(match["first"]) <= after or is_count(plain, match.end()):
        return False
    if match["last"]:
        return True  # "17-20, 21-26 and 27-30": who counts things does not go on with ranges
    return bool(_LIST_ENDS.match(plain, match.end())) or is_cited(plain, 0, match.end())


def _verse_place(plain: str, match: re.Match[str], start: int, chapter: int) -> Place:
    first = value_of(match["first"] or match["spelt"])
    end = match.end()
    if not match["last"]:
        return Place(start, end, chapter, first, chapter, first)
    if match["chapter"]:
        return Place(start, end, chapter, first, int(match["chapter"]), int(match["last"]))
    last = complete(first, match["last"])
    if (last < first and "-" not in match["dash"]) or (
        is_count(plain, end) and not is_count(plain, match.start("dash"))
    ):
        return Place(start, match.start("dash"), chapter, first, chapter, first)
    return Place(start, end, chapter, first, chapter, last)


def complete(first: int, last: str) -> int:
    """The end of a range; British printers shorten 38-39 to "38-9"."""
    value = int(last)
    if value < first and len(last) < len(str(first)):
        return int(str(first)[: -len(last)] + last)
    return value


def value_of(number: str) -> int:
    """A number written in digits, Roman letters or words."""
    if number.isdigit():
        return int(number)
    words = number.lower().replace("-", " ").split()
    if words[0] in _UNITS or words[0] in _TENS:
        tens = 10 * (_TENS.index(words[0]) + 2) if words[0] in _TENS else 0
        return tens + (_UNITS.index(words[-1]) + 1 if words[-1] in _UNITS else 0)
    values = [{"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}[letter] for letter in words[0]]
    following = [*values[1:], 0]
    pairs = zip(values, following, strict=True)
    return sum(-value if value < after else value for value, after in pairs)
