"""Broken JSON -> its objects with every character of every text, or a reason why that is not sure.

Strict JSON first; what is not goes to the scanner, object by object.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from theobot.data.scanner import FIRST_KEY, Scanner
from theobot.data.strict_json import DECODER, UnsureError

_BETWEEN = re.compile(rf"\}}[\s,;\[\]]*+(?=\{{[\s{{]*+{FIRST_KEY})")
_SEPARATORS = re.compile(r"[\s,;\[\]\ufeff]*+")


class Found(NamedTuple):
    """One object of a text.

    Args:
        text: the part of the text that it was read from.
        row: its values; None when it could not be read for sure.
        repairs: what had to be mended.
        reason: why it could not be read; empty when it could.
    """

    text: str
    row: dict[str, Any] | None
    repairs: list[str]
    reason: str = ""


def read_objects(text: str, extra_keys: frozenset[str] = frozenset()) -> list[Found]:
    """All objects of a text, in their order; at least one.

    Args:
        text: one object, several, or an array of them.
        extra_keys: further keys that objects of this file are known to have.
    """
    found = _read_sequence(text)
    if found is None:
        parts = list(_parts(text))
        found = [_read_object(part, extra_keys) for part in parts]
        if len(parts) > 1:
            for one in found:
                one.repairs.append("several objects in one place, each got its own line")
    return found


def _read_sequence(text: str) -> list[Found] | None:
    """Strictly valid objects with nothing but separators between them, else None."""
    found: list[Found] = []
    at = _skip(text, 0)
    while at < len(text):
        if text[at] != "{":
            return None
        try:
            row, end = DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            return None
        found.append(Found(text[at:end], row, []))
        at = _skip(text, end)
    if len(found) > 1 or (found and text.strip()[0] == "["):
        for one in found:
            one.repairs.append("array or several objects in one place, each got its own line")
    elif found and found[0].text != text.strip(" \t\r\n"):
        found[0].repairs.append("comma or bracket beside the object")
    return found or None


def _skip(text: str, at: int) -> int:
    found = _SEPARATORS.match(text, at)
    return found.end() if found else at


def _parts(text: str) -> Iterator[str]:
    start = 0
    for between in _BETWEEN.finditer(text):
        yield text[start : between.end()]
        start = between.end()
    yield text[start:]


def _read_object(text: str, extra_keys: frozenset[str]) -> Found:
    strict = _read_sequence(text)
    if strict is not None and len(strict) == 1:
        return strict[0]
    scanner = Scanner(text, extra_keys)
    try:
        row = scanner.record()
        return Found(text, row, scanner.repairs or ["quotation marks around keys"])
    except (ValueError, RecursionError) as error:
        deep = "nested too deeply" if isinstance(error, RecursionError) else "a value is no JSON"
        return Found(text, None, [], str(error) if isinstance(error, UnsureError) else deep)
