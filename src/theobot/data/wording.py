"""How an answer is worded: its end, its length, whose voice it has, and for whom it speaks.

Rules of good GCSE answers that a program can see. What stands in quotation marks is somebody
else's wording and does not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from theobot.curriculum.question_types import QuestionType, type_of
from theobot.data.examples import Example
from theobot.data.findings import Finding, warning
from theobot.data.spelling import american_words

_QUOTED = re.compile(
    r"\"[^\"]*\"|\u201c[^\u201d]*\u201d|(?<!\w)'[^'\n]*'(?!\w)|\u2018[^\u2019]*\u2019(?!\w)"
)
_ENDING = re.compile(r"[.!?\u2026][\"'\u201d\u2019)\]]*$")
_SHORT = 15

_FIRST_PERSON = re.compile(
    r"(?<![\w.])(?:I(?:'(?:m|ve|d|ll))?|[Mm]y|[Mm]ine|[Mm]yself|[Ww]e(?:'(?:re|ve|d|ll))?|[Oo]urs"
    r"|[Oo]urselves|our|Our(?! (?:Lady|Lord|Father)\b)|me|us)(?![\w'-])"
)
# "Vatican I", "Part I", "Elizabeth I", "I Corinthians", "A) I": numbers and letters, not people.
_NAME_BEFORE = re.compile(r"(?:[A-Z][\w'-]*|[A-D]\))\s$")
_NUMERAL_AFTER = re.compile(
    r"\s(?:Samuel|Kings|Chronicles|Corinthians|Thessalonians|Timothy|Peter|John|Maccabees)\b"
)

_PEOPLE = (
    r"(?:Christians?|Catholics?|Protestants?|Anglicans?|Methodists?|Baptists?|Quakers?|Muslims?"
    r"|Sunnis?|Shi'as?|Shias?|Jews?|Jewish people|Buddhists?|Hindus?|Sikhs?|humanists?|atheists?"
    r"|agnostics?|non-religious people|religious people|believers)"
)
_ABSOLUTE = re.compile(
    rf"(?<!\bnot )(?<!\bfor )(?<!\bto )(?<!\bof )\b(?:all|every|each|no)\s+(?:\w+\s+)?{_PEOPLE}\b"
    r"(?!\s+(?:who|should|must|can|may|could|ought|aged|over|under|in need)\b)"
    rf"|\b{_PEOPLE}\s+(?:all|always|never)\s+(?!be\b)\w+",
    re.IGNORECASE,
)
_CONTRAST = re.compile(
    r"\b(?:whereas|however|by contrast|in contrast|on the other hand|others?|but|although|though"
    r"|disagree\w*|yet|while|differ\w*|instead|unlike|oppos\w+|critics?|against|nevertheless"
    r"|even so|reply|replies|object\w*|conversely|rather|answers?|respond\w*|contrary)\b",
    re.IGNORECASE,
)


def check_wording(example: Example) -> Iterator[Finding]:
    """Everything that can be said of one answer's wording."""
    kind = type_of(example.question, example.meta.get("qtype"))
    answer = example.completion.strip()
    own = _QUOTED.sub(lambda quoted: " " * len(quoted[0]), answer)
    where = example.where
    yield from _ending(where, answer, kind)
    yield from _length(where, answer, kind)
    yield from _voice(where, own)
    if example.meta.get("qtype") not in ("misconception", "cannot_verify"):
        yield from _claims(where, own)
    if kind and kind.discusses and not _CONTRAST.search(own.casefold()):
        yield warning(where, "one_view", "discusses, but only one view can be seen; add the other.")
    for word, british in american_words(own):
        yield warning(where, "spelling", f'"{word}" is American; British: "{british}".')


def _ending(where: str, answer: str, kind: QuestionType | None) -> Iterator[Finding]:
    short = kind.most <= _SHORT if kind else len(answer.split()) <= _SHORT
    if not short and not _ENDING.search(answer):
        yield warning(
            where, "ending", f'ends with "{answer[-20:]}"; a full stop was expected. Is it cut off?'
        )


def _length(where: str, answer: str, kind: QuestionType | None) -> Iterator[Finding]:
    words = len(answer.split())
    if kind and not kind.least <= words <= kind.most:
        yield warning(where, "length", f"{words} words; {kind.least} to {kind.most} were expected.")


def _voice(where: str, own: str) -> Iterator[Finding]:
    for found in _FIRST_PERSON.finditer(own):
        # Part of a name, such as "Vatican I" or the charity "All We Can".
        named = found[0][0].isupper() and _NAME_BEFORE.search(own, 0, found.start())
        if named or (found[0] == "I" and _NUMERAL_AFTER.match(own, found.end())):
            continue
        yield warning(where, "first_person", f'says "{found[0]}"; the third person was expected.')
        return


def _claims(where: str, own: str) -> Iterator[Finding]:
    for found in _ABSOLUTE.finditer(own):
        yield warning(
            where,
            "absolute",
            f'"{" ".join(found[0].split())}" speaks for everyone; say "many" or "some", or who.',
        )
