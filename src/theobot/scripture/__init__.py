"""References to scripture in free text: do they exist, and are the words quoted theirs?

`find_citations` is the whole of it; `find_pseudo_scripture` finds sayings that are quoted as
scripture and stand in none. Existence is checked hard, wording only advised on: translations
differ. Layers: reads nothing but `theobot.errors`.
"""

from __future__ import annotations

from theobot.scripture.citation import Citation, Corpus, Quotation, Status, Verdict
from theobot.scripture.finder import find_citations
from theobot.scripture.pseudo import PseudoScripture, find_pseudo_scripture

__all__ = [
    "Citation",
    "Corpus",
    "PseudoScripture",
    "Quotation",
    "Status",
    "Verdict",
    "find_citations",
    "find_pseudo_scripture",
]
