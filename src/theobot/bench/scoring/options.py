"""Multiple choice: the options of a question, and the one that an answer chooses.

An answer that names more than one option chooses none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from theobot.bench.scoring.word_forms import tokens_of

LETTERS = "ABCDEFGH"

_MARK = re.compile(r"(?:(?<=\s)|^)\(?(?P<letter>[A-Ha-h])[).:](?=\s)")
_TARIFF = re.compile(r"\s*[\[(]\d+\s+marks?[\])]\s*$", re.IGNORECASE)
_LONE = re.compile(r"\(?([A-Ha-h])\)?[.):]?")
_STATED = re.compile(
    r"\b(?:answer|choice|option|choose|chose|pick|select)\b(?:\s+(?:option|letter|answer))?"
    r"(?:\s+(?:is|would be|should be|has to be|must be))?(?:\s+(?:option|letter))?\s*:?\s*"
    r"(?:\((?P<round>[A-Ha-h])\)|(?P<plain>[A-H])\b(?!['\w]))"
)
_LEADING = re.compile(r"\(?(?P<letter>[A-Ha-h])(?:\)|[.:](?=\s|$)|\s*[-\u2013\u2014](?=\s))\s*")
_LETTER_THEN_WORDS = re.compile(r"(?P<letter>[A-H])\s+(?P<rest>\S.*)", re.DOTALL)
_MENTIONED = re.compile(r"(?<!\w)\(?(?P<letter>[A-H])\)")
_DENIED = re.compile(
    r"\b(?:not|never|isn't|wasn't|than)(?:\s+(?:the|an?|option))*\s*$", re.IGNORECASE
)


class Choice(NamedTuple):
    """The option that an answer chooses.

    Args:
        letter: its letter, or None where none or several are chosen.
        found: the words that say so.
        note: why none was chosen; empty otherwise.
    """

    letter: str | None
    found: str
    note: str


def read_options(question: str) -> dict[str, str]:
    """The options of a question by letter; none where there are not at least two, from A on.

    "A) Get B) Siddur", "(a) Get (b) Siddur" and "A. Get B. Siddur" are read; a tariff at the end,
    such as "[1 mark]", is no part of the last option.
    """
    question = without_tariff(question)
    marks = list(_MARK.finditer(question))
    for start, mark in enumerate(marks):
        if mark["letter"].upper() != "A":
            continue
        run = [mark]
        for later in marks[start + 1 :]:
            if len(run) < len(LETTERS) and later["letter"].upper() == LETTERS[len(run)]:
                run.append(later)
        if len(run) > 1:
            ends = [later.start() for later in run[1:]] + [len(question)]
            return {
                one["letter"].upper(): question[one.end() : end].strip()
                for one, end in zip(run, ends, strict=True)
            }
    return {}


def without_tariff(question: str) -> str:
    """A question without the "[1 mark]" or "(2 marks)" that it ends with."""
    return _TARIFF.sub("", question)


def choose_option(question: str, answer: str) -> Choice:
    """The option that a written answer chooses: by letter, by its text, or by both.

    Args:
        question: with its options.
        answer: such as "B", "B) Get", "(b)", "The answer is B.", "Get".
    """
    options = read_options(question)
    text = re.sub(r"[*_`#]|\\boxed\{([A-H])\}", lambda found: found[1] or "", answer).strip()
    if lone := _LONE.fullmatch(text):
        return _chosen({lone[1].upper()}, text, options)
    stated = {
        (found["round"] or found["plain"]).upper(): found[0] for found in _STATED.finditer(text)
    }
    listed = _lists_options(text, options)
    if (leading := _leading(text, options)) and not listed:
        named = {leading.letter} if leading.letter else set()
        return _chosen(named | stated.keys(), leading.found, options)
    if stated:
        return _chosen(set(stated), " ".join(list(stated.values())[-1].split()), options)
    return _by_mention(text, options)


def _leading(text: str, options: Mapping[str, str]) -> Choice | None:
    """The option with which an answer begins; the text after its letter must not be another's."""
    found = _LEADING.match(text) or _LETTER_THEN_WORDS.match(text)
    if found is None:
        return None
    letter = found["letter"].upper()
    rest = text[found.end() :] if found.re is _LEADING else found["rest"]
    follows = {other for other, option in options.items() if _begins_with(rest, option)}
    if found.re is _LETTER_THEN_WORDS and letter not in follows:
        # "A get is needed" begins with a word, "B and C" with two options.
        return None
    said = text.split("\n", 1)[0][:120]
    if follows and letter not in follows:
        return _conflict(said)
    if re.match(r"(?:and|or|&|,|/)\s*\(?[A-H]\b", rest):
        return _conflict(said)
    return Choice(letter, said, "")


def _conflict(said: str) -> Choice:
    return Choice(None, said, "names more than one option")


def _chosen(letters: set[str], found: str, options: Mapping[str, str]) -> Choice:
    """The one option among those named; none where there are several or it does not exist."""
    known = letters & options.keys() if options else letters
    if len(letters) == 1 and known:
        return Choice(next(iter(known)), found, "")
    if len(letters) > 1:
        return _conflict(found)
    return Choice(None, found, "names no option of the question")


def _begins_with(text: str, option: str) -> bool:
    """Whether a text begins with the words of an option."""
    wanted = [token.word for token in tokens_of(option)]
    words = [token.word for token in tokens_of(text)[: len(wanted)]]
    return bool(wanted) and words == wanted


def _lists_options(text: str, options: Mapping[str, str]) -> bool:
    """Whether an answer repeats the whole list of options."""
    marked = {found["letter"].upper() for found in _MARK.finditer(text)}
    return len(options) > 1 and marked >= options.keys()


def _by_mention(text: str, options: Mapping[str, str]) -> Choice:
    """The only option that is named by its letter in brackets or by its own words."""
    named = {
        found["letter"]
        for found in _MENTIONED.finditer(text)
        if not _DENIED.search(text[: found.start()])
    }
    words = [token.word for token in tokens_of(text)]
    for letter, option in options.items():
        wanted = [token.word for token in tokens_of(option)]
        starts = range(len(words) - len(wanted) + 1)
        if wanted and any(words[at : at + len(wanted)] == wanted for at in starts):
            named.add(letter)
    if not named:
        return Choice(None, "", "names no option")
    return _chosen(named, " ".join(text.split())[:120], options)
