"""One broken object -> its values: a reader that knows the keys.

A text ends at the quotation mark that is followed by the next known key or by the object's end,
whatever other quotation marks stand before. Where two readings are possible it refuses to guess.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from theobot.data.escapes import unescape
from theobot.data.strict_json import DECODER, UnsureError, read_strict

SHAPES: dict[str, tuple[str, ...]] = {
    "prompt": ("prompt", "completion", "meta"),
    "messages": ("messages", "meta"),
    "instruction": ("instruction", "input", "output", "system", "meta"),
    "question": ("question", "answer", "meta"),
}
"""Keys that go together, by the one that is always there."""

FIRST_KEYS = tuple(dict.fromkeys(key for keys in SHAPES.values() for key in keys if key != "meta"))

_CLOSERS = {'"': '"', "'": "'"} | dict.fromkeys("“”„‟", "“”") | dict.fromkeys("‘’‚", "‘’")
_QUOTE = "[\"'“”„‟‘’‚]"
# No text begins, and none that lacks its quotation mark ends, with such a character.
_STRAY = r"(?:(?![\"'“”„‟‘’‚{}\[\]])[\W_])"
_STRAY_AFTER = r"(?:(?![\"'“”„‟‘’‚{}\[\].!?)…])[\W_])"
_NAME = r"[A-Za-z_][\w .-]{0,40}"
_INNER_KEYS = ("role", "content")
_DEEPEST = 20
_MOST_STRICT_FAILURES = 100

FIRST_KEY = rf"{_QUOTE}(?:{'|'.join(FIRST_KEYS)}){_QUOTE}\s*+:"
"""Pattern of a key that begins an object, with its colon."""

_SHAPE = re.compile(rf"{_QUOTE}({'|'.join(FIRST_KEYS)}){_QUOTE}\s*+:")
_OBJECT_INSIDE = re.compile(rf'\{{\s*+"(?:{"|".join(FIRST_KEYS)})"\s*+:')
WRITTEN_AS_TEXT = re.compile(r'[\s\[,]*+"?\{\s*+\\"')
"""An object that was written as text once more, its quotation marks escaped."""
_OPENING = re.compile(r"[\s,;\[\]{\ufeff]*+")
_KEY = re.compile(rf"(?P<gap>{_STRAY}*+){_QUOTE}(?P<key>{_NAME}){_QUOTE}(?P<colon>{_STRAY}*+)")
_NEXT_KEY = re.compile(
    rf"(?P<gap>{_STRAY_AFTER}*+){_QUOTE}(?P<key>{_NAME}){_QUOTE}(?P<colon>{_STRAY}*+)"
)
# The one place where letters can be stray: the seed's prompt says itself where it ends and begins.
_NEXT_KEY_OF_PROMPT = re.compile(
    rf"(?P<gap>[^\"'“”‘’{{}}\[\]]{{0,16}}+){_QUOTE}(?P<key>completion|meta){_QUOTE}(?P<colon>\s*+:\s*+)"
)
_BEFORE_PROMPT = re.compile(r"[^\"'“”‘’{}\[\]]{1,16}+(?=[\"“']User:)")
_END = re.compile(rf"(?P<gap>{_STRAY_AFTER}*+)(?P<close>\}}[\s}},;\[\]]*+|)\Z")
_END_INSIDE = re.compile(
    rf"(?P<gap>{_STRAY_AFTER}*+)(?P<close>\}})"
    rf"(?=[\s,;]*+(?:[\]}}{{]|{_QUOTE}{_NAME}{_QUOTE}\s*+:|\Z))"
)
_VALUE_START = re.compile(rf"{_QUOTE}|[\[{{\d-]|true|false|null|True|False|None")
_LITERAL = re.compile(r"(?:-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|True|False|None)\b")
_PYTHON = {"True": True, "False": False, "None": None}

_CONTROL = re.compile(r"[\x00-\x1f]")
_PLAIN_ITEM = re.compile(r"['‘“](?P<text>[^\"'‘’“”\\\x00-\x1f]*+)['’”](?=\s*+[,\]])")
_ITEM_GAP = re.compile(r"[\s,;]*+")
_NEVER_LAST = ("", *" \t\r\n\u00a0([{<,;:-–—/“‘")


@lru_cache(maxsize=64)
def _marks(closers: str) -> re.Pattern[str]:
    return re.compile(rf"\\.|[{closers}]", re.DOTALL)


class Scanner:
    """Reads one broken object from left to right, without ever going back.

    Args:
        text: the object, with whatever separators stand around it.
        extra_keys: keys beside those of its shape.
    """

    def __init__(self, text: str, extra_keys: frozenset[str]) -> None:
        self.text = text
        self.at = 0
        self.strict_failures = 0
        self.repairs: list[str] = []
        shape = _SHAPE.search(text)
        keys = next((k for k in SHAPES.values() if shape and shape[1] in k), ())
        self.keys = frozenset(keys) | extra_keys

    def record(self) -> dict[str, Any]:
        """The whole object.

        Raises:
            UnsureError: it is cut off, or can be read in two ways.
        """
        if WRITTEN_AS_TEXT.match(self.text):
            return self._written_as_text()
        opening = self.text[: _after(_OPENING, self.text, 0)]
        self.at = len(opening)
        if opening.count("{") != 1:
            self.repairs.append(
                "doubled opening brace" if "{" in opening else "missing opening brace"
            )
        row: dict[str, Any] = self._pairs(self.keys, _END, 0)
        if not row:
            raise UnsureError("no object with a known key")
        return row

    def _written_as_text(self) -> dict[str, Any]:
        """An object inside a text, with or without the text's own quotation marks."""
        body = self.text.strip()
        try:
            inner = json.loads(body if body.startswith('"') else f'"{body}"', strict=False)
            row = read_strict(inner)
        except (ValueError, RecursionError):
            raise UnsureError("escaped quotation marks as delimiters") from None
        if not isinstance(row, dict):
            raise UnsureError("no object with a known key")
        self.repairs.append("escaped quotation marks as delimiters")
        return row

    def _pairs(self, keys: frozenset[str] | None, end: re.Pattern[str], depth: int) -> Any:
        """Keys and values up to the object's end; stands after it then.

        Args:
            keys: those whose place in a text marks its end; None takes any name for one.
            end: what the object ends with.
            depth: objects around this one.
        """
        row: dict[str, Any] = {}
        key_pattern = _KEY
        while True:
            found = key_pattern.match(self.text, self.at)
            if depth == 0 and row and found is None:
                # Behind a prompt that says itself that it is at its end.
                found = _NEXT_KEY_OF_PROMPT.match(self.text, self.at)
            if found is None:
                found = end.match(self.text, self.at)
                if found is None:
                    raise UnsureError(self._unreadable(bool(row)))
                self._close(found, bool(row), depth)
                return row
            if ":" not in found["colon"]:
                raise UnsureError(f"no colon after the key {found['key']}")
            key = found["key"]
            if key in row:
                raise UnsureError(f"{key} stands twice in one object")
            self._note_gap(found["gap"], first=not row)
            if (stray := found["colon"].strip()) != ":":
                self.repairs.append(f"stray characters after the key {key}: {stray!r}")
            self.at = found.end()
            row[key] = self._value(key, keys, row.keys(), end, depth)
            key_pattern = _NEXT_KEY

    def _unreadable(self, in_object: bool) -> str:
        if not in_object:
            return "no object with a known key"
        here = self.text[self.at : self.at + 20]
        return f"cut off, or stray text where a key was expected: {here!r}"

    def _note_gap(self, gap: str, *, first: bool) -> None:
        commas = gap.count(",")
        if not first and commas == 0:
            self.repairs.append("missing comma")
        elif commas > (0 if first else 1):
            self.repairs.append("doubled comma")
        if stray := gap.replace(",", "").strip():
            self.repairs.append(f"stray characters before a key: {stray!r}")

    def _close(self, end: re.Match[str], comma_is_trailing: bool, depth: int) -> None:
        gap, close = end["gap"], end["close"]
        if "," in gap and comma_is_trailing:
            self.repairs.append("trailing comma")
        if stray := gap.replace(",", "").strip():
            self.repairs.append(f"stray characters before the closing brace: {stray!r}")
        if not close:
            if "," in gap:
                raise UnsureError("cut off after a comma")
            self.repairs.append("missing closing brace")
        elif close.count("}") > 1 and depth == 0:
            self.repairs.append("doubled closing brace")
        self.at = end.end()

    def _value(self, key: str, keys: Any, used: Any, end: re.Pattern[str], depth: int) -> Any:
        letter = self.text[self.at : self.at + 1]
        if letter in _CLOSERS:
            return self._text(key, keys, used, end)
        if letter and letter in "{[":
            return self._nested(key, depth)
        if key == "prompt" and (stray := _BEFORE_PROMPT.match(self.text, self.at)):
            self.repairs.append(f"stray characters after the key prompt: {stray[0].strip()!r}")
            self.at = stray.end()
            return self._text(key, keys, used, end)
        literal = _LITERAL.match(self.text, self.at)
        if literal is None:
            raise UnsureError(
                f"cut off after the key {key}"
                if not letter
                else f"{key} has no opening quotation mark, or stray letters before it"
            )
        self.at = literal.end()
        if literal[0] in _PYTHON:
            self.repairs.append(f"Python's {literal[0]}")
            return _PYTHON[literal[0]]
        return json.loads(literal[0])

    def _nested(self, key: str, depth: int) -> Any:
        """An object or list: strictly if that works, else piece by piece."""
        if depth >= _DEEPEST:
            raise UnsureError("nested too deeply")
        # An error of json counts the lines before it: bounded, or it would be quadratic.
        if self.strict_failures < _MOST_STRICT_FAILURES:
            try:
                value, self.at = DECODER.raw_decode(self.text, self.at)
                return value
            except ValueError:
                self.strict_failures += 1
        opener = self.text[self.at]
        self.at += 1
        if opener == "{":
            keys = frozenset(_INNER_KEYS) if key == "messages" else None
            return self._pairs(keys, _END_INSIDE, depth + 1)
        items: list[Any] = []
        while True:
            self.at = _after(_ITEM_GAP, self.text, self.at)
            letter = self.text[self.at : self.at + 1]
            if not letter:
                raise UnsureError(f"cut off inside {key}")
            if letter == "]":
                self.at += 1
                return items
            if letter in "{[":
                items.append(self._nested(key, depth + 1))
                continue
            items.append(self._item(key))

    def _item(self, key: str) -> Any:
        """A text or number of a list, where nothing but a comma says that a text is over."""
        if (plain := _PLAIN_ITEM.match(self.text, self.at)) is not None:
            self.repairs.append(f"quotation marks around an item of {key}")
            self.at = plain.end()
            return plain["text"]
        try:
            value, self.at = DECODER.raw_decode(self.text, self.at)
        except ValueError:
            raise UnsureError(f"an item of {key} is broken") from None
        return value

    def _text(self, key: str, keys: Any, used: Any, end: re.Pattern[str]) -> str:
        """The text whose opening quotation mark stands here."""
        opener, start, inner = self.text[self.at], self.at + 1, 0
        for mark in _marks(_CLOSERS[opener]).finditer(self.text, start):
            if mark[0][0] == "\\":
                continue
            raw = (start, mark.start())
            if self._is_end(key, mark.end(), inner, raw, keys, used, end):
                self.at = mark.end()
                if opener == '"' and _OBJECT_INSIDE.search(self.text, *raw):
                    raise UnsureError(f"cut off: another object begins inside {key}")
                return self._clean(key, self.text[start : mark.start()], opener, inner)
            inner += 1
        raise UnsureError(f"cut off: where {key} ends cannot be told")

    def _is_end(
        self,
        key: str,
        after: int,
        inner: int,
        raw: tuple[int, int],
        keys: frozenset[str] | None,
        used: Any,
        end: re.Pattern[str],
    ) -> bool:
        """Whether a text ends at a quotation mark.

        Args:
            key: the text's key.
            after: the place behind the mark.
            inner: quotation marks of the text before this one.
            raw: start and end of the text if it ends here.
            keys: see `_pairs`.
            used: keys of the object so far, this one among them.
            end: what the object ends with.
        """
        if (closing := end.match(self.text, after)) is not None:
            return self._is_end_of_object(key, closing, inner, raw)
        found = _NEXT_KEY.match(self.text, after)
        if found is None and key == "prompt" and self.text.endswith("Assistant:", *raw):
            found = _NEXT_KEY_OF_PROMPT.match(self.text, after)
        if found is None or ":" not in found["colon"]:
            return False
        if keys is not None and found["key"] in keys:
            if found["key"] in used:
                raise UnsureError(f"{found['key']} stands twice in one object")
            return True
        looks_like_key = "," in found["gap"] and _VALUE_START.match(self.text, found.end())
        if not looks_like_key or inner % 2:
            return False
        # Apostrophes are single quotation marks too, so that counting them proves nothing.
        if keys is None and (not inner or self.text[raw[0] - 1] not in "'‘’‚"):
            return True
        raise UnsureError(f"{key} may end before {found['key']!r}, which is no known key")

    def _is_end_of_object(
        self, key: str, closing: re.Match[str], inner: int, raw: tuple[int, int]
    ) -> bool:
        stray = closing["gap"].replace(",", "").strip()
        if not closing["close"]:
            # The last mark of a line that was cut off inside a quotation looks the same.
            last = self.text[raw[1] - 1 : raw[1]] if raw[1] > raw[0] else ""
            is_prompt = key == "prompt" and self.text.endswith("Assistant:", *raw)
            if inner or (last in _NEVER_LAST and not is_prompt):
                raise UnsureError(f"cut off: {key} may go on after its last quotation mark")
        elif inner % 2 and (stray or closing["close"].count("}") > 1):
            raise UnsureError(f"{key} may go on after its last quotation mark")
        return True

    def _clean(self, key: str, raw: str, opener: str, inner: int) -> str:
        kind = {'"': "straight", "'": "single"}.get(opener, "curly")
        if kind != "straight":
            self.repairs.append(f"{kind} quotation marks as delimiters of {key}")
        if inner and kind != "curly":
            odd = ", an odd number: look at it" if inner % 2 and opener == '"' else ""
            self.repairs.append(f"unescaped quotation marks in {key} ({inner}{odd})")
        if controls := len(_CONTROL.findall(raw)):
            self.repairs.append(f"raw control characters in {key} ({controls})")
        text, odd_escapes = unescape(raw)
        if odd_escapes:
            self.repairs.append(f"escapes that JSON lacks in {key} ({odd_escapes})")
        return text


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at
