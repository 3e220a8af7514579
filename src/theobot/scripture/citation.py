"""What a citation is, and what tells a citation from a time, a score or a mark."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Literal, NamedTuple

Corpus = Literal[
    "bible",
    "quran",
    "hadith",
    "talmud",
    "mishnah",
    "ccc",
    "document",
    "gita",
    "veda",
    "dhammapada",
    "pali",
    "ggs",
]
"""Which body of texts a citation belongs to; `ccc` is the Catechism, `ggs` the Guru Granth Sahib,
`document` a numbered document of the Catholic Church."""


class Status(StrEnum):
    """Whether the place that a citation names exists."""

    EXISTS = "exists"
    MISSING = "missing"
    TOO_BROAD = "too_broad"
    OMITTED = "omitted"
    UNVERIFIABLE = "unverifiable"


class Verdict(StrEnum):
    """Whether the words quoted beside a citation are those of the place."""

    MATCHES = "matches"
    DIFFERS = "differs"
    CANNOT_TELL = "cannot_tell"


class Quotation(NamedTuple):
    """Words in quotation marks that stand beside a citation.

    Args:
        start: first character of the words in the text.
        end: the character after the last one.
        text: the words, without their quotation marks.
        verdict: whether they are those of the place cited.
        reason: one sentence.
    """

    start: int
    end: int
    text: str
    verdict: Verdict
    reason: str


class Citation(NamedTuple):
    """A reference found in a text.

    Args:
        start: first character of the reference in the text.
        end: the character after the last one.
        text: the characters between, as they stand there.
        corpus: which body of texts it belongs to.
        reference: the reference in one form, such as "Matthew 5:38-39".
        status: whether it exists.
        reason: one sentence; empty where there is nothing to say.
        quotation: words quoted beside it, if any.
    """

    start: int
    end: int
    text: str
    corpus: Corpus
    reference: str
    status: Status
    reason: str = ""
    quotation: Quotation | None = None


class Judgement(NamedTuple):
    """A status and why."""

    status: Status
    reason: str = ""


EXISTS = Judgement(Status.EXISTS)

# Spaces and ends of lines other than "\n"; the last one of Unicode is U+3000.
_SPACES = [chr(code) for code in range(0x3001) if chr(code).isspace() and chr(code) != "\n"]
_SAME_LENGTH = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\uff0d", "-")
    | dict.fromkeys(_SPACES, " ")
    | dict.fromkeys("\u2018\u2019\u201b\u02bc\u02bb\u02bf\u02be\u0060\u00b4", "'")
    | {"\uff1a": ":", "\u2236": ":", "\ua789": ":"}
    # IGNORECASE takes these for i, s and k, so that a key looked up afterwards would be missing.
    | {"\u0131": "i", "\u0130": "I", "\u017f": "s", "\u212a": "K"}
)


def plain(text: str) -> str:
    """The text with one kind of dash, space, apostrophe and colon, each letter in its old place.

    Of white space only spaces and line feeds are left; "i", "s" and "k" have no other letter that
    a pattern with IGNORECASE would take for them.
    """
    return text.translate(_SAME_LENGTH)


# Times, scores, scales: they turn even "3:16" after a name into something else.
_CLOCK = re.compile(
    r"\s*(?:[ap]\.?\s?m\b|o'clock|hrs?\b|hours?\b|mins?\b|minutes?\b|secs?\b|seconds?\b|noon\b"
    r"|GMT\b"
    r"|BST\b|ratio\b|scale\b|odds\b|shift\b|bus\b|train\b|flight\b|kick-off\b|appointment\b|slot\b"
    r"|(?:home |away )?(?:win|victory|loss|defeat|score|scoreline)\b|on aggregate|at half[- ]time"
    r"|dentist\b|doctor\b|swimming\b|training\b|dinner\b|lunch\b|meeting\b|candle|service\b|start\b"
    r"|(?:in|on) (?:the|your|my|our|his|her|a) (?:diary|calendar|planner|spreadsheet|table|grid)\b"
    r"|(?:is|was|would be) (?:far |much )?(?:too|more) (?:late|early)\b|(?:works|suits)\b"
    r"|(?:monitors?|screens?|displays?|tv)\b"
    r"|(?:lead|draw|mix|mixture|split|model)\b(?=\s*(?:$|[.,;!?)]|over\b|against\b|of\b))"
    r"|to (?:one|win)\b|[:.]\d|/\d|-inch|x\d|%|°)",
    re.IGNORECASE,
)

# Things that are counted: "Daniel 12 years old", "Mark 4 marks".
_COUNTED = re.compile(
    r"\s*(?:(?<=\d)[-/][A-Za-z]|%|°|[£$€]|st\b|nd\b|rd\b|th\b"
    r"|(?:more |other |extra |different |new |full |whole |long |short |good |key |main |hundred |"
    r"thousand |million |per )?(?:(?:marks?|points?|answers?|tests?|grades?|parts?|stars?)"
    r"(?!\s+(?:out|to|that|how|this|the|a|hatred|towards|with)\b)|years?|yrs?|months?|weeks?|days?|hours?|minutes?|seconds?"
    r"|times?|goals?|pupils?|students?|people|persons?|children|boys?|girls?|men|women"
    r"|friends?|books?|questions?|papers?|essays?|pages?|lessons?|copies|tickets?|seats?"
    r"|votes?|players?|miles?|metres?|meters?|km|kg|cm|mm|pounds?|pence|dollars?|euros?|percent"
    r"|cent"
    r"|candidates?|reasons?|examples?|sheets?|letters?|sons?|daughters?|brothers?|sisters?"
    r"|wives|apples?|cups?|bottles?|cards?|exams?|quizzes|homeworks?"
    r"|lots?|of\s+the\s+(?:pupils|questions|papers|answers)|out\s+of|or\s+\d|to\s+\d"
    r"|January|February|March|April|May|June|July|August|September|October|November|December"
    r"|Jan|Feb|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\b)",
    re.IGNORECASE,
)

_BEFORE = re.compile(
    r"(?:[(\[]|\d\s?;|(?:^|[^A-Za-z])(?:in|see|from|of|reads?|reading|cf\.?|compare|quotes?"
    r"|quoted|quoting"
    r"|cites?|cited|citing|mention|mentions|mentioned|include|add|revis(?:e|ing)|learn|chapters?|gospel|book|does|do|e\.g\.?|i\.e\.?|uses?|using|study"
    r"|passages?"
    r"|verses?|letter|epistle|under|opens?|explain|summari[sz]e|scripture|bible|testament|torah"
    r"|tanakh|hebrew|greek|according to),?(?:\s+(?:the|st\.?|saint))?)\s*['\"]?$",
    re.IGNORECASE,
)

_AFTER = re.compile(
    r"\s*(?:\(|,?\s*(?:also\s+|clearly\s+|then\s+)?(?:says?|said|teach|teaches|taught|tells?|told"
    r"|describes?|records?|shows?|states?|reads|recounts?|contains?|commands?|suggests?|explains?"
    r"|argues?|speaks?|warns?|promises?|declares?|quotes?|mentions?|calls?|presents?|gives|offers"
    r"|speaks?|is about|is where|was written|implies|makes|means|instructs?|reminds?|reports?"
    r"|urges?|asks?|answers?|praises|mentions|lists|supports?|begins|ends|uses|refers|deals|concerns|sets"
    r"|(?:is|was|are|were)\s+(?:often\s+|also\s+|usually\s+)?(?:supposed|said|quoted|cited|read"
    r"|recited|chanted|sung|used|written|heard|about|where|taken))\b)",
    re.IGNORECASE,
)
_CLOSED = re.compile(r"\s*(?:$|[)\].,;:?!'\"])|\s-\s")


def is_clock_or_score(plain_text: str, end: int) -> bool:
    """Whether what follows makes "2:30" a time, a ratio or a score."""
    return _CLOCK.match(plain_text, end) is not None


def is_count(plain_text: str, end: int) -> bool:
    """Whether what follows makes "12" a number of things."""
    found = _COUNTED.match(plain_text, end) or _CLOCK.match(plain_text, end)
    return found is not None


def is_cited(plain_text: str, start: int, end: int) -> bool:
    """Whether the words around an ambiguous reference speak of a text, not of a person or thing."""
    before = plain_text[max(0, start - 24) : start]
    if _AFTER.match(plain_text, end) or _BEFORE.search(before):
        return True
    # "Ruth 4." alone is a reference; "Ruth 4, her brother 7" goes on about something else.
    return not before.strip() and plain_text[end : end + 1] != "," and is_closed(plain_text, end)


def is_age(plain_text: str, name_end: int, end: int) -> bool:
    """Whether a number stands between commas after a name: "John, 3, was baptised"."""
    return plain_text[name_end] == "," and plain_text[end : end + 1] == ","


def is_closed(plain_text: str, end: int) -> bool:
    """Whether a clause ends here."""
    return _CLOSED.match(plain_text, end) is not None
