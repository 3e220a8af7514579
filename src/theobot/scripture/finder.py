"""All references of a text, whatever the corpus, in the order in which they stand."""

from __future__ import annotations

from theobot.scripture import bible, chaptered, hadith, numbered, quotation, quran, rabbinic
from theobot.scripture.citation import Citation, plain

_FINDERS = (
    quran.find,
    rabbinic.find,
    numbered.find,
    chaptered.find,
    hadith.find,
    bible.find,
)


def find_citations(text: str) -> list[Citation]:
    """Find every reference to scripture in a text, with its place and whether it exists.

    Args:
        text: free text of any length.

    Returns:
        Citations in the order of the text; their spans index `text` and never overlap.
    """
    even = plain(text)
    found = [citation for find in _FINDERS for citation in find(even)]
    kept = [_closed(even, citation) for citation in _without_overlaps(found)]
    quoted = quotation.attach(even, kept)
    return [
        citation._replace(
            text=text[citation.start : citation.end],
            quotation=citation.quotation
            and citation.quotation._replace(
                text=text[citation.quotation.start : citation.quotation.end]
            ),
        )
        for citation in quoted
    ]


def _closed(even: str, citation: Citation) -> Citation:
    """Take in the bracket that ends "Surah 4 (An-Nisa, 34)"."""
    open_brackets = citation.text.count("(") > citation.text.count(")")
    if open_brackets and even[citation.end : citation.end + 1] == ")":
        return citation._replace(end=citation.end + 1)
    return citation


def _without_overlaps(found: list[Citation]) -> list[Citation]:
    """Of references that overlap keep the longest: "Surah Jonah 10:99" is not the book of Jonah."""
    kept: list[Citation] = []
    for citation in sorted(found, key=lambda one: (one.start, -one.end)):
        if kept and citation.start < kept[-1].end:
            before = kept[-1]
            if citation.end - citation.start > before.end - before.start:
                kept[-1] = citation
            continue
        kept.append(citation)
    return kept
