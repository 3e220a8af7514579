r"""The number that an answer comes to, whatever it is written in.

What counts is, in this order: a number in \\boxed{}; the last one after "the answer is" or
"answer:"; one that stands alone on the first line; else the last number of the answer; else the
last number written in words.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from theobot.scripture.citation import plain

_NUMBER = re.compile(
    r"(?<![\w.^])(?P<sign>-(?=[\d.$\u00a3\u20ac])|minus\s+|negative\s+)?[$\u00a3\u20ac]?\s?"
    r"(?:(?P<mixed>\d+)\s+(?=\d+\s?/\s?\d))?"
    r"(?P<digits>\d{1,3}(?:[, ]\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
    r"(?:\s?/\s?(?P<under>\d+(?:\.\d+)?)(?![\d/]))?"
    r"(?:\s?[x\u00d7*]\s?10\s?(?:\^|\*\*)\{?(?P<power>-?\d+)\}?)?",
    re.IGNORECASE,
)
_BOXED = re.compile(r"\\boxed\{(?P<inside>[^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
_FRACTION = re.compile(r"\\[dt]?frac\{([^{}]+)\}\{([^{}]+)\}")
_STATED = re.compile(
    r"\banswer\b(?:\s+(?:is|was|would be|equals))?\s*[:=]?\s*(?P<rest>[^\n]+)", re.I
)
_ALONE = re.compile(r"\W*(?:[a-z]\s*=\s*)?[-\d.,/ $\u00a3\u20ac]+(?:\s?[^\W\d]+){0,2}\W*", re.I)
_LIST_MARK = re.compile(r"\s*\d+[.)]\s*$")
_RAISED = {
    ord(char): digit
    for char, digit in zip(
        "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b",
        "0123456789-",
        strict=True,
    )
}
_RAISED_RUN = re.compile("[\u2070\u00b9\u00b2\u00b3\u2074-\u2079\u207b]+")
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_WORDS = dict(zip(_SMALL, range(20), strict=True)) | dict(
    zip(_TENS, range(20, 100, 10), strict=True)
)
_SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000}


class Number(NamedTuple):
    """A number and how it is written."""

    value: float
    text: str


def read_number(answer: str) -> Number | None:
    """The number that an answer comes to; None where there is none."""
    even = _plain(answer)
    if boxed := _BOXED.findall(even):
        return _last(boxed[-1])
    for stated in reversed(_STATED.findall(even)):
        if (numbers := _numbers(stated)) and not stated.startswith("to "):
            return _settled(stated, numbers)
    first = even.strip().split("\n", 1)[0]
    if _ALONE.fullmatch(first) and not _LIST_MARK.fullmatch(first) and (found := _last(first)):
        return found
    return _last(even) or _in_words(even)


def _settled(stated: str, numbers: list[Number]) -> Number:
    """Of "3 x 4 = 12" or "£54.40 (15% off £64)" the number that it comes to."""
    beside = re.split(r"[(]|\b(?:because|since|as|which|after|from|when|for)\b", stated, maxsplit=1)
    return (_numbers(beside[0]) or numbers)[-1]


def _last(text: str) -> Number | None:
    numbers = _numbers(text)
    return numbers[-1] if numbers else _in_words(text)


def _numbers(text: str) -> list[Number]:
    return [Number(_value(found), found[0].strip()) for found in _NUMBER.finditer(text)]


def _value(found: re.Match[str]) -> float:
    value = float(re.sub("[, ]", "", found["digits"]))
    if found["under"] and float(found["under"]):
        value /= float(found["under"])
    if found["mixed"]:
        value += float(found["mixed"])
    if found["power"]:
        value *= 10.0 ** max(-300, min(300, int(found["power"])))
    return -value if found["sign"] else value


def _plain(text: str) -> str:
    r"""One kind of minus and space, \u00bd as 1/2, m\u00b2 as m^2, no emphasis, \\frac as a/b."""
    text = _RAISED_RUN.sub(lambda run: "^" + run[0].translate(_RAISED), text)
    parts = []
    for char in text:
        spread = unicodedata.normalize("NFKC", char) if unicodedata.category(char) == "No" else ""
        fraction = "\u2044" in spread
        parts.append(f" {spread} ".replace("\u2044", "/") if fraction else char)
    even = plain("".join(parts)).replace("**", "").replace("\\,", "").replace("`", "")
    even = _FRACTION.sub(r"\1/\2", even)
    return re.sub(r"(?<=\d) *\\times *(?=10)", " x ", even)


def _in_words(text: str) -> Number | None:
    """The last number written in words, up to millions."""
    words = re.findall(r"[^\W\d_]+", text.casefold())
    runs: list[list[str]] = [[]]
    for word in words:
        known = word in _WORDS or word in _SCALES or (word == "and" and runs[-1])
        if known:
            runs[-1].append(word)
        elif word in ("minus", "negative"):
            runs.append([word])
        elif runs[-1]:
            runs.append([])
    for run in reversed(runs):
        if any(word in _WORDS or word in _SCALES for word in run):
            return Number(_sum(run), " ".join(run).removesuffix(" and"))
    return None


def _sum(words: list[str]) -> float:
    total = part = 0
    for word in words:
        if word == "hundred":
            part = max(part, 1) * 100
        elif word in _SCALES:
            total, part = total + max(part, 1) * _SCALES[word], 0
        else:
            part += _WORDS.get(word, 0)
    return float(-(total + part) if words[0] in ("minus", "negative") else total + part)
