"""The single verses that a text cites, ranges taken apart, so that overlaps can be seen."""

from __future__ import annotations

import re
from collections.abc import Iterator

from theobot.scripture import books, canon, chaptered, surahs, tractates
from theobot.scripture.citation import Status
from theobot.scripture.finder import find_citations

_RANGE = re.compile(r"(?P<place>.*?)(?P<first>\d+)-(?P<last>\d+)")
_OVER_CHAPTERS = re.compile(
    r"(?P<title>.+) (?P<chapter>\d+)(?P<sign>[:.])(?P<first>\d+)"
    r"-(?P<last_chapter>\d+)[:.](?P<last>\d+)"
)
_MOST = 200
"""No chapter is longer."""


def verses_of(text: str) -> set[str]:
    """Every verse that a text cites and that exists, each in its one form."""
    return {
        verse
        for citation in find_citations(text)
        if citation.status in (Status.EXISTS, Status.OMITTED, Status.UNVERIFIABLE)
        for verse in single_verses(citation.reference)
    }


def single_verses(reference: str) -> list[str]:
    """The verses of a reference in the form of `Citation.reference`; one that is no range alone.

    A range over chapters is taken apart as far as the chapters' lengths are known: of other works
    only the last chapter's verses and the first verse are told.
    """
    over = _OVER_CHAPTERS.fullmatch(reference)
    if over is not None:
        return list(_over_chapters(over))
    span = _RANGE.fullmatch(reference)
    if span is None:
        return [reference]
    first, last = int(span["first"]), int(span["last"])
    return [f"{span['place']}{verse}" for verse in range(first, min(last, first + _MOST) + 1)]


def _over_chapters(over: re.Match[str]) -> Iterator[str]:
    title, chapter, last_chapter = over["title"], int(over["chapter"]), int(over["last_chapter"])
    single = "Psalm" if title == "Psalms" else title
    for number in range(chapter, last_chapter + 1):
        first = int(over["first"]) if number == chapter else 1
        last = int(over["last"]) if number == last_chapter else _length(title, number)
        for verse in range(first, max(last, first if number == chapter else 0) + 1):
            yield f"{single} {number}{over['sign']}{verse}"


def _length(title: str, chapter: int) -> int:
    """How many verses a chapter has; 0: not known here, or there is no such chapter."""
    if title in books.TITLES:
        return canon.verses(title, chapter)
    counts = {
        "Qur'an": surahs.AYAHS,
        "Bhagavad Gita": chaptered.GITA,
        "Dhammapada": chaptered.DHAMMAPADA,
        "Rig Veda": chaptered.RIG_VEDA,
    }.get(title) or tractates.MISHNAYOT.get(title.removeprefix("Mishnah "), ())
    return counts[chapter - 1] if 1 <= chapter <= len(counts) else 0
