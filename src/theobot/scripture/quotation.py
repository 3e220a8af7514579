"""Words quoted beside a citation: are they those of the place?

Only the Bible's text is at hand: the American Standard Version of 1901, and any other text of
`pythonbible` that is installed and sound. Translations differ widely (a true quotation from a
modern one may share no word with the ASV), so the verdict is advice: "matches" and "differs" are
said only where the words leave little doubt.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from functools import cache, lru_cache
from importlib.util import find_spec

import pythonbible

from theobot.scripture import canon
from theobot.scripture.citation import Citation, Quotation, Status, Verdict
from theobot.scripture.pseudo import reason_against

_QUOTED = re.compile(
    r"[“”]([^“”\n]{8,600})”|\"([^\"\n]{8,600})\"|(?<!\w)'((?:[^'\n]|(?<=\w)'(?=\w)){8,600})'(?!\w)"
)
_LEAST_WORDS = 3
# Between the words and the citation after them, and between a citation and the words after it.
_TO_CITATION = re.compile(
    r"[\"'”]?[\s,.;:!?(\[-]*(?:(?:is |are )?(?:from|in|see|says|at)\s+)?(?:the\s+)?(?:(?:book"
    r"|gospel"
    r"|letter)\s+(?:of|to)\s+(?:the\s+|St\s+)?)?",
    re.IGNORECASE,
)
_TO_WORDS = re.compile(r"[^.;!?\n\"“”]{0,70}")

# Sound texts that may be installed beside the ASV. The packages of the Douay-Rheims and of the
# World English Bible are corrupt: verses cut at the wrong places, dummy verses.
_OTHER_TEXTS = {"kjv": "KING_JAMES", "akjv": "AMERICAN_KING_JAMES", "leeser": "LEESER"}

_OLD_WORDS = {
    "thou": "you",
    "thee": "you",
    "ye": "you",
    "thy": "your",
    "thine": "your",
    "unto": "to",
    "hath": "has",
    "doth": "does",
    "art": "are",
    "shalt": "shall",
    "wilt": "will",
    "hast": "have",
    "saith": "says",
    "jehovah": "lord",
    "jehovah's": "lord's",
    "yahweh": "lord",
    "upon": "on",
    "neighbor": "neighbour",
    "honor": "honour",
}
_COMMON = frozenset(
    "a an the and or but of to in on for from with by as at is are was were be been am do does "
    "did has "
    "have had will shall may that this these those it its he him his she her they them their you "
    "your i "
    "me my we us our who whom which what not no so if then there all any also let when into out "
    "up one "
    "unto must should can".split()
)
_NEGATIONS = frozenset({"not", "no", "never", "neither", "nor", "none", "cannot"})

_MATCH = 0.8
_CLOSER = 0.5
_LONG = 6


def attach(plain: str, citations: list[Citation]) -> list[Citation]:
    """Give each citation the words quoted beside it, with a verdict.

    Args:
        plain: the text after `citation.plain`.
        citations: in the order of the text.
    """
    if not citations:
        return citations
    pairs: dict[int, tuple[int, int]] = {}
    at = 0
    for match in _QUOTED.finditer(plain):
        start, end = match.span(match.lastindex or 0)
        if len(plain[start:end].split()) < _LEAST_WORDS:
            continue
        while at < len(citations) and citations[at].start < start:
            at += 1
        index = _beside(plain, citations, at, match.start(), match.end())
        if index is not None and index not in pairs:
            pairs[index] = (start, end)
    return [
        citation._replace(quotation=_judge(plain, citation, *pairs[index]))
        if index in pairs
        else citation
        for index, citation in enumerate(citations)
    ]


def _beside(plain: str, citations: list[Citation], at: int, start: int, end: int) -> int | None:
    """The citation that words in quotation marks belong to; `at` is the first one after them."""
    if at < len(citations) and citations[at].start < end:
        return None  # the citation itself stands inside the quotation marks
    if at < len(citations) and _TO_CITATION.fullmatch(plain, end, citations[at].start):
        return at
    if at and _TO_WORDS.fullmatch(plain, citations[at - 1].end, start):
        return at - 1
    return None


def _judge(plain: str, citation: Citation, start: int, end: int) -> Quotation:
    quoted = plain[start:end]
    verdict, reason = Verdict.CANNOT_TELL, "no text of this place is at hand"
    if (against := reason_against(quoted)) is not None:
        verdict, reason = Verdict.DIFFERS, against
    elif citation.corpus == "bible" and citation.status in (Status.EXISTS, Status.OMITTED):
        verdict, reason = _compare(quoted, citation.reference)
    return Quotation(start, end, quoted, verdict, reason)


def _compare(quoted: str, reference: str) -> tuple[Verdict, str]:
    """Compare words with the cited verses, in every text at hand."""
    words = _words(quoted)
    verses = verse_ids(reference)
    texts = [(name, text) for name in _versions() if (text := _text(name, verses))]
    if not texts or not words:
        return Verdict.CANNOT_TELL, "no text of this place is at hand"
    alike, name, text = max((_alike(words, text), name, text) for name, text in texts)
    if alike >= _MATCH:
        lost = _lost_negation(words, text)
        if lost is None:
            return Verdict.MATCHES, f"the wording of the {name}"
        return Verdict.DIFFERS, f'the {name} has "{lost}" among these words'
    other = _closer_verse(words, verses, name)
    if other is not None and alike <= _CLOSER:
        return Verdict.DIFFERS, f"these words stand in {other}"
    content = {_stem(word) for word in words} - _COMMON
    shared = content & {_stem(word) for word in text}
    if len(content) >= _LONG and len(shared) <= len(content) // 10:
        return Verdict.DIFFERS, f"shares hardly a word with the {name}"
    return Verdict.CANNOT_TELL, f"{alike:.0%} of the words are those of the {name}"


def _words(text: str) -> list[str]:
    found = re.findall(r"[a-z]+(?:'[a-z]+)?", text.lower())
    return [_OLD_WORDS.get(word, word) for word in found]


def _stem(word: str) -> str:
    for ending in ("eth", "est", "ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def _blocks(words: list[str], text: list[str]) -> list[tuple[int, int, int]]:
    matcher = SequenceMatcher(None, words, text, autojunk=False)
    return [(block.a, block.b, block.size) for block in matcher.get_matching_blocks() if block.size]


def _alike(words: list[str], text: list[str]) -> float:
    """Share of the quoted words that stand in the text in this order; beyond doubt, in any."""
    there = set(text)
    anywhere = sum(word in there for word in words) / len(words)
    if anywhere < _MATCH:
        return anywhere
    return sum(size for _, _, size in _blocks(words, text)) / len(words)


def _lost_negation(words: list[str], text: list[str]) -> str | None:
    """A "not" that stands among the quoted words in the text and not in the quotation."""
    blocks = _blocks(words, text)
    first, last = blocks[0][1], blocks[-1][1] + blocks[-1][2]
    span = text[first:last]
    count = sum(word in _NEGATIONS for word in words)
    there = [word for word in span if word in _NEGATIONS]
    return there[0] if len(there) > count and len(span) <= len(words) + 2 else None


def _closer_verse(words: list[str], verses: list[int], name: str) -> str | None:
    """Another verse of the same chapter whose words these are."""
    if len(words) < _LONG:
        return None
    chapter, inside = verses[0] // 1000, set(verses)
    for verse_id in range(chapter * 1000 + 1, chapter * 1000 + 177):
        text = [] if verse_id in inside else _text(name, [verse_id])
        if text and _alike(words, text) >= _MATCH:
            return f"verse {verse_id % 1000} of that chapter"
    return None


def verse_ids(reference: str) -> list[int]:
    """Ids of pythonbible for a Bible reference in this package's own form.

    Empty: not a verse, or one of its ends has no such number in English Bibles ("Genesis 32:32-33"
    is in the numbering of Hebrew ones, where each of these verses is another).
    """
    match = re.fullmatch(r"(.+?) (?:(\d+):)?(\d+)(?:-(?:(\d+):)?(\d+))?", reference)
    if match is None:
        return []
    title = "Psalms" if match[1] == "Psalm" else match[1]
    book = canon.enum_of(title)
    if book is None:
        return []
    chapter, verse = int(match[2] or 1), int(match[3])
    last_chapter, last = int(match[4] or chapter), int(match[5] or verse)
    if verse > canon.verses(title, chapter) or last > canon.verses(title, last_chapter):
        return []
    ids = []
    for number in range(chapter, last_chapter + 1):
        low = verse if number == chapter else 1
        high = last if number == last_chapter else canon.verses(title, number)
        ids += [pythonbible.get_verse_id(book, number, at) for at in range(low, high + 1)]
    return ids


def verse_text(verse_id: int, version: pythonbible.Version) -> str | None:
    """The words of one verse as a text prints them; None where the text lacks it."""
    try:
        return str(pythonbible.get_verse_text(verse_id, version=version))
    except (pythonbible.VersionMissingVerseError, pythonbible.InvalidVerseError):
        return None


@cache
def _versions() -> dict[str, pythonbible.Version]:
    """Texts at hand, by their abbreviations."""
    found = {"ASV": pythonbible.Version.AMERICAN_STANDARD}
    for code, name in _OTHER_TEXTS.items():
        version = pythonbible.Version.__members__.get(name)
        if version is not None and find_spec(f"pythonbible_{code}") is not None:
            found[code.upper()] = version
    return found


def _text(name: str, verses: list[int]) -> list[str]:
    return [word for verse_id in verses for word in _verse(name, verse_id)]


@lru_cache(maxsize=4096)
def _verse(name: str, verse_id: int) -> tuple[str, ...]:
    """Words of a verse; empty where the text lacks it."""
    return tuple(_words(verse_text(verse_id, _versions()[name]) or ""))
