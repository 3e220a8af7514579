"""Scripture put before the model: the words of the places that a question names.

A small model quotes badly from memory. Given the words, it need not. The reader is told what was
given, since the answer is then no longer the model's own knowledge.
"""

from __future__ import annotations

from typing import NamedTuple

from theobot.scripture.citation import Status
from theobot.scripture.finder import find_citations
from theobot.scripture.texts import TRANSLATION, VerseText, text_of

MOST_PLACES = 3
"""Of one question; further ones are left to the model."""

_LOOKED_AT = 4000
"""Letters at the beginning of a question; what follows is a text and no question any more."""


class Grounded(NamedTuple):
    """A question with scripture before it.

    Args:
        prompt: what to ask instead of the question; the question itself where nothing was found.
        given: the places whose words the prompt holds, in the order of the question.
        missing: one sentence for each place that the question names and that does not exist.
    """

    prompt: str
    given: list[VerseText]
    missing: list[str]


def ground(question: str) -> Grounded:
    """Look up the Bible references of a question and put their words before it.

    The form is fixed, so that it can be measured: a line that names the translation, a line
    `REFERENCE: "TEXT"` for each place, an empty line, the question as it was.

    Args:
        question: what a person asked.
    """
    given: list[VerseText] = []
    missing: list[str] = []
    for citation in find_citations(question[:_LOOKED_AT]):
        if citation.status is Status.MISSING:
            missing.append(f"{citation.text} does not exist: {citation.reason}.")
        verse = text_of(citation)
        if verse is not None and verse not in given and len(given) < MOST_PLACES:
            given.append(verse)
    if not given:
        return Grounded(question, [], missing)
    lines = [f'{verse.reference}: "{verse.text}"' for verse in given]
    prompt = "\n".join([f"Scripture ({TRANSLATION}):", *lines, "", question])
    return Grounded(prompt, given, missing)
