"""The words of Bible verses, from the one translation that is at hand and free to give away."""

from __future__ import annotations

from typing import NamedTuple

import pythonbible

from theobot.scripture.citation import Citation, Status
from theobot.scripture.quotation import verse_ids, verse_text

TRANSLATION = "American Standard Version, 1901"
"""In the public domain. Its books are those of Protestant Bibles."""

MOST_VERSES = 6
"""A longer passage is no quotation any more, and would crowd a prompt."""


class VerseText(NamedTuple):
    """The words of a place.

    Args:
        reference: the place in one form, such as "Matthew 5:38-39".
        text: its words; verses of a range follow each other with a space between.
        translation: whose words they are.
    """

    reference: str
    text: str
    translation: str = TRANSLATION


def text_of(citation: Citation) -> VerseText | None:
    """The words of a citation; None where it is no place in the Bible, too long, or not at hand."""
    if citation.corpus != "bible" or citation.status is not Status.EXISTS:
        return None
    ids = verse_ids(citation.reference)
    if not 0 < len(ids) <= MOST_VERSES:
        return None
    found = [verse_text(one, pythonbible.Version.AMERICAN_STANDARD) for one in ids]
    verses = [" ".join(verse.split()) for verse in found if verse is not None]
    if len(verses) < len(ids):
        return None
    text = " ".join(verses)
    return VerseText(citation.reference, text) if text else None
