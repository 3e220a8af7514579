"""How often answers of either arm show a fault that needs no mark scheme to be seen."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from theobot.bench.answers import AnswerRecord
from theobot.bench.questions import Question
from theobot.bench.scoring.health import repeats_itself
from theobot.bench.scoring.scores import CitationCount, count_citations
from theobot.bench.statistics import Rate, wilson

_ROLES = re.compile(r"(?:^|\n)\s*(?:User|Assistant|Human|System):|<\|im_(?:start|end)\|>")
_REFUSES = re.compile(
    r"\bI\s*(?:am|'m)?\s*(?:sorry|unable to|not able to|can(?:no|')t (?:help|assist|provide))"
    r"\b",
    re.IGNORECASE,
)
_RELIGIOUS = re.compile(
    r"\b(?:god|allah|jesus|christ(?:ian)?s?|church|bible|qur'?an|muslims?|islam|jews?|jewish|torah"
    r"|buddh\w+|hindus?|sikhs?|prayer|pray(?:s|ed|ing)?|faiths?|scripture|holy|worship|religio\w+"
    r"|sacred|dharma|karma|gurdwara|mosque|synagogue)\b",
    re.IGNORECASE,
)


def count_rates(
    questions: Sequence[Question], records: Sequence[AnswerRecord]
) -> list[tuple[str, Rate, Rate]]:
    """Name, rate of the base and rate of Theobot, each with its Wilson interval.

    Args:
        questions: that were asked.
        records: answers of both arms.
    """
    by_id = {question.id: question for question in questions}
    # A server that does not tell why an answer ended leaves a rate over the others worth nothing.
    untold = {record.arm for record in records if record.stop_reason == "stop"}
    faults: list[tuple[str, Callable[[AnswerRecord], bool | None]]] = [
        ("ended by themselves", lambda r: None if r.arm in untold else r.stop_reason == "eos"),
        ("cut at their cap", lambda r: r.stop_reason == "length"),
        ("empty", lambda r: not r.text.strip()),
        ("repeat six words", lambda r: repeats_itself(r.text)),
        (
            "speak for the user or name roles",
            lambda r: None if r.arm in untold else _leaks_role(r),
        ),
        ("refuse", lambda r: bool(_REFUSES.search(r.text))),
        ("religious words where none were asked for", lambda r: _strays(by_id[r.id], r)),
    ]
    rates = [(name, *_both(records, test)) for name, test in faults]
    counts = {(one.id, one.arm): one for one in count_citations(records)}
    rates.append(("cite scripture", *_both(records, lambda r: counts[r.id, r.arm].cited > 0)))
    rates.append(
        (
            "cite what does not exist, of those that cite",
            *_both(records, lambda r: _cites_wrongly(counts[r.id, r.arm])),
        )
    )
    return rates


def _both(
    records: Sequence[AnswerRecord], test: Callable[[AnswerRecord], bool | None]
) -> tuple[Rate, Rate]:
    """Rates of base and Theobot; an answer for which the test is None does not count."""
    found: dict[str, list[bool]] = {"base": [], "theobot": []}
    for record in records:
        value = test(record)
        if value is not None:
            found[record.arm].append(value)
    base, theobot = (wilson(sum(values), len(values)) for values in found.values())
    return base, theobot


def _cites_wrongly(count: CitationCount) -> bool | None:
    return count.missing > 0 if count.cited else None


def _leaks_role(record: AnswerRecord) -> bool:
    return record.stop_reason == "new_turn" or bool(_ROLES.search(record.text))


def _strays(question: Question, record: AnswerRecord) -> bool | None:
    """Religious vocabulary in an answer to a question out of domain that has none."""
    if question.set != "out_of_domain" or _RELIGIOUS.search(question.text):
        return None
    return bool(_RELIGIOUS.search(record.text))
