"""The books of the Bible under the names and abbreviations that people use for them.

British and American abbreviations, the two-letter ones of Catholic documents, the Vulgate's names
and the Hebrew names in their usual transliterations. The short forms follow common use; none of
them is ever called wrong.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import NamedTuple

# title: names and abbreviations. "#" stands for the number of a numbered book.
_BOOKS = {
    "Genesis": "gen ge gn bereshit bereishit bereshis b'reishit",
    "Exodus": "exod exo ex shemot shemos sh'mot",
    "Leviticus": "lev le lv levit vayikra vayiqra",
    "Numbers": "num nu nm nb numb bamidbar bemidbar b'midbar",
    "Deuteronomy": "deut deu dt de deuter devarim d'varim",
    "Joshua": "josh jos jsh yehoshua",
    "Judges": "judg jdg jg jdgs jgs shoftim",
    "Ruth": "rth ru rut",
    "1 Samuel": "#samuel #sam #sa #sm #shmuel",
    "2 Samuel": "",
    "1 Kings": "#kings #king #kgs #ki #kin #kg #melachim #melakhim",
    "2 Kings": "",
    "1 Chronicles": "#chronicles #chronicle #chron #chr #ch #paralipomenon",
    "2 Chronicles": "",
    "Ezra": "ezr",
    "Nehemiah": "neh ne nehem",
    "Tobit": "tob tb tobias",
    "Judith": "jdt jth judt",
    "Esther": "esth est es ester",
    "Job": "jb iyov",
    "Psalms": "psalm ps psa psm pss pslm psalter tehillim tehilim",
    "Proverbs": "prov pro prv pr proverb mishlei",
    "Ecclesiastes": "eccles eccl ecc ec eccle qoh qoheleth kohelet koheleth",
    "Song of Songs": "song|song of solomon|canticle of canticles|canticles|cant|sg|sos|s of s"
    "|song of sol|shir hashirim",
    "Wisdom": "wisdom of solomon|wis|ws|wisd|book of wisdom|wisd of sol",
    "Sirach": "sir ecclus ecclesiasticus sirah siracides",
    "Isaiah": "isa is isaias yeshayahu",
    "Jeremiah": "jer je jr jerem yirmiyahu",
    "Lamentations": "lam la lament eicha eikhah",
    "Baruch": "bar ba",
    "Letter of Jeremiah": "epistle of jeremiah|ep jer|let jer",
    "Ezekiel": "ezek eze ezk ez ezech yechezkel",
    "Daniel": "dan da dn",
    "Susanna": "sus",
    "Bel and the Dragon": "bel",
    "Prayer of Azariah": "pr azar",
    "Prayer of Manasseh": "pr man",
    "Hosea": "hos ho hoshea",
    "Joel": "jl yoel",
    "Amos": "am",
    "Obadiah": "obad ob oba",
    "Jonah": "jnh jon yonah",
    "Micah": "mic mi micha",
    "Nahum": "nah na",
    "Habakkuk": "hab hb habak",
    "Zephaniah": "zeph zep zp",
    "Haggai": "hag hg",
    "Zechariah": "zech zec zc zachariah zechar",
    "Malachi": "mal ml malachai",
    "1 Maccabees": "#maccabees #maccabee #macc #mac #mc",
    "2 Maccabees": "",
    "3 Maccabees": "",
    "4 Maccabees": "",
    "1 Esdras": "#esdras #esdr #esd",
    "2 Esdras": "",
    "Matthew": "matt mat mt mth matth",
    "Mark": "mk mrk mar mr",
    "Luke": "lk luk lu",
    "John": "jn jhn joh jo",
    "Acts": "ac|acts of the apostles|the acts of the apostles|acts of apostles|the acts",
    "Romans": "rom ro rm roms",
    "1 Corinthians": "#corinthians #corinthian #cor #co #corinth",
    "2 Corinthians": "",
    "Galatians": "gal ga galat",
    "Ephesians": "eph ephes",
    "Philippians": "phil php pp phillipians philipians phillippians",
    "Colossians": "col colossians coloss colosians",
    "1 Thessalonians": "#thessalonians #thess #thes #th #ths #thessalonian",
    "2 Thessalonians": "",
    "1 Timothy": "#timothy #tim #ti #tm",
    "2 Timothy": "",
    "Titus": "tit ti",
    "Philemon": "philem phlm phm pm",
    "Hebrews": "heb hebr he",
    "James": "jas jms jm jam",
    "1 Peter": "#peter #pet #pe #pt #ptr",
    "2 Peter": "",
    "1 John": "#john #jn #jo #joh #jhn",
    "2 John": "",
    "3 John": "",
    "Jude": "jud",
    "Revelation": "rev re rv apoc apocalypse revelations revel",
}

TITLES = tuple(_BOOKS)
"""Every book, numbered ones under each of their numbers."""

SINGLE_CHAPTER = frozenset(
    {
        "Obadiah",
        "Philemon",
        "2 John",
        "3 John",
        "Jude",
        "Susanna",
        "Bel and the Dragon",
        "Letter of Jeremiah",
        "Prayer of Azariah",
        "Prayer of Manasseh",
    }
)
"""Books cited by verse alone: "Jude 3" is a verse, not a chapter."""

# Names that are English words too: never a book in small letters.
_WORDS = frozenset(
    "acts act job numbers num numb judges song songs wisdom wis kings king dan mar col phil is "
    "am pro "
    "re rev ex le mal mic nah tit hag est pet bar sir bel sus tob act ac jon lam he be mat pr jam"
    " cant ho la de da es ne am na mi ti co ob ru lu ga ge ro jo ch so th pe pt mark ruth canticles"
    " proverb chronicle revel king apocalypse lament act mac jud hos sam tim kin".split()
)

# Names that persons or things bear too: "John 3" alone says nothing without "in" or "says".
_WEAK = frozenset(
    "joshua josh judges ruth samuel sam kings ezra tobias tobit judith esther ester job song "
    "wisdom "
    "daniel dan susanna joel amos jonah jon micah "
    ""
    " matthew matt mat mark mar luke john acts act romans timothy tim titus philip phil "
    "james"
    " jim peter pet jude numbers numb num col bel bar baruch chronicles hosea "
    " micha jam jas isa will tit corinth proverb mac king kin".split()
)


# Abbreviations of two letters that are a book in small letters too, as in "jn 3:16".
SMALL_LETTERS = frozenset("gn ex dt ps pr mt mk lk jn rm rv rev gal eph heb".split())

# Two-letter abbreviations that are words, or begin a sentence about a time.
_TINY = frozenset(
    "is am no so he me do re la de da le es ho na mi ti pr ob ge ne ro jo be es".split()
)

# Persons of the Bible in whose name it has no book.
PERSONS = (
    "Hezekiah Moses David Solomon Elijah Elisha Isaac Jacob Gideon Josiah Goliath Lazarus Paul "
    "Stephen "
    "Barnabas Bartholomew Zebulun Adam Aaron Caiaphas Herod Pilate Nicodemus"
).split()


class Name(NamedTuple):
    """What a written name may stand for.

    Args:
        titles: book titles; several where a number would have to choose between them.
        weak: whether persons or things bear the name too.
        short: whether it is so short that it needs a sign that a text is meant.
        word: whether it must begin with a capital letter.
    """

    titles: tuple[str, ...]
    weak: bool
    short: bool
    word: bool


_NUMBERS = {"i": 1, "first": 1, "one": 1, "ii": 2, "second": 2, "two": 2}
_NUMBERS |= {"iii": 3, "third": 3, "three": 3, "iv": 4, "fourth": 4, "four": 4}


def fold(name: str) -> str:
    """A written name without its dots, extra spaces and capitals."""
    return " ".join(name.lower().replace(".", " ").split())


def number_of(written: str) -> int:
    """The number of a book, 1 to 4, as `NUMBER_PATTERN` finds it: "First ", "2nd", "III."."""
    return int(written[0]) if written[0].isdigit() else _NUMBERS[fold(written)]


def _names() -> tuple[dict[str, Name], dict[str, dict[int, str]]]:
    single: dict[str, Name] = {}
    numbered: dict[str, dict[int, str]] = {}
    family: list[str] = []
    for title, listed in _BOOKS.items():
        if title[0].isdigit():
            if listed:
                family = [alias.removeprefix("#") for alias in listed.split()]
            for alias in family:
                numbered.setdefault(alias, {})[int(title[0])] = title
            continue
        names = [title.lower(), *(listed.split("|") if "|" in listed else listed.split())]
        for alias in names:
            single[alias] = Name((title,), alias in _WEAK, alias in _TINY, alias in _WORDS)
    for alias, titles in numbered.items():
        if alias not in single and len(alias) > 2:
            # "Corinthians 13:4" without a number could be either letter.
            single[alias] = Name(tuple(titles.values()), alias in _WEAK, False, True)
    # The Vulgate and Greek Bibles count Samuel and Kings together as 1-4 Kings.
    for alias in ("kings", "kgs"):
        numbered[alias] |= {3: "1 Kings", 4: "2 Kings"}
    return single, numbered


SINGLE, NUMBERED = _names()


def look_up(number: str | None, written: str) -> Name | None:
    """What a name stands for, with the number written before it; None: there is no such book."""
    alias = fold(written)
    if number is None:
        return SINGLE.get(alias)
    title = NUMBERED.get(alias, {}).get(number_of(number))
    return Name((title,), False, False, len(alias) < 3) if title else None


def nearest(number: str | None, written: str) -> Name | None:
    """The book whose full name was misspelt, such as "Genisis" or "Pslam"; None: none is near.

    Near is one letter wrong, missing or too many in about seven, or two letters changed about.
    """
    alias = fold(written)
    known = NUMBERED if number else SINGLE
    names = [
        name
        for name in known
        if name[0] == alias[0] and len(name) > 4 and abs(len(name) - len(alias)) < 2
    ]
    found = get_close_matches(alias, names, 1, 0.85)
    found = found or [name for name in names if sorted(name) == sorted(alias)]
    return look_up(number, found[0]) if found else None


def is_numbered_family(written: str) -> bool:
    """Whether a name is that of books told apart by numbers, such as Corinthians."""
    return fold(written) in NUMBERED


def trie(words: list[str], space: str = r"\.?\s+") -> str:
    """One pattern that matches any of the words, with common beginnings shared.

    Args:
        words: what to match, sorted or not; the longest wins.
        space: pattern of a space between words.
    """
    heads: dict[str, list[str]] = {}
    for word in words:
        heads.setdefault(word[:1], []).append(word[1:])
    parts = []
    for head, tails in sorted(heads.items()):
        if head:
            letter = space if head == " " else re.escape(head)
            parts.append(letter + trie(sorted(set(tails)), space))
    if not parts:
        return ""
    ending = "?" if "" in heads else ""
    return f"(?:{'|'.join(parts)}){ending}"


NAME_PATTERN = trie(sorted({*SINGLE, *NUMBERED}))
"""Matches any known name, the longest one first; meant for IGNORECASE."""

NUMBER_PATTERN = (
    r"(?:[1-4](?:st|nd|rd|th)?(?:\s?\.)?\s?|(?:III|II|IV|I|first|second|third|fourth|one|two|three"
    r"|four)\.?\s+)"
)
"""Matches the number of a book and the space after it."""
