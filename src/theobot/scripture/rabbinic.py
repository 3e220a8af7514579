"""References to the Mishnah ("Sanhedrin 4:5") and the Babylonian Talmud ("Yoma 85b")."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from theobot.scripture.books import trie
from theobot.scripture.citation import (
    EXISTS,
    Citation,
    Judgement,
    Status,
    is_clock_or_score,
    is_count,
)
from theobot.scripture.places import Place, judge, near, read_verses
from theobot.scripture.tractates import FOLIOS, MISHNAYOT, NAMES, fold

# Abbreviations that mean a tractate only after "Mishnah", "Talmud", "m." or "b.".
_NEEDS_WORK = frozenset("ber shab pes ket ned git kid bk bm bb sanh mak az hul".split())
# Tractates that are ordinary words of English texts about Judaism.
_WORDS = frozenset(
    "shabbat shabbos challah hallah sukkah rosh hashanah megillah orlah shavuot avot"
    " pesachim niddah parah".split()
)

_TITLE = trie(sorted(NAMES), r"[\s-]+")
_ANCHOR = re.compile(rf"(?<![A-Za-z]){_TITLE}(?=\.?[\s,(]*(?:\w+\.?\s+)?\d)", re.IGNORECASE)
_CITED = re.compile(
    r"(?<![A-Za-z0-9])(?P<work>(?:(?P<yerushalmi>(?:Jerusalem|Palestinian)\s+Talmud"
    r"|Talmud\s+Yerushalmi"
    r"|Yerushalmi|JT|TJ|y\.)|(?P<bavli>(?:Babylonian\s+)?Talmud(?:\s+Bavli)?|Bavli|Gemara|BT|TB"
    r"|b\.|bT)"
    r"|(?P<tosefta>Tosefta|t\.)|(?P<mishnah>(?:the\s+)?Mishnah?|m\.|M\.|Mishna))"
    r"[\s,:(]*(?:tractate\s+|masechet\s+)?|(?:tractate|masechet)\s+)?"
    rf"(?P<title>{_TITLE})\.?(?![A-Za-z'])[\s,]*\(?(?:folio\s+|page\s+|p\.\s*|daf\s+|chapter\s+)?"
    r"(?P<number>\d{1,3})(?!\d)(?P<side>[ab](?![A-Za-z]))?",
    re.IGNORECASE,
)
_TO_FOLIO = re.compile(r"\s?-\s?(?:(?P<folio>\d{1,3})(?P<side>[ab])?|(?P<b>b))(?![A-Za-z0-9])")
_SIGN = re.compile(
    r"\s?:\s?(?=\d)|\.(?=\d)|,?\s+(?:mishnah?|verse|v\.?|paragraph)\s*(?=\d)|,\s?(?=\d)", re.I
)
_LINE = re.compile(r":\d{1,3}(?!\d)")


def find(plain: str) -> Iterator[Citation]:
    """Find references to Mishnah and Talmud.

    Args:
        plain: the text after `citation.plain`.
    """
    for match in near(_CITED, _ANCHOR, plain):
        written = fold(match["title"])
        title = NAMES[written]
        named = match["work"] is not None
        if not match["title"][0].isupper() or (written in _NEEDS_WORK and not named):
            continue
        if match["yerushalmi"] or match["tosefta"]:
            yield _other_work(plain, match, title)
        elif match["side"]:
            yield _folio(plain, match, title)
        elif sign := _SIGN.match(plain, match.end()):
            yield from _mishnah(plain, match, title, sign)
        elif match["bavli"] and not is_count(plain, match.end()):
            yield _folio(plain, match, title)
        elif match["mishnah"] and not is_count(plain, match.end()):
            place = Place(match.start(), match.end(), int(match["number"]), None, 0, None)
            yield _mishnah_citation(plain, place._replace(last_chapter=place.chapter), title)


def _other_work(plain: str, match: re.Match[str], title: str) -> Citation:
    sign = _SIGN.match(plain, match.end())
    places = (
        read_verses(plain, sign.end(), match.start(), int(match["number"]), ":") if sign else []
    )
    end = places[0].end if places else match.end()
    work = "Jerusalem Talmud" if match["yerushalmi"] else "Tosefta"
    number = places[0].numbers() if places else match["number"]
    reason = f"the numbering of the {work} differs by edition"
    reference = f"{work}, {title} {number}"
    text = plain[match.start() : end]
    return Citation(match.start(), end, text, "talmud", reference, Status.UNVERIFIABLE, reason)


def _folio(plain: str, match: re.Match[str], title: str) -> Citation:
    end, folio, side = match.end(), int(match["number"]), match["side"] or ""
    reference, judgement = f"{title} {folio}{side}", _judge_folio(title, folio, side)
    more = _TO_FOLIO.match(plain, end)
    if more is not None:
        end = more.end()
        last = int(more["folio"]) if more["folio"] else folio
        if last < folio and len(str(last)) < len(str(folio)):
            last = int(str(folio)[: -len(str(last))] + str(last))
        last_side = more["side"] or more["b"] or ""
        reference += f"-{last}{last_side}"
        if judgement.status is not Status.MISSING:
            judgement = _judge_folio(title, last, last_side)
    elif line := _LINE.match(plain, end):
        end = line.end()
    start = match.start()
    return Citation(start, end, plain[start:end], "talmud", reference, *judgement)


def _judge_folio(title: str, folio: int, side: str) -> Judgement:
    if title not in FOLIOS:
        why = f"the Babylonian Talmud has no tractate {title}"
        return Judgement(Status.MISSING, why)
    last, last_side = FOLIOS[title]
    if folio < 2:
        return Judgement(Status.MISSING, f"{title} begins on folio 2a")
    if (folio, side.lower()) > (last, last_side):
        why = f"{title} ends on folio {last}{last_side}, so there is no {folio}{side}"
        return Judgement(Status.MISSING, why)
    return EXISTS


def _mishnah(
    plain: str, match: re.Match[str], title: str, sign: re.Match[str]
) -> Iterator[Citation]:
    places = read_verses(plain, sign.end(), match.start(), int(match["number"]), ":")
    if not places or is_clock_or_score(plain, places[0].end):
        return
    word = match["title"].lower() in _WORDS and match["work"] is None
    if sign[0].startswith(",") and (match["work"] is None or is_count(plain, places[0].end)):
        return
    if word and title != "Avot" and ":" not in sign[0]:
        return
    for place in places:
        yield _mishnah_citation(plain, place, title)


def _mishnah_citation(plain: str, place: Place, title: str) -> Citation:
    judgement = judge(place, partial(_judge_chapter, title), partial(_judge_mishnah, title))
    text = plain[place.start : place.end]
    reference = f"Mishnah {title} {place.numbers()}"
    return Citation(place.start, place.end, text, "mishnah", reference, *judgement)


def _judge_chapter(title: str, chapter: int) -> Judgement:
    count = len(MISHNAYOT[title])
    if 1 <= chapter <= count:
        return Judgement(Status.TOO_BROAD, "a whole chapter; name the mishnah meant")
    why = f"Mishnah {title} has {count} chapters, so there is no chapter {chapter}"
    return Judgement(Status.MISSING, why)


def _judge_mishnah(title: str, chapter: int, number: int) -> Judgement:
    if not 1 <= chapter <= len(MISHNAYOT[title]):
        return _judge_chapter(title, chapter)
    count = MISHNAYOT[title][chapter - 1]
    if 1 <= number <= count:
        return EXISTS
    why = f"Mishnah {title} {chapter} has {count} mishnayot, so there is no {chapter}:{number}"
    return Judgement(Status.MISSING, why)
