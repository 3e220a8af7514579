"""References by chapter and verse to works of Hinduism and Buddhism.

The Bhagavad Gita, the Dhammapada by its chapters, the Rig Veda by book and hymn, the Pali canon by
discourse. Volume and page of the Pali Text Society's edition, and works that have no table here,
cannot be verified.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from itertools import accumulate
from typing import NamedTuple

from theobot.scripture.citation import (
    EXISTS,
    Citation,
    Corpus,
    Judgement,
    Status,
    is_age,
    is_cited,
    is_clock_or_score,
    is_closed,
    is_count,
)
from theobot.scripture.places import Place, judge, read_verses

GITA = (47, 72, 43, 42, 29, 47, 30, 28, 34, 42, 55, 20, 35, 27, 20, 24, 28, 78)
"""Verses of the Gita's 18 chapters; chapter 13 has 34 or 35 by edition."""

DHAMMAPADA = tuple(
    int(count)
    for count in "20 12 11 16 16 14 10 16 13 17 11 10 12 18 12 12 14 21 17 17 16 14 14 26 23 "
    "41".split()
)
"""Verses of the Dhammapada's 26 chapters, 423 in all."""

RIG_VEDA = (191, 43, 62, 58, 87, 75, 104, 103, 114, 191)
"""Hymns of the Rig Veda's ten books."""

# Discourses of each part, in the division that counts most of them.
_SAMYUTTA = tuple(
    int(count)
    for count in "81 30 25 25 10 15 22 15 14 12 25 213 11 39 20 13 43 22 21 12 12 159 46 96 10 "
    "10 10 10 "
    "50 46 112 57 55 55 248 31 34 16 16 11 10 13 44 11 180 184 104 178 54 108 86 24 54 20 74 "
    "131".split()
)
_ANGUTTARA = (627, 479, 352, 783, 1152, 649, 1124, 627, 432, 746, 1151)


class _Work(NamedTuple):
    """A work cited by chapter and verse.

    Args:
        corpus: the body of texts.
        title: how a reference to it begins.
        chapter: what its parts are called.
        verse: what their parts are called.
        counts: verses of each chapter.
    """

    corpus: Corpus
    title: str
    chapter: str
    verse: str
    counts: tuple[int, ...]


_GITA = _Work("gita", "Bhagavad Gita", "chapter", "verse", GITA)
_DHAMMAPADA = _Work("dhammapada", "Dhammapada", "chapter", "verse", DHAMMAPADA)
_RIG_VEDA = _Work("veda", "Rig Veda", "book", "hymn", RIG_VEDA)
_SN = _Work("pali", "SN", "part", "discourse", _SAMYUTTA)
_AN = _Work("pali", "AN", "part", "discourse", _ANGUTTARA)
_SNP = _Work("pali", "Sutta Nipata", "chapter", "discourse", (12, 14, 12, 16, 19))
_UD = _Work("pali", "Udana", "chapter", "discourse", (10,) * 8)

_NUMBER = (
    r"[\s,:]*(?P<open>\(\s?)?(?P<key>(?:chapter|chap\.?|ch\.?|book|mandala)\s*)?"
    r"(?P<chapter>\d{1,3})(?!\d)"
)
_PAIRS: tuple[tuple[_Work, re.Pattern[str]], ...] = tuple(
    (work, re.compile(rf"(?<![A-Za-z]){head}{_NUMBER}"))
    for work, head in (
        (
            _GITA,
            r"(?:(?:Sr[iī]mad\s+|Shrimad\s+)?(?i:Bh?agavad|Bhagwad|Bhagvad)[-\s]?(?i:g[iī]t[aā])"
            r"|G[iī]t[aā]|gita(?=\s\d{1,2}:\d)"
            r"|BG|BhG|Bg\.)\.?(?:'s)?",
        ),
        (_DHAMMAPADA, r"(?i:Dhammapada|Dharmapada|Dhp\.?)(?:'s)?"),
        (_RIG_VEDA, r"(?i:[ṚR]i?g[-\s]?Veda)(?:\s+Samhita)?"),
        (_SN, r"(?:S[aṃm]+yutta[-\s]Nik[aā]ya|SN)"),
        (_AN, r"(?:A[nṅ]guttara[-\s]Nik[aā]ya|AN)"),
        (_SNP, r"(?:Sutta[-\s]?[Nn]ip[aā]ta|Snp|Sn)\.?"),
        (_UD, r"(?:Ud[aā]na|Ud)\.?"),
    )
)
_GITA_REVERSED = re.compile(
    r"\b[Cc]hapter\s+(?P<chapter>\d{1,3}),?\s+verses?\s+(?P<verse>\d{1,3})(?:\s?-\s?(?P<last>\d{1,3}))?"
    r"\s+(?:of|in|from)\s+(?:the\s+)?(?:Bhagavad[-\s])?Gita"
)
_VERSE_SIGN = re.compile(
    r"\s?:\s?(?=\d)|\.(?=\d)|[\s,]*\(?(?:verses?|hymn|sutta|vv?\.?)\s*(?=\d)", re.IGNORECASE
)
_DEEPER = re.compile(r"(?:[.:]\d{1,4})+(?:-\d{1,4})?")

# Works of the Pali canon cited by one number: title, how many, head.
_SINGLE: tuple[tuple[str, int, re.Pattern[str]], ...] = tuple(
    (
        title,
        last,
        re.compile(
            rf"(?<![A-Za-z]){head}[\s,]*\(?(?:sutta\s+|no\.\s*|verses?\s+|vv?\.?\s*)?(?=\d)"
        ),
    )
    for title, last, head in (
        ("DN", 34, r"(?:D[iī]gha[-\s]Nik[aā]ya|DN)"),
        ("MN", 152, r"(?:Majjhima[-\s]Nik[aā]ya|MN)"),
        ("Sutta Nipata", 1155, r"(?:Sutta[-\s]?[Nn]ip[aā]ta|Snp|Sn)\.?"),
        ("Theragatha", 1291, r"(?:Therag[aā]th[aā]|Thag)\.?"),
        ("Therigatha", 524, r"(?:Ther[iī]g[aā]th[aā]|Thig)\.?"),
        ("Itivuttaka", 112, r"(?:Itivuttaka|Iti)\.?"),
        ("Khuddakapatha", 9, r"(?:Khuddakap[aā][tṭ]ha|Khp)\.?"),
        ("Jataka", 547, r"(?:J[aā]taka)(?:\s+[Tt]ales?)?\.?"),
    )
)
_ONE = re.compile(
    r"(?P<first>\d{1,4})(?!\d)(?:[.:]\d{1,3}(?:[.:]\d{1,3})*)?(?:\s?-\s?(?P<last>\d{1,4})(?!\d))?"
)
_ARTICLE = re.compile(r"(?<![A-Za-z])an?\s$", re.IGNORECASE)
_POSTCODE = re.compile(r"\s\d[A-Z]{2}\b")

_VOLUME_AND_PAGE = re.compile(
    r"(?<![A-Za-z])(?:DN|MN|SN|AN|Vin|Dhp-?a|D|M|S|A)\.?\s+(?:i{1,3}|iv|v|vi|I{1,3}|IV|V"
    r"|VI)[\s.,:]+\d{1,4}(?!\d)"
)
_BUDDHIST = re.compile(r"Milinda|Visuddhi|Vinaya|Lotus|(?:DN|MN|SN|AN|Vin|Dhp-?a|D|M|S|A)\b")
_WITHOUT_TABLE = re.compile(
    r"(?<![A-Za-z])(?:(?:[BCKTAMIPSŚKJ][\w'āīūṛśṣ]{2,18})\s+Upani[sṣ]h?ad|(?:Atharva|Yajur"
    r"|S[aā]ma)[-\s]?Veda"
    r"|Manu[-\s]?smriti|Laws\s+of\s+Manu|Mah[aā]bh[aā]rata|R[aā]m[aā]yana"
    r"|(?:Srimad\s+)?Bh[aā]gavata?m?"
    r"(?:\s+Purana)?|(?:Vishnu|Shiva|Devi|Garuda)\s+Purana|Yoga\s+S[uū]tras?|Lotus\s+S[uū]tra"
    r"|Milindapanha|Visuddhimagga|Vinaya)[\s,]*\(?(?:chapter\s+)?\d{1,3}(?:[.:]\d{1,3})+"
    r"(?:-\d{1,3})?"
)


_FULL = {"DN": "the Digha Nikaya", "MN": "the Majjhima Nikaya"}


def find(plain: str) -> Iterator[Citation]:
    """Find references to Hindu and Buddhist works.

    Args:
        plain: the text after `citation.plain`.
    """
    for work, pattern in _PAIRS:
        for match in pattern.finditer(plain):
            yield from _read_pair(plain, match, work)
    for match in _GITA_REVERSED.finditer(plain):
        chapter, verse = int(match["chapter"]), int(match["verse"])
        last = int(match["last"] or verse)
        yield _cite(plain, Place(*match.span(), chapter, verse, chapter, last), _GITA)
    for title, last, pattern in _SINGLE:
        for match in pattern.finditer(plain):
            yield from _read_single(plain, match, title, last)
    for pattern, reason in (
        (_VOLUME_AND_PAGE, "volume and page of a printed edition"),
        (_WITHOUT_TABLE, "no table of this work's verses is at hand"),
    ):
        for match in pattern.finditer(plain):
            of: Corpus = "pali" if _BUDDHIST.match(match[0]) else "veda"
            start, end = match.span()
            yield Citation(start, end, match[0], of, match[0], Status.UNVERIFIABLE, reason)


def _read_pair(plain: str, match: re.Match[str], work: _Work) -> Iterator[Citation]:
    start, end, chapter = match.start(), match.end(), int(match["chapter"])
    sign = _VERSE_SIGN.match(plain, end)
    if sign is None:
        whole = match["key"] or is_cited(plain, start, end) or is_closed(plain, end)
        if work is _DHAMMAPADA and not match["key"]:
            return  # a verse by its running number
        whole = whole and not (
            match["key"] is None and is_age(plain, match.start("chapter") - 2, end)
        )
        if work.corpus != "pali" and whole and not is_count(plain, end):
            yield _cite(plain, Place(start, end, chapter, None, chapter, None), work)
        return
    if _is_long(plain, sign.end()):
        yield from _long_number(plain, match, sign, work)
        return
    places = read_verses(plain, sign.end(), start, chapter, ":" if ":" in sign[0] else ".")
    if not places or _is_time(plain, places[0].end):
        return
    deeper = _DEEPER.match(plain, places[0].end)
    if deeper is not None:
        places = [places[0]._replace(end=deeper.end())]
    for place in places:
        yield _cite(plain, place, work)


def _is_time(plain: str, end: int) -> bool:
    return is_clock_or_score(plain, end) and _DEEPER.match(plain, end) is None


def _is_long(plain: str, at: int) -> bool:
    return re.match(r"\d{4}", plain[at : at + 4]) is not None


def _long_number(
    plain: str, match: re.Match[str], sign: re.Match[str], work: _Work
) -> Iterator[Citation]:
    """Discourses of the Anguttara Nikaya run beyond 999."""
    number = re.compile(r"\d{4}(?!\d)").match(plain, sign.end())
    if number is not None:
        chapter, verse = int(match["chapter"]), int(number[0])
        yield _cite(plain, Place(match.start(), number.end(), chapter, verse, chapter, verse), work)


def _cite(plain: str, place: Place, work: _Work) -> Citation:
    judgement = judge(place, partial(_judge_chapter, work), partial(_judge_verse, work))
    numbers = place.numbers()
    if work.corpus == "pali" or work is _RIG_VEDA:
        numbers = numbers.replace(":", ".")
    text = plain[place.start : place.end]
    return Citation(
        place.start, place.end, text, work.corpus, f"{work.title} {numbers}", *judgement
    )


def _judge_chapter(work: _Work, chapter: int) -> Judgement:
    count = len(work.counts)
    if 1 <= chapter <= count:
        return Judgement(Status.TOO_BROAD, f"a whole {work.chapter}; name the {work.verse} meant")
    why = f"{work.title} has {count} {work.chapter}s, so there is no {work.chapter} {chapter}"
    return Judgement(Status.MISSING, why)


def _judge_verse(work: _Work, chapter: int, verse: int) -> Judgement:
    if not 1 <= chapter <= len(work.counts):
        return _judge_chapter(work, chapter)
    count = work.counts[chapter - 1]
    if 1 <= verse <= count:
        return EXISTS
    if work is _DHAMMAPADA:
        # Verses are numbered through the whole work too.
        last = list(accumulate(DHAMMAPADA))[chapter - 1]
        if last - count < verse <= last:
            return EXISTS
    plural = "verses" if work.verse == "verse" else f"{work.verse}s"
    why = f"{work.title} {chapter} has {count} {plural}, so there is no {work.verse} {verse}"
    return Judgement(Status.MISSING, why)


def _read_single(plain: str, match: re.Match[str], title: str, last: int) -> Iterator[Citation]:
    number = _ONE.match(plain, match.end())
    if number is None:
        return
    start, end, first = match.start(), number.end(), int(number["first"])
    if title in _FULL and _ARTICLE.search(plain, max(0, start - 4), start):
        return  # "a DN 50 pipe"
    deeper = "." in number[0] or ":" in number[0]
    if (title == "Sutta Nipata" and deeper) or _POSTCODE.match(plain, end) or is_count(plain, end):
        return
    final = int(number["last"]) if number["last"] and not deeper else first
    judgement = EXISTS
    if not (1 <= first <= last and first <= final <= last):
        wrong = first if not 1 <= first <= last else final
        unit = "discourse" if title in ("DN", "MN") else "number"
        judgement = Judgement(
            Status.MISSING,
            f"{_FULL.get(title, title)} ends with {last}, so there is no {unit} {wrong}",
        )
    text = plain[start:end]
    yield Citation(start, end, text, "pali", f"{title} {number[0].replace(':', '.')}", *judgement)
