"""Sayings that are often quoted as scripture and stand in none, or not so."""

from __future__ import annotations

import re
from typing import NamedTuple

from theobot.scripture.citation import plain


class PseudoScripture(NamedTuple):
    """A saying found in a text that is no scripture.

    Args:
        start: first character of the saying in the text.
        end: the character after the last one.
        text: the characters between.
        reason: where it comes from, or what scripture says instead.
    """

    start: int
    end: int
    text: str
    reason: str


_SAYINGS: tuple[tuple[str, str], ...] = (
    (
        r"(?:God|heaven|the Lord) helps? (?:those|them|him|he|people) (?:who|that) helps? "
        r"(?:themselves|himself)",
        "a proverb of Greek origin; it is not in the Bible",
    ),
    (
        r"(?<!love of )money is (?:the|a) root of all (?:kinds of )?evils?",
        "1 Timothy 6:10 speaks of the love of money",
    ),
    (
        r"spare the rod(?:,)? (?:and )?spoil the child",
        "a line of Samuel Butler (1664); Proverbs 13:24 says something like it in other words",
    ),
    (r"cleanliness is (?:next|close) to godliness", "a saying used by John Wesley; not a verse"),
    (
        r"(?:hate|love) the (?:sin|sinner),? (?:but |and )?(?:love|hate|not) the (?:sinner|sin)",
        "after a letter of Augustine; it is not a verse",
    ),
    (
        r"God (?:will not|won't|never|does not|doesn't) (?:ever )?gives? (?:you|us|anyone|anybody) "
        r"(?:any)?(?:more|thing more)(?: \w+)? than (?:you|we|they|he) can (?:handle|bear|cope "
        r"with)",
        "not in the Bible; 1 Corinthians 10:13 is about temptation",
    ),
    (
        r"God (?:works|moves) in (?:a )?mysterious ways?",
        "after a hymn of William Cowper (1773); it is not a verse",
    ),
    (r"this too (?:shall|will) pass", "a saying from Persian tales; it is not in the Bible"),
    (
        r"to thine own self be true",
        "Shakespeare, Hamlet, act 1; it is not in the Bible",
    ),
    (
        r"the lion (?:shall|will) (?:lie|lay) down with the lamb",
        "Isaiah 11:6 has the wolf with the lamb",
    ),
    (
        r"pride (?:comes|goes|cometh|goeth) before a fall",
        "Proverbs 16:18 says: pride before destruction, and a haughty spirit before a fall",
    ),
    (
        r"charity begins at home",
        "an English proverb; it is not in the Bible",
    ),
    (
        r"the eyes? (?:is|are) the windows? (?:to|of) the soul",
        "a proverb; Matthew 6:22 calls the eye the lamp of the body",
    ),
    (
        r"preach the gospel at all times[,;:]? (?:and )?(?:if|when) necessary,? use words",
        "ascribed to Francis of Assisi, in none of his writings",
    ),
    (
        r"the throne of (?:Allah|God|the Most Merciful) (?:shakes|trembles|is shaken)"
        r"|divorce (?:shakes|makes) the throne of (?:Allah|God)(?: shake| tremble)?",
        "no sound hadith: scholars of hadith call it fabricated",
    ),
    (
        r"seek knowledge,? even (?:if (?:it (?:is|be)|you (?:have to|must) go (?:as far )?as?) )?"
        r"(?:in|to|as far as|unto) China",
        "no sound hadith: scholars of hadith call its chains weak or fabricated",
    ),
    (
        r"the ink of (?:the|a) scholar is (?:more (?:sacred|holy|precious)|holier|greater) than "
        r"the blood "
        r"of (?:the|a) martyr",
        "no sound hadith",
    ),
    (
        r"be the change (?:that )?you (?:wish|want) to see in the world",
        "in none of Gandhi's writings in these words",
    ),
    (
        r"an eye for an eye (?:will )?(?:makes?|leaves?|only (?:ends up )?mak(?:es|ing)) the "
        r"whole world "
        r"(?:go )?blind",
        "in none of Gandhi's writings in these words",
    ),
    (
        r"holding on to anger is like (?:grasping|holding|drinking) [\w\s]{3,60}?"
        r"(?:burned|burnt|to die|someone else)",
        "not in the Pali canon",
    ),
    (
        r"(?:the mind is everything[.,;:]? what you think,? you become|what you think,? you "
        r"become)",
        "not in the Pali canon in these words; compare Dhammapada 1-2",
    ),
    (
        r"three things cannot (?:be )?long (?:be )?hidden",
        "not in the Pali canon in these words",
    ),
    (
        r"pain is (?:inevitable|certain)[,;:.]? (?:but )?suffering is optional",
        "a modern saying; not in the Pali canon",
    ),
    (
        r"do not believe in anything simply because you have heard it",
        "a loose rewriting of AN 3.65, the discourse to the Kalamas",
    ),
)
_PATTERNS = tuple(
    (re.compile(r"\b(?:" + saying.replace(" ", r"\s") + r")\b", re.IGNORECASE), reason)
    for saying, reason in _SAYINGS
)
_DENIED = re.compile(
    r"\b(?:not|never|no(?:where)?|isn't|doesn't|does not|myth|misquot\w*|mistak\w*|wrongly|often "
    r"(?:said|thought|believed)|misattributed|popular(?:ly)?|proverb|rather than|in fact"
    r"|although many"
    r"|weak|fabricated|unsound|disputed|Cowper|Wesley|Shakespeare|Butler|hymn)\b",
    re.IGNORECASE,
)


def find_pseudo_scripture(text: str) -> list[PseudoScripture]:
    """Find sayings that are taken for scripture, unless the sentence itself says that they are not.

    Args:
        text: free text of any length.
    """
    even = plain(text)
    found = []
    for pattern, reason in _PATTERNS:
        for match in pattern.finditer(even):
            if not _DENIED.search(_around(even, *match.span())):
                start, end = match.span()
                found.append(PseudoScripture(start, end, text[start:end], reason))
    return sorted(found)


def reason_against(quoted: str) -> str | None:
    """Why words are no scripture; None: they are not on the list."""
    return next((reason for pattern, reason in _PATTERNS if pattern.search(quoted)), None)


def _around(even: str, start: int, end: int) -> str:
    """The sentence around a saying, without the saying."""
    before = re.split(r"[.!?\n]\s", even[max(0, start - 160) : start])[-1]
    after = re.split(r"[.!?](?:\s|$)|\n", even[end : end + 160])
    return f"{before} {' '.join(after[:2])}"
