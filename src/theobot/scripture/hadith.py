"""References to hadith: a short list of sound and well-known ones, all others cannot be verified.

Numbers differ from edition to edition, so a number that is not on the list is never called wrong;
only an-Nawawi's forty-two are the same everywhere.
The list follows the international numbering of Bukhari and the numbering of Muslim by Fu'ad `Abd
al-Baqi.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from theobot.scripture.citation import EXISTS, Citation, Judgement, Status, is_count
from theobot.scripture.places import near

_NUMBERS = (
    "Bukhari: 1 8 10 13 50 52 660 2320 2363 2442 3208 5063 5066 5090 5678 5778 5971 6013 6018 "
    "6114 6502 7376",
    "Muslim: 8 16 40 41 45 47 49 55 1400 1466 1552 1599 2319 2548 2564 2580 2609 2643",
    "Abu Dawud: 4941",
    "Tirmidhi: 1924",
    "Nawawi: " + " ".join(str(number) for number in range(1, 43)),
)
_KNOWN = {
    name: frozenset(numbers.split())
    for name, _, numbers in (line.partition(": ") for line in _NUMBERS)
}
_DISPUTED = {
    ("Abu Dawud", "2177"): "its chain is disputed (divorce as the most hated lawful thing)",
    ("Abu Dawud", "2178"): "its chain is disputed (divorce as the most hated lawful thing)",
    ("Ibn Majah", "2018"): "its chain is disputed (divorce as the most hated lawful thing)",
    ("Ibn Majah", "224"): "its chain is weak, though the meaning is widely accepted",
}

_COLLECTIONS = {
    "Bukhari": r"(?:Sahih\s+)?(?:[Aa]l-)?Bukh[aā]r[iī]",
    "Muslim": r"(?:Sahih\s+|(?<=\()|(?<=;\s)|(?<=and\s)|(?<=,\s))(?:Imam\s+)?Muslim",
    "Abu Dawud": r"(?:Sunan\s+)?Ab[iu]\s+Da'?[wv]?(?:oo|u|ū|uu)d",
    "Tirmidhi": r"(?:Jami'?\s+)?(?:[Aa][tl]-)?Tirm[ii][dz]h?[iī]",
    "Nasa'i": r"(?:Sunan\s+)?(?:[Aa][nl]-)Nasa'?[iī]",
    "Ibn Majah": r"(?:Sunan\s+)?Ibn\s+M[aā]j[ae]h?",
    "Muwatta": r"(?:Malik's\s+)?Muwatta'?(?:\s+(?:Imam\s+)?Malik)?",
    "Ahmad": r"Musnad\s+(?:Imam\s+)?A[hḥ]mad",
    "Nawawi": r"(?:[Aa][nl]-)?Nawaw[iī](?:'s)?(?:\s+(?:Forty|40)(?:\s+Hadith)?)?"
    r"|(?:Forty|40)\s+Hadith",
    "Riyad as-Salihin": r"Riya[dz]h?\s+(?:[Aa][sl]-?\s?)?Saliheen|Riya[dz]h?\s+[Aa][sl]-Salihin",
    "Mishkat": r"Mishkat(?:\s+al-Masabih)?",
    "al-Kafi": r"[Aa]l-Kafi",
}
_WHERE = (
    r"[\s,:.]*\(?\s?(?P<place>(?:(?:vol(?:ume)?|book|bk)\.?\s*\d{1,3}[\s,:/]*)+)?"
    r"(?:(?:hadith|hadeeth|no|nos|number|#)\.?\s*)*"
    r"(?P<number>\d{1,5}[a-z]?(?![A-Za-z\d])(?:[:/]\d{1,5}(?:[:/]\d{1,5})?)?)"
)
_AFTER = {
    name: re.compile(rf"(?<![A-Za-z]){head}{_WHERE}", re.IGNORECASE if name != "Muslim" else 0)
    for name, head in ((name, f"(?:{head})") for name, head in _COLLECTIONS.items())
}
_BEFORE = {
    name: re.compile(
        rf"(?<![A-Za-z])[Hh]adith\s+(?:no\.?\s*|number\s+)?(?P<number>\d{{1,5}})\s+(?:of|in"
        rf"|from)\s+"
        rf"(?:the\s+)?(?:Imam\s+)?(?:{head})"
    )
    for name, head in _COLLECTIONS.items()
    if name != "Muslim"
}
_ANCHORS = {
    "Bukhari": re.compile("[Bb]ukh|BUKH"),
    "Muslim": re.compile(r"Muslim\b(?=\D{0,20}\d)"),
    "Abu Dawud": re.compile(r"D[aA]'?[wvWV]?(?:oo|u|ū|OO|U)[dD]"),
    "Tirmidhi": re.compile("[Tt]irm"),
    "Nasa'i": re.compile("[Nn]as[aā]'?[iī]"),
    "Ibn Majah": re.compile("Ibn M"),
    "Muwatta": re.compile("Muwat"),
    "Ahmad": re.compile("Musnad"),
    "Nawawi": re.compile("[Nn]awaw|(?:40|[Ff]orty) [Hh]ad"),
    "Riyad as-Salihin": re.compile("Riya"),
    "Mishkat": re.compile("Mishkat"),
    "al-Kafi": re.compile("-Kafi"),
}
_YEARS = re.compile(r"\s?-\s?\d{3}|\s*(?:CE|AD|AH)\b")


def find(plain: str) -> Iterator[Citation]:
    """Find references to hadith.

    Args:
        plain: the text after `citation.plain`.
    """
    for name, pattern in _AFTER.items():
        for match in near(pattern, _ANCHORS[name], plain):
            if not is_count(plain, match.end()) and not _YEARS.match(plain, match.end()):
                yield _cite(match, name, match["place"] or "")
    for name, pattern in _BEFORE.items():
        for match in near(pattern, _ANCHORS[name], plain):
            yield _cite(match, name, "")


def _cite(match: re.Match[str], name: str, place: str) -> Citation:
    number = match["number"]
    judgement = Judgement(
        Status.UNVERIFIABLE, "not on the list of hadith known here; numbers differ by edition"
    )
    if not place:
        if number in _KNOWN.get(name, ()):
            judgement = EXISTS
        elif (name, number) in _DISPUTED:
            judgement = Judgement(Status.EXISTS, _DISPUTED[name, number])
        elif name == "Nawawi" and number.isdigit():
            why = f"an-Nawawi's collection has 42 hadith, so there is no number {number}"
            judgement = Judgement(Status.MISSING, why)
    text = match[0].strip()
    start = match.start() + match[0].index(text)
    reference = f"{name} {place}{number}"
    return Citation(start, match.end(), text, "hadith", reference, *judgement)
