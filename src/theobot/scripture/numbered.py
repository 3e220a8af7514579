"""References to works cited by one running number, checked by how many there are.

The Catechism and other Catholic documents by paragraph, the Guru Granth Sahib by ang, the
Dhammapada by verse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from theobot.scripture.citation import (
    EXISTS,
    Citation,
    Corpus,
    Judgement,
    Status,
    is_count,
)
from theobot.scripture.places import complete, near

DOCUMENTS = {
    "Humanae Vitae": 31,
    "Humani Generis": 44,
    "Evangelium Vitae": 105,
    "Laudato Si'": 246,
    "Gaudium et Spes": 93,
    "Nostra Aetate": 5,
    "Lumen Gentium": 69,
    "Dei Verbum": 26,
    "Dignitatis Humanae": 15,
    "Sacrosanctum Concilium": 130,
    "Fratelli Tutti": 287,
    "Amoris Laetitia": 325,
    "Familiaris Consortio": 86,
    "Evangelii Gaudium": 288,
    "Populorum Progressio": 87,
    "Veritatis Splendor": 120,
    "Caritas in Veritate": 79,
    "Deus Caritas Est": 42,
}
"""Numbered sections of documents of the Catholic Church."""

_LAST_ANG = 1430
_LAST_PARAGRAPH = 2865
_LAST_DHAMMAPADA = 423

_LIST_ITEM = re.compile(r"(?P<first>\d{1,5})(?!\d)(?:(?:\s?-\s?|\s+to\s+)(?P<last>\d{1,4})(?!\d))?")
_LIST_MORE = re.compile(r"\s*(?:[,;]\s*(?:and\s+|&\s*)?|\sand\s+|\s?&\s*)(?=\d)")
_LIST_ENDS = re.compile(r"\s*(?:$|[)\].,;:!?'\"]|and\b|&)")


class _Work(NamedTuple):
    """A work cited by one running number.

    Args:
        corpus: the body of texts.
        title: how a reference to it begins.
        unit: what is counted, such as "paragraph".
        last: the last number.
        head: what stands before the number; its group `key` says what is counted.
        anchor: a quick pattern that stands in every head.
    """

    corpus: Corpus
    title: str
    unit: str
    last: int
    head: re.Pattern[str]
    anchor: re.Pattern[str]


_PARAGRAPH = (
    r"[\s,.:]*(?P<open>\(\s?)?(?P<key>(?:paragraphs?|paras?\.?|nos?\.|nn?\.|numbers?|sections?"
    r"|art\.?"
    r"|articles?|§{1,2}|#)\s*)?(?=\d)"
)
_ANG = (
    r"[\s,.:]*(?P<open>\(\s?)?(?:Ji,?\s+)?(?P<key>(?:on\s+)?(?:angs?|pages?|pp?\.|p"
    r"(?=\d))\s*)?(?=\d)"
)

_WORKS = (
    _Work(
        "ccc",
        "CCC",
        "paragraph",
        _LAST_PARAGRAPH,
        re.compile(
            r"(?<![A-Za-z])(?:(?-i:CCC)|(?:the\s+)?(?<!Compendium of the )(?-i:Catechism)"
            r"(?:\s+of\s+the"
            r"\s+(?:Roman\s+)?Catholic\s+Church)?(?:'s)?(?:\s+\(CCC\))?(?:\s+(?:says\s+)?(?:in|at))?)"
            + _PARAGRAPH,
            re.IGNORECASE,
        ),
        re.compile("Catech|CCC"),
    ),
    _Work(
        "ggs",
        "Guru Granth Sahib, ang",
        "ang",
        _LAST_ANG,
        re.compile(
            r"(?<![A-Za-z])(?:(?:Sri\s+)?(?:Guru|Adi)\s+Granth(?:\s+Sahib)?(?:\s+Ji)?"
            r"|(?-i:[SA]?GGSJ?|ggs))" + _ANG,
            re.IGNORECASE,
        ),
        re.compile("[Gg]ranth|GGS|ggs"),
    ),
    _Work(
        "ggs",
        "Guru Granth Sahib, ang",
        "ang",
        _LAST_ANG,
        re.compile(r"(?<![A-Za-z])(?P<key>[Aa]ngs?\.?\s*)(?P<open>(?!))?(?=\d)"),
        re.compile("[Aa]ng"),
    ),
    *(
        _Work(
            "document",
            title,
            "section",
            last,
            re.compile(rf"(?<![A-Za-z]){title.rstrip(chr(39))}'?" + _PARAGRAPH),
            re.compile(title.rstrip("'")),
        )
        for title, last in DOCUMENTS.items()
    ),
    _Work(
        "document",
        "Humanae Vitae",
        "section",
        DOCUMENTS["Humanae Vitae"],
        re.compile(r"(?<![A-Za-z])HV" + _PARAGRAPH),
        re.compile("HV"),
    ),
    _Work(
        "dhammapada",
        "Dhammapada",
        "verse",
        _LAST_DHAMMAPADA,
        re.compile(
            r"(?<![A-Za-z])(?:Dhammapada|Dharmapada|Dhp\.?)(?:'s)?[\s,:]*(?P<open>\(\s?)?"
            r"(?P<key>(?:verses?|vv?\.?|stanzas?|nos?\.)\s*)?(?=\d)(?!\d+(?:[:.]\d|,?\s+verse))",
            re.IGNORECASE,
        ),
        re.compile("[Dd]ham|[Dd]harm|Dhp|DHAM"),
    ),
)
_SIKH = re.compile("Granth|Guru")
_NEAR = 2_000
"""Letters before and after a number in which its scripture has to be named."""

_ISSUE = re.compile(r"\s*(?:edition|revision|version|update)")
_ANG_OF_ANOTHER = re.compile(r"\s*of\s+the\s+(?:Sri\s+)?Dasam", re.IGNORECASE)


_REVERSED = re.compile(
    r"\b(?:paragraphs?|pages?|p\.|verses?|sections?|numbers?|no\.)\s*(?P<first>\d{1,4})(?!\d)"
    r"(?:(?:\s?-\s?|\s+to\s+)(?P<last>\d{1,4})(?!\d))?\s+(?:of|in|from)\s+(?:the\s+)?(?:Sri\s+)?"
    r"(?P<title>Catechism|Guru\s+Granth\s+Sahib|Dhammapada)",
    re.IGNORECASE,
)


def find(plain: str) -> Iterator[Citation]:
    """Find references to works with numbered parts.

    Args:
        plain: the text after `citation.plain`.
    """
    for work in _WORKS:
        for match in near(work.head, work.anchor, plain):
            yield from _read_list(plain, match, work)
    yield from _find_reversed(plain)


def _read_list(plain: str, match: re.Match[str], work: _Work) -> Iterator[Citation]:
    start, at, before = match.start(), match.end(), 0
    while (item := _LIST_ITEM.match(plain, at)) is not None:
        first = int(item["first"])
        last = complete(first, item["last"]) if item["last"] else first
        if before and (first <= before or not _LIST_ENDS.match(plain, item.end())):
            return
        if not before and not _is_part(plain, match, item, work):
            return
        number = str(first) if last == first else f"{first}-{last}"
        judgement = _in_range(first, last, work)
        text = plain[start : item.end()]
        reference = f"{work.title} {number}"
        yield Citation(start, item.end(), text, work.corpus, reference, *judgement)
        more = _LIST_MORE.match(plain, item.end())
        if more is None:
            return
        start = at = more.end()
        before = last


def _find_reversed(plain: str) -> Iterator[Citation]:
    """Find "paragraph 2267 of the Catechism"."""
    for match in near(_REVERSED, re.compile("Catech|Granth|Dham"), plain):
        corpus = {"c": "ccc", "g": "ggs", "d": "dhammapada"}[match["title"][0].lower()]
        work = next(work for work in _WORKS if work.corpus == corpus)
        first = int(match["first"])
        last = complete(first, match["last"]) if match["last"] else first
        number = str(first) if last == first else f"{first}-{last}"
        reference, judgement = f"{work.title} {number}", _in_range(first, last, work)
        yield Citation(*match.span(), match[0], work.corpus, reference, *judgement)


def _is_part(plain: str, match: re.Match[str], item: re.Match[str], work: _Work) -> bool:
    """Whether a number after a title counts its parts: not a year, a time or a number of things."""
    first, end = int(item["first"]), item.end()
    if match[0].lower().startswith("ang") and plain[end : end + 1] == ",":
        return _SIKH.search(plain, max(0, end - _NEAR), end + _NEAR) is not None  # else an age
    if match["key"]:
        return _ANG_OF_ANOTHER.match(plain, end) is None
    if is_count(plain, end) or _ISSUE.match(plain, end):
        return False
    year = 1400 <= first <= 2100
    if work.corpus == "ccc":
        return not (year and match["open"] and plain[end : end + 1] == ")" and first >= 1990)
    if work.corpus == "document":
        return not (year and len(item["first"]) == 4)
    return not (year and (match["open"] or first in (1604, 1705, 1706, 1708)))


def _in_range(first: int, last: int, work: _Work) -> Judgement:
    if last < first:
        return Judgement(Status.MISSING, "the range runs backwards")
    if first >= 1 and last <= work.last:
        return EXISTS
    name = {"ccc": "the Catechism", "ggs": "the Guru Granth Sahib"}.get(work.corpus, work.title)
    number = first if not 1 <= first <= work.last else last
    why = f"{name} has {work.last:,} {work.unit}s, so there is no {work.unit} {number}"
    return Judgement(Status.MISSING, why)
