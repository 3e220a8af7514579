"""What the page asks about: who answers here, what to ask, and which references a text holds."""

from __future__ import annotations

from typing import Any

from theobot import __version__
from theobot.curriculum.question_types import QUESTION_TYPES
from theobot.curriculum.shares import THEMES
from theobot.curriculum.starters import STARTERS
from theobot.generation.generator import Generator
from theobot.scripture.finder import find_citations
from theobot.scripture.texts import TRANSLATION, text_of
from theobot.serving.options import ServeOptions
from theobot.serving.protocol import MOST_TOKENS, CitationFound, CitationsFound

MODEL_NAMES = {"base": "Base model", "theobot": "Theobot"}


def about(generator: Generator, options: ServeOptions) -> dict[str, Any]:
    """Answer of GET /about."""
    records, settings = options.records, options.settings
    return {
        "version": __version__,
        "device": options.device,
        "base_model": generator.describe()["model"],
        "models": [{"id": arm, "name": MODEL_NAMES.get(arm, arm)} for arm in generator.arms],
        "max_tokens": {"default": settings.max_new_tokens, "most": MOST_TOKENS},
        "scripture": {"on": settings.scripture, "translation": TRANSLATION},
        "hints_first": {"on": settings.hints_first},
        "class_code_needed": settings.class_code is not None,
        "logging": records and {"days": records.days, "notice": records.notice()},
        "themes": [
            {
                "id": letter,
                "title": title,
                "starters": [
                    {"type": one.qtype, "marks": QUESTION_TYPES[one.qtype].marks, "text": one.text}
                    for one in STARTERS
                    if one.theme == letter
                ],
            }
            for letter, title in THEMES.items()
        ],
        "question_types": [
            {"id": name, "marks": kind.marks, "words": [kind.least, kind.most]}
            for name, kind in QUESTION_TYPES.items()
        ],
    }


def citations(text: str) -> CitationsFound:
    """Answer of POST /citations."""
    found = []
    for citation in find_citations(text):
        verse = text_of(citation)
        found.append(
            CitationFound(
                text=citation.text,
                start=citation.start,
                end=citation.end,
                corpus=citation.corpus,
                reference=citation.reference,
                status=citation.status.value,
                reason=citation.reason,
                verse_text=verse and verse.text,
                translation=verse and verse.translation,
            )
        )
    return CitationsFound(citations=found)
