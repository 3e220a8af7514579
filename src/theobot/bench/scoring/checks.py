"""Answers that can be checked without judgement: numbers, words, options, exact output.

A sidecar says how in `check`, `{"kind": ..., "value": ...}`:

- number: the number the answer comes to; units, separators, fractions and sentences may surround it
- word: one of the values as whole words, anywhere in the answer
- choice: the letter of the option chosen
- exact, regex, words_exactly, lines_exactly, json: the whole answer, nothing besides, since the
  question asks for exact output

"python" is a kind too, but no code is ever run; such answers are scored by key points.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import regex

from theobot.bench.scoring.matching import Passage, find_words
from theobot.bench.scoring.numbers import read_number
from theobot.bench.scoring.options import choose_option, read_options

if TYPE_CHECKING:
    from theobot.bench.questions import Question

NOT_RUN = "python"
"""The kind that is never checked by running."""
_LONGEST = 4_000
"""Longer answers are no match for a regex."""
_PATIENCE = 1.0
"""Seconds for a regex: somebody else's pattern could take for ever."""
_BULLET = re.compile(r"\s*(?:[-*\u2022\u2013]|\d+[.)])\s")
_FENCE = re.compile(r"```\w*\n(?P<body>.*?)\n?```", re.DOTALL)


class Checked(NamedTuple):
    """What a check found.

    Args:
        right: whether the answer is right.
        found: the words of the answer that were judged; "" where there were none.
        note: what a person should know, in one sentence; empty where nothing is to be said.
    """

    right: bool
    found: str
    note: str = ""


def check_of(question: Question) -> tuple[str, Any] | None:
    """Kind and value of a question's check.

    Where a sidecar has no check but an `expected` answer, a single letter is that of an option if
    the question has options; another text is looked for as words where there are no key points.
    """
    check, expected = question.meta.get("check"), question.meta.get("expected")
    if isinstance(check, dict):
        return str(check.get("kind")), check.get("value")
    if not isinstance(expected, str) or not expected.strip():
        return None
    if expected.strip().upper() in read_options(question.text):
        return "choice", expected.strip().upper()
    return None if question.meta.get("key_points") else ("word", [expected])


def check_problems(meta: Mapping[str, Any]) -> list[str]:
    """What is wrong with the check in a question's `meta`, one sentence each."""
    check = meta.get("check")
    if check is None:
        return []
    if not isinstance(check, dict):
        return [f"check is {check!r}; an object with kind and value was expected."]
    kind, value = check.get("kind"), check.get("value")
    if kind == NOT_RUN:
        return []
    if not isinstance(kind, str) or kind not in _KINDS:
        known = ", ".join([*_KINDS, NOT_RUN])
        return [f"check.kind is {kind!r}; one of {known} was expected."]
    expected = _wrong_value(kind, value)
    return [f"check.value is {value!r}; {expected} was expected."] if expected else []


def check_answer(question: Question, answer: str, kind: str, value: Any) -> Checked:
    """Check an answer.

    Args:
        question: some kinds allow more where the question does not forbid it.
        answer: as it was generated.
        kind: any but "python".
        value: what is right; see `check_problems` for its form.
    """
    if not answer.strip():
        return Checked(False, "", "the answer is empty")
    return _KINDS[kind](question, unicodedata.normalize("NFC", answer), value)


def _number(question: Question, answer: str, value: Any) -> Checked:
    found = read_number(answer)
    if found is None:
        return Checked(False, "", "no number found")
    wanted = float(value)
    return Checked(math.isclose(found.value, wanted, rel_tol=1e-9, abs_tol=1e-9), found.text)


def _word(question: Question, answer: str, value: Any) -> Checked:
    said, asked = Passage(answer), Passage(question.text)
    found = next((words for text in _list(value) if (words := find_words(text, said, asked))), "")
    return Checked(bool(found), found)


def _choice(question: Question, answer: str, value: Any) -> Checked:
    choice = choose_option(question.text, answer)
    return Checked(choice.letter == str(value).upper(), choice.found, choice.note)


def _exact(question: Question, answer: str, value: Any) -> Checked:
    given = answer.strip()
    right = given in {unicodedata.normalize("NFC", text).strip() for text in _list(value)}
    return Checked(right, given if right else "")


def _regex(question: Question, answer: str, value: Any) -> Checked:
    given = answer.strip()
    if len(given) > _LONGEST:
        return Checked(False, "", "the answer is too long to be what was asked for")
    try:
        right = regex.fullmatch(str(value), given, timeout=_PATIENCE) is not None
    except TimeoutError:
        return Checked(False, "", f"the pattern took more than {_PATIENCE:g} s on the answer")
    return Checked(right, given if right else "")


def _words_exactly(question: Question, answer: str, value: Any) -> Checked:
    count = sum(any(char.isalnum() for char in word) for word in answer.split())
    return Checked(count == value, answer.strip(), f"{count} words")


def _lines_exactly(question: Question, answer: str, value: Any) -> Checked:
    lines = [line for line in answer.splitlines() if line.strip()]
    asked = question.text.casefold()
    if any(word in asked for word in ("no bullet", "no numbering")) and any(
        _BULLET.match(line) for line in lines
    ):
        return Checked(False, "", "lines are numbered or have bullet points")
    return Checked(len(lines) == value, answer.strip(), f"{len(lines)} lines")


def _json(question: Question, answer: str, value: Any) -> Checked:
    given = answer.strip()
    fenced = _FENCE.fullmatch(given)
    if fenced and "code block" not in question.text.casefold():
        given = fenced["body"]
    try:
        right = _same_json(json.loads(given), value)
    except (ValueError, RecursionError):
        return Checked(False, "", "not valid JSON, or not JSON alone")
    return Checked(right, given if right else "")


def _same_json(one: Any, other: Any) -> bool:
    """Equality without Python's 1 == True."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same_json(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same_json, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _list(value: Any) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def _wrong_value(kind: str, value: Any) -> str:
    """What a value should be, where it is not; else ""."""
    if kind == "number":
        try:
            sound = not isinstance(value, bool) and math.isfinite(float(value))
        except (TypeError, ValueError, OverflowError):
            sound = False
        return "" if sound else "a number"
    if kind in ("word", "exact"):
        texts = [value] if isinstance(value, str) else value
        sound = isinstance(texts, list) and bool(texts)
        sound = sound and all(isinstance(text, str) and text.strip() for text in texts)
        return "" if sound else "a text or a list of texts"
    if kind == "choice":
        return "" if isinstance(value, str) and re.fullmatch("[A-Ha-h]", value) else "a letter"
    if kind in ("words_exactly", "lines_exactly"):
        return "" if type(value) is int and value > 0 else "a whole number from 1 on"
    return _wrong_pattern(value) if kind == "regex" else ""


def _wrong_pattern(value: Any) -> str:
    try:
        regex.compile(value)
    except (regex.error, TypeError, ValueError, OverflowError, RecursionError):
        return "a regular expression"
    return ""


_KINDS: dict[str, Callable[[Question, str, Any], Checked]] = {
    "number": _number,
    "word": _word,
    "choice": _choice,
    "exact": _exact,
    "regex": _regex,
    "words_exactly": _words_exactly,
    "lines_exactly": _lines_exactly,
    "json": _json,
}
