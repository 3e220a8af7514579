"""The single verses that a text cites, ranges taken apart, so that overlaps can be seen."""

from __future__ import annotations

import re

from theobot.scripture.citation import Status
from theobot.scripture.finder import find_citations

_RANGE = re.compile(r"(?P<place>.*?)(?P<first>\d+)-(?P<last>\d+)")
_MOST = 200
"""No chapter is longer; of a range over chapters its beginning is taken."""


def verses_of(text: str) -> set[str]:
    """Every verse that a text cites and that exists, each in its one form."""
    return {
        verse
        for citation in find_citations(text)
        if citation.status in (Status.EXISTS, Status.OMITTED, Status.UNVERIFIABLE)
        for verse in single_verses(citation.reference)
    }


def single_verses(reference: str) -> list[str]:
    """The verses of a reference in the form of `Citation.reference`; one that is no range alone."""
    span = _RANGE.fullmatch(reference)
    if span is None:
        return [reference]
    first, last = int(span["first"]), int(span["last"])
    return [f"{span['place']}{verse}" for verse in range(first, min(last, first + _MOST) + 1)]
