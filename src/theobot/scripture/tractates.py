"""The tractates of Mishnah and Talmud: chapters, last folios and names.

Mishnayot are counted as in the usual printed editions; where those differ, the larger count stands.
Folios are those of the Vilna edition of the Babylonian Talmud, in which every tractate but a few
begins on 2a.
"""

from __future__ import annotations

import re

# title | last folio of the Babylonian Talmud ("-": none) | mishnayot of each chapter | other names
_TABLE = """
Berakhot | 64a | 5 8 6 7 5 8 5 8 5 | berachot brachot berachos brachos ber
Peah | - | 6 8 8 11 8 11 8 9 | pe'ah pea
Demai | - | 4 5 6 7 11 12 8 | demay
Kilayim | - | 9 11 7 9 8 9 8 6 10 | kilaim
Sheviit | - | 8 10 10 10 9 6 7 11 9 9 | shevi'it sheviis
Terumot | - | 10 6 9 13 9 6 7 12 7 12 10 | terumos
Maasrot | - | 8 8 10 6 8 | ma'asrot maaserot ma'aserot
Maaser Sheni | - | 7 10 13 12 15 | ma'aser sheni
Challah | - | 9 8 10 11 | hallah
Orlah | - | 9 17 9 |
Bikkurim | - | 11 11 12 5 | bikurim
Shabbat | 157b | 11 7 6 2 4 10 4 7 7 6 6 6 7 4 3 8 8 3 6 5 3 6 5 5 | shabbos shab
Eruvin | 105a | 10 6 9 11 9 10 11 11 4 15 | eiruvin erubin
Pesachim | 121b | 7 8 8 9 10 6 13 8 11 9 | pesahim psachim pes
Shekalim | 22b | 7 5 4 9 6 6 7 8 | sheqalim
Yoma | 88a | 8 7 11 6 7 8 5 9 | yuma
Sukkah | 56b | 11 9 15 10 8 | sukka succah
Beitzah | 40b | 10 10 8 7 7 | beitza betzah beitsah
Rosh Hashanah | 35a | 9 9 9 9 | rosh hashana rosh ha-shanah
Taanit | 31a | 7 10 9 8 | ta'anit taanis
Megillah | 32a | 11 6 6 10 | megilla
Moed Katan | 29a | 10 5 9 | mo'ed katan moed qatan
Chagigah | 27a | 8 7 8 | hagigah chagiga hagiga
Yevamot | 122b | 4 10 10 13 6 6 6 6 6 9 7 6 13 9 10 7 | yebamot yevamos yebamoth
Ketubot | 112b | 10 10 9 12 9 7 10 8 9 6 6 4 11 | ketuvot ketubos kesubos ketuboth ket
Nedarim | 91b | 4 5 11 8 6 10 9 7 10 8 12 | ned
Nazir | 66b | 7 10 7 7 7 11 4 2 5 |
Sotah | 49b | 9 6 8 5 5 4 8 7 15 | sota
Gittin | 90b | 6 7 8 9 9 7 9 10 10 | gitin git
Kiddushin | 82b | 10 10 13 14 | kidushin qiddushin kid
Bava Kamma | 119b | 4 6 11 9 7 6 7 7 12 10 | baba kamma bava kama bava qamma baba qamma bk
Bava Metzia | 119a | 8 11 12 12 11 8 11 9 13 6 | baba metzia bava metsia bava mezia bava metziah bm
Bava Batra | 176b | 6 14 8 9 11 8 4 8 10 8 | baba batra bava bathra baba bathra bava basra bb
Sanhedrin | 113b | 6 5 8 5 5 6 11 7 6 6 6 | sanh
Makkot | 24b | 10 8 16 | makkos makot makkoth mak
Shevuot | 49b | 7 5 11 13 5 7 8 6 | shavuot shevuos
Eduyot | - | 14 10 12 12 7 3 9 7 | eduyyot
Avodah Zarah | 76b | 9 7 10 12 12 | avoda zara avodah zara az
Avot | - | 18 21 23 29 27 11 | pirkei avot pirke avot aboth pirke aboth ethics of the fathers
Horayot | 14a | 5 7 8 | horayos
Zevachim | 120b | 4 5 6 6 8 7 6 12 7 8 8 6 8 10 | zevahim
Menachot | 110a | 4 5 7 5 9 7 6 7 9 9 9 5 11 | menahot menachos
Chullin | 142a | 7 10 7 7 5 7 6 6 8 4 2 5 | hullin chulin hul
Bekhorot | 61a | 7 9 4 10 6 12 7 10 8 | bechorot bekorot
Arakhin | 34a | 4 6 5 4 6 5 5 7 8 | arachin
Temurah | 34a | 6 3 5 4 6 5 6 | temura
Keritot | 28b | 7 6 10 3 8 9 | kerisos keritut
Meilah | 22a | 4 9 8 6 5 6 | me'ilah
Tamid | 33b | 4 5 9 3 6 4 4 |
Middot | 37b | 9 6 8 7 4 | midot
Kinnim | 25a | 4 5 6 |
Kelim | - | 9 8 8 4 11 4 6 11 8 8 9 8 8 8 6 8 17 9 10 7 3 10 5 17 9 9 12 10 8 4 | keilim
Oholot | - | 8 7 7 3 7 7 6 6 16 7 9 8 6 7 10 5 5 10 | ohalot ahilot oholos
Negaim | - | 6 5 8 11 5 8 5 10 3 10 12 7 12 13 | nega'im
Parah | - | 4 5 11 4 9 5 12 11 9 6 9 11 |
Tohorot | - | 9 8 8 13 9 10 9 9 9 8 | taharot tahorot
Mikvaot | - | 8 10 4 5 6 11 7 5 7 8 | mikva'ot miqvaot
Niddah | 73a | 7 7 7 7 9 14 5 4 11 8 | nidda
Makhshirin | - | 6 11 8 10 11 8 | machshirin
Zavim | - | 6 4 3 7 12 |
Tevul Yom | - | 5 8 6 7 |
Yadayim | - | 5 4 5 8 |
Uktzin | - | 6 10 12 | uktsin
"""
# Several words make one name; elsewhere a space divides names.
_PHRASES = re.compile(
    r"(?:pirkei?|pirqe) (?:avot|aboth)|ethics of the fathers"
    r"|(?:baba|bava) \S+|ma'aser sheni|rosh \S+|moed qatan|mo'ed katan|avodah? zarah?|\S+"
)

FOLIOS: dict[str, tuple[int, str]] = {}
"""The last folio and side of each tractate that has Babylonian Talmud."""

MISHNAYOT: dict[str, tuple[int, ...]] = {}
"""Mishnayot of each chapter of each tractate."""

NAMES: dict[str, str] = {}
"""Written names after `fold`, and the tractate they mean."""


def fold(name: str) -> str:
    """A written name in small letters, with one space for each hyphen or run of spaces."""
    return " ".join(name.lower().replace("-", " ").split())


for _line in _TABLE.strip().splitlines():
    _title, _folio, _counts, _others = (part.strip() for part in _line.split("|"))
    MISHNAYOT[_title] = tuple(int(count) for count in _counts.split())
    if _folio != "-":
        FOLIOS[_title] = (int(_folio[:-1]), _folio[-1])
    for _name in (_title.lower(), *_PHRASES.findall(_others)):
        NAMES[fold(_name)] = _title
