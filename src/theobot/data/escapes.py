"""Escapes inside a text: those of JSON, and those that people and programs write in their place."""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_PLAIN_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"} | {c: c for c in '"\\/'}
_SMART_ESCAPES = "'‘’‚“”„‟`´′″"
_SURROGATE = re.compile("[\ud800-\udfff]")


def is_text(text: str) -> bool:
    """Whether it holds no halves of UTF-16 pairs, as bytes that are no UTF-8 become."""
    return not _SURROGATE.search(text)


def unescape(raw: str) -> tuple[str, int]:
    r"""The text that a raw one stands for, and how many of its escapes are none of JSON's.

    Python's (\x, \U, \') are read; a backslash before a curly quotation mark goes; before
    anything else it stays, as part of the text.
    """
    odd = 0

    def replace(found: re.Match[str]) -> str:
        nonlocal odd
        code = found[1]
        if code in _PLAIN_ESCAPES:
            return _PLAIN_ESCAPES[code]
        if len(code) == 5:
            return chr(int(code[1:], 16))
        odd += 1
        if len(code) > 1 and int(code[1:], 16) <= 0x10FFFF:
            return chr(int(code[1:], 16))
        return code if code in _SMART_ESCAPES else found[0]

    text = _ESCAPE.sub(replace, raw) if "\\" in raw else raw
    if not is_text(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return text, odd
