"""The scripture that rows cite: does it exist, are quotations right, does the metadata agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from theobot.data.examples import Example
from theobot.data.findings import Finding, error, warning
from theobot.scripture import Citation, Status, Verdict, find_citations
from theobot.scripture.pseudo import find_pseudo_scripture

_FOUND_WHOLE = frozenset({"bible", "quran", "gita", "dhammapada", "ccc", "ggs"})
"""Corpora of which every reference in the usual forms is found; of others some are names alone."""


def check_citations(example: Example, found: Sequence[Citation]) -> Iterator[Finding]:
    """What is wrong with the scripture of one row, whose answer cites what was found.

    Only a row that is meant to say so (`qtype` "cannot_verify") may ask about a place that does
    not exist, and name it again to deny it.
    """
    where = example.where
    declines = example.meta.get("qtype") == "cannot_verify"
    asked = find_citations(example.prompt)
    if declines:
        denied = {citation.reference for citation in asked if citation.status is Status.MISSING}
        found = [citation for citation in found if citation.reference not in denied]
    else:
        yield from _missing(where, "prompt", asked)
    yield from _missing(where, "answer", found)
    for citation in found:
        quotation = citation.quotation
        if quotation is not None and quotation.verdict is Verdict.DIFFERS:
            yield warning(
                where,
                "quotation",
                f'"{quotation.text}" beside {citation.reference}: {quotation.reason}.',
            )
        if citation.status is Status.OMITTED:
            yield warning(where, "citation", f"{citation.text}: {citation.reason}.")
    if not declines and example.meta.get("qtype") != "misconception":
        for saying in find_pseudo_scripture(example.completion):
            yield warning(where, "not_scripture", f'"{saying.text}": {saying.reason}.')
    yield from _against_meta(example, found)


def _missing(where: str, part: str, found: Sequence[Citation]) -> Iterator[Finding]:
    for citation in found:
        if citation.status is Status.MISSING:
            yield error(
                where,
                "citation",
                f"the {part} cites {citation.text}, which does not exist: {citation.reason}.",
            )


def _against_meta(example: Example, found: Sequence[Citation]) -> Iterator[Finding]:
    listed = example.meta.get("citations")
    if not isinstance(listed, list):
        return
    named = {
        (str(item.get("corpus")), str(item.get("ref"))) for item in listed if isinstance(item, dict)
    }
    cited = {(str(citation.corpus), citation.reference) for citation in found}
    for corpus, reference in sorted(cited - named):
        yield warning(
            example.where, "metadata", f"cites {reference} ({corpus}); meta.citations lacks it."
        )
    for corpus, reference in sorted(named - cited):
        if corpus in _FOUND_WHOLE:
            yield warning(
                example.where,
                "metadata",
                f"meta.citations has {reference} ({corpus}); the answer does not cite it.",
            )
