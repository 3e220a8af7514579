"""References to the Qur'an in free text; a surah's name is checked against its number.

Not covered: a pair of numbers alone, such as "(2:256)", whose book an earlier sentence names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from theobot.scripture import surahs
from theobot.scripture.citation import (
    EXISTS,
    Citation,
    Judgement,
    Status,
    is_cited,
    is_clock_or_score,
    is_closed,
    is_count,
)
from theobot.scripture.places import Place, judge, read_verses

_BOOK = r"(?:Qu?r'?[aā]+n|Qu'r'?an|Quar'?an|Kur'?an|Koran|Coran)"
_SURAH = r"(?:[Ss](?:urahs?|uras?|urats?|urat|ooras?|oorahs?|ureh)|SURAH|SURA)"
_ARTICLE = (
    r"(?:[Aa]l|[Aa]n|[Aa]r|[Aa]s|[Aa]sh|[Aa]t|[Aa]z|[Aa]d|[Aa]dh|[Aa]th|[Ee]l|[Uu]l|[Aa]al|AL)"
)
_WORD = r"'?[A-ZÀ-ÖØ-Þ\u0100-\u1eff][\w'\u0300-\u036f]*"
_NAME = (
    rf"(?:{_ARTICLE}(?:[-\s]e)?[-\s]+'?\w[\w'\u0300-\u036f]*(?:[-\s](?:{_ARTICLE}|[A-Z])[\w'-]*)?"
    rf"|(?:The\s+|the\s+)?{_WORD}(?:[-\s](?:(?:of|the|al|as|e|Al|As)[-\s])*{_WORD}){{0,3}})"
)
_VERSE_WORD = r"(?:[Vv]erses?|[Aa]yahs?|[Aa]yats?|[Aa]yaat|[Aa]yas?|[Aa]yat|vv?\b\.?|v(?=\d))"
_SIGN = re.compile(rf"\s?:\s?(?=\d)|[./](?=\d)|[\s,]*\(?{_VERSE_WORD}\s*(?:no\.?\s*)?(?=\d)")

_BY_BOOK = re.compile(
    rf"(?<![A-Za-z0-9])(?:(?:the\s+)?(?:Holy\s+|Noble\s+|Glorious\s+)?{_BOOK}\.?(?:'s)?"
    r"(?:\s+(?:in|at|says\s+in|teaches\s+in)(?=\s+\d+:))?|(?-i:QS|Q))\.?[\s,:]*\(?\s?(?P<key>(?:chapter|ch\.?|surah|sura|s\.)\s*)?"
    r"(?P<surah>\d{1,3})(?!\d)",
    re.IGNORECASE,
)
_BY_SURAH = re.compile(
    rf"(?<![A-Za-z0-9]){_SURAH}[\s-]+(?:(?:no\.?|number)\s+)?(?:(?P<name>{_NAME})"
    r"(?P<gap>[\s,:]*(?:of the Qur'an,?\s*)?[(\[]?\s*(?:(?:Qur'an|Quran|Q|chapter|surah|sura"
    r"|no\.)[\s,]*)?))?"
    rf"(?:(?P<surah>\d{{1,3}})(?!\d)|(?P<verse_word>{_VERSE_WORD})\s*(?=\d))"
)
_SMALL_LETTERS = re.compile(
    r"(?<![A-Za-z0-9])[Ss]urah?\s+(?P<name>[a-z][\w'-]+(?:\s[a-z][\w'-]+)?)\s+(?P<surah>\d{1,3})"
    r"(?=\s?:\s?\d)"
)
_NAME_AFTER = re.compile(
    rf"[\s,:-]*(?P<open>\()?(?P<name>{_NAME})(?(open)\))(?=[\s,:(]*(?:\d|{_VERSE_WORD}))"
)
_BY_NAME = re.compile(
    rf"(?<![\w'-])(?P<name>(?:{_ARTICLE}-(?:e-)?|[AaĀ]l(?:i|-e)?[-\s])'?[A-Z][\w'\u0300-\u036f]*"
    rf"|(?:Ya|Ta)[-\s]?(?:[SsHh]\w+)"
    r"|Yunus|Hud|Yusuf|Ibrahim|Maryam|Luqman|Muhammad|Nuh|Quraysh|Saba'?|Fatir|Ghafir|Fussilat|Qaf)"
    rf"[\s,]*(?P<open>[(\[])?\s?(?:(?P<surah>\d{{1,3}})(?=\s?[:.]\s?\d)|(?::\s?"
    rf"|[\s,]*{_VERSE_WORD}\s*)(?=\d))"
)
_BY_AYAH = re.compile(
    rf"(?<![A-Za-z])(?:(?i:ayahs?|ayats?|ayaat|ayas?)(?:\s+(?i:al|ul)[-\s]\w+)?\s*\(?|"
    rf"(?:[Vv]erses?|[Cc]hapter)\s+(?=\d[\d:.,\sverse-]*\s(?:of|in|from)\s+the\s+"
    rf"(?:Holy\s+)?{_BOOK}))"
    r"(?P<surah>\d{1,3})(?!\d)(?=\s?:\s?\d|[\s,]+verses?\s)"
)


def find(plain: str) -> Iterator[Citation]:
    """Find references to the Qur'an.

    Args:
        plain: the text after `citation.plain`.
    """
    for match in _BY_SURAH.finditer(plain):
        yield from _read_surah(plain, match)
    for match in _SMALL_LETTERS.finditer(plain):
        if surahs.find_numbers(match["name"]):
            number = int(match["surah"])
            yield from _read_numbers(plain, match.start(), match.end(), number, match["name"])
    for match in _BY_BOOK.finditer(plain):
        yield from _read_book(plain, match)
    for match in _BY_NAME.finditer(plain):
        yield from _read_name(plain, match)
    for match in _BY_AYAH.finditer(plain):
        yield from _read_numbers(plain, match.start(), match.end(), int(match["surah"]))


def _read_book(plain: str, match: re.Match[str]) -> Iterator[Citation]:
    end, surah = match.end(), int(match["surah"])
    sign = _SIGN.match(plain, end)
    short = match[0][:1] == "Q" and not match[0][1:2].isalpha()
    if sign is None:
        whole = match["key"] or is_cited(plain, match.start(), end) or is_closed(plain, end)
        if not short and whole and not is_count(plain, end):
            yield _whole(plain, match.start(), end, surah)
        return
    if short and (is_count(plain, _digits_end(plain, sign.end())) or ": " in sign[0]):
        return
    yield from _read_numbers(plain, match.start(), end, surah)


def _digits_end(plain: str, at: int) -> int:
    while at < len(plain) and plain[at].isdigit():
        at += 1
    return at


def _read_surah(plain: str, match: re.Match[str]) -> Iterator[Citation]:
    start, end, name = match.start(), match.end(), match["name"]
    if match["verse_word"]:
        if name:
            yield from _read_named(plain, start, end, name)
        return
    number = int(match["surah"])
    sign = _SIGN.match(plain, end)
    if name is None and (after := _NAME_AFTER.match(plain, end)) is not None:
        name, end = after["name"], after.end()
        sign = _SIGN.match(plain, end) or re.compile(r"[\s,:(]*(?=\d)").match(plain, end)
        yield from _read_numbers(plain, start, end, number, name, sign)
        return
    if sign is not None:
        yield from _read_numbers(plain, start, end, number, name)
    elif name is None or number in surahs.find_numbers(name) or "(" in match["gap"]:
        end += plain[end : end + 1] == ")" and "(" in (match["gap"] or "")
        follow = _SIGN.match(plain, end)
        if follow is not None:
            yield from _read_numbers(plain, start, end, number, name)
        elif not is_count(plain, end):
            yield _whole(plain, start, end, number, name)
    elif not is_count(plain, end):
        yield from _read_named(plain, start, match.start("surah"), name)


def _read_named(plain: str, start: int, at: int, name: str) -> Iterator[Citation]:
    """Ayahs of a surah that is named but not numbered."""
    numbers = surahs.find_numbers(name)
    for place in read_verses(plain, at, start, 0, "v"):
        if place.chapter:
            yield _citation(plain, place, None)
            continue
        text = plain[place.start : place.end]
        judged = [_judge(place._replace(chapter=n, last_chapter=n)) for n in sorted(numbers)]
        reference = f"{surahs.TITLES[min(numbers) - 1]} {place.verses()}" if numbers else text
        if not numbers:
            judgement = _unknown(name)
        else:
            judgement = next((one for one in judged if one == EXISTS), judged[0])
        yield Citation(place.start, place.end, text, "quran", reference, *judgement)


def _unknown(name: str) -> Judgement:
    if name.lower().startswith("the "):
        return Judgement(Status.UNVERIFIABLE, f"no surah is known here by the name {name}")
    return Judgement(Status.MISSING, f"no surah is called {name}")


def _read_name(plain: str, match: re.Match[str]) -> Iterator[Citation]:
    numbers = surahs.find_numbers(match["name"])
    arabic = re.match(rf"{_ARTICLE}-|[AaĀ]li?[-\s]|Ya|Ta", match["name"]) is not None
    if match["surah"] is None:
        if numbers and arabic:
            yield from _read_named(plain, match.start(), match.end(), match["name"])
        return
    number = int(match["surah"])
    if number in numbers or (arabic and numbers):
        yield from _read_numbers(plain, match.start(), match.end(), number, match["name"])


def _read_numbers(
    plain: str,
    start: int,
    at: int,
    surah: int,
    name: str | None = None,
    sign: re.Match[str] | None = None,
) -> Iterator[Citation]:
    """The ayahs after a surah's number, and the list that may follow."""
    sign = sign or _SIGN.match(plain, at)
    if sign is None:
        return
    places = read_verses(plain, sign.end(), start, surah, ":")
    if not places or is_clock_or_score(plain, places[0].end):
        return
    for index, place in enumerate(places):
        yield _citation(plain, place, name if index == 0 else None)


def _citation(plain: str, place: Place, name: str | None) -> Citation:
    judgement = _judge(place)
    if 1 <= place.chapter <= len(surahs.AYAHS) and name is not None:
        judgement = _name_agrees(name, place.chapter) or judgement
    text = plain[place.start : place.end]
    reference = f"Qur'an {place.numbers()}"
    return Citation(place.start, place.end, text, "quran", reference, *judgement)


def _whole(plain: str, start: int, end: int, surah: int, name: str | None = None) -> Citation:
    judgement = _judge_surah(surah)
    if judgement.status is not Status.MISSING and name is not None:
        judgement = _name_agrees(name, surah) or judgement
    return Citation(start, end, plain[start:end], "quran", f"Qur'an {surah}", *judgement)


def _name_agrees(name: str, surah: int) -> Judgement | None:
    """What is wrong with a surah's name; None: it is the one of that number."""
    if surahs.could_mean(name, surah):
        return None
    title = surahs.TITLES[surah - 1]
    others = surahs.find_numbers(name)
    if others:
        number = min(others)
        why = f"surah {surah} is {title}; {surahs.TITLES[number - 1]} is surah {number}"
        return Judgement(Status.MISSING, why)
    if name.lower().startswith("the "):
        return None
    return Judgement(Status.MISSING, f"surah {surah} is {title}, and no surah is called {name}")


def _judge(place: Place) -> Judgement:
    return judge(place, _judge_surah, _judge_ayah)


def _judge_surah(surah: int) -> Judgement:
    if 1 <= surah <= len(surahs.AYAHS):
        return Judgement(Status.TOO_BROAD, "a whole surah; name the ayahs meant")
    return Judgement(Status.MISSING, f"the Qur'an has 114 surahs, so there is no surah {surah}")


def _judge_ayah(surah: int, ayah: int) -> Judgement:
    if not 1 <= surah <= len(surahs.AYAHS):
        return _judge_surah(surah)
    count = surahs.AYAHS[surah - 1]
    if 1 <= ayah <= count:
        return EXISTS
    title = surahs.TITLES[surah - 1]
    why = f"surah {surah} ({title}) has {count} ayahs, so there is no ayah {ayah}"
    return Judgement(Status.MISSING, why)
