"""Sound files -> damaged ones: by value, by token and by byte, the same for the same seed.

Changes by value keep JSON readable, so that they reach what comes after its reader; changes by
token and byte are for the readers themselves.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

_DEEPEST = 200
"""Objects or lists of a file that is still taken apart, which goes down into each."""
DEEP = 100_000
LONG = 1_000_000


class Written(NamedTuple):
    """A value as it is to stand in the file, JSON or not."""

    text: str


class Entries(list[tuple[str, Any]]):
    """An object whose keys may stand twice."""


VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 1.0, 0.5, -0.0, 2**31, 2**63, -(2**63) - 1, 10**400),
    *("", " ", "\n", "\0", "\x1b[31m", "\ud800", "\udc80", "\u2028", "\ufeff", "x" * 5000),
    *("../../x", "/etc/passwd", "C:\\x", "~", "a/b", ".", "..", "<img src=x onerror=alert(1)>"),
    *("null", "NaN", "true", "0", "٣", "²", "{}", "{0}", "%s", "(a+)+$", "[", "A", "base", "1e999"),
    *([], {}, [[]], [None], [1], [""], ["x"], {"": ""}, {"text": "x"}, [{"text": 1}], [[1, 2]]),
    *(Written("NaN"), Written("Infinity"), Written("-Infinity"), Written("1e999"), Written("-0")),
    *(Written("1" * 5000), Written("1." + "1" * 5000), Written("[" * 300 + "]" * 300)),
    *(Written('{"a":' * 300 + "1" + "}" * 300), Written('"\\ud800"'), Written('"\\u0000"')),
)
"""What a value may become."""

TOKENS: tuple[str, ...] = (
    *("0", "-1", "1" * 5000, "1e999", "nan", "inf", "true", "null", "{", "}", "[", "]", "(", ")"),
    *(
        '"',
        "'",
        "“",
        "”",
        "’",
        ",",
        ":",
        ";",
        "=",
        "\\",
        "\\u",
        "\\ud800",
        "\n",
        "\r\n",
        "\0",
        "\t",
    ),
    *(
        "\x1b[31m",
        "\u2028",
        "\ufeff",
        "\u00a0",
        "٣",
        "²",
        "½",
        "#",
        "&",
        "<",
        ">",
        "../",
        "/",
        "...",
    ),
    *(
        "User:",
        "Assistant:",
        "prompt",
        "completion",
        "[6 marks]",
        "Genesis 1:1",
        "John 3:16-999999",
    ),
    *("-", "–", "1:1", "a" * 300, " " * 300, "((((((((((", "1:1," * 100),
)
"""What a piece of text may become."""

BYTES: tuple[bytes, ...] = (
    *(b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xed\xa0\x80", b"\xc3", b"\x80"),
    *(b"\xf0\x9f", b"\r", b"\n", b'"', b"\\", b"{", b"}", b"[", b"\x1a", b"\x7f"),
)

_PIECES = re.compile(r'"(?:[^"\\]|\\.)*"|\w+|\s+|.', re.DOTALL)
_Path = tuple[Any, ...]


def render(value: Any) -> str:
    """JSON, with whatever was put into it that is none."""
    if isinstance(value, Written):
        return value.text
    if isinstance(value, Entries):
        return "{" + ", ".join(f"{json.dumps(key)}: {render(one)}" for key, one in value) + "}"
    if isinstance(value, dict):
        return render(Entries(value.items()))
    if isinstance(value, list):
        return "[" + ", ".join(map(render, value)) + "]"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**300:
        return "1" + "0" * 400
    return json.dumps(value)


def read(data: bytes) -> Any:
    """The value of a file that is JSON and not deep; None for another."""
    try:
        return json.loads(data) if max(data.count(b"["), data.count(b"{")) < _DEEPEST else None
    except (ValueError, RecursionError):
        return None


def encode(text: str) -> bytes:
    """UTF-8, half pairs included."""
    return text.encode("utf-8", "surrogatepass")


class Mutator:
    """Damages files.

    Args:
        seed: the same seed damages the same files in the same way.
        dictionary: words that mean something to the reader.
    """

    def __init__(self, seed: int, dictionary: tuple[str, ...] = ()) -> None:
        self.random = random.Random(seed)
        self.tokens = (*TOKENS, *dictionary, *dictionary)
        self.keys = ("", "x", "\ud800", "\x1b", "a\nb", *dictionary)

    def damage(self, data: bytes) -> bytes:
        """One to four changes."""
        for _ in range(self.random.choice((1, 1, 1, 2, 2, 4))):
            data = self._once(data)
        return data

    def _once(self, data: bytes) -> bytes:
        lines = data.split(b"\n")
        at = self.random.randrange(len(lines))
        # In a file of several lines that are JSON each, one of them is changed.
        whole = read(data)
        value = whole if whole is not None else read(lines[at])
        kind = self.random.random()
        if value is not None and kind < 0.75:
            changed = encode(render(self._value(value)))
            if whole is not None:
                return changed
            return b"\n".join([*lines[:at], changed, *lines[at + 1 :]])
        if kind < 0.9:
            return self._by_token(data)
        return self._by_byte(data)

    def _value(self, value: Any) -> Any:
        path = self.random.choice(list(paths(value)))
        return changed(value, path, self._changed_node)

    def _changed_node(self, node: Any) -> Any:
        kind = self.random.random()
        if isinstance(node, dict) and node and kind < 0.6:
            return self._changed_object(node, kind)
        if isinstance(node, list) and node and kind < 0.3:
            at = self.random.randrange(len(node))
            other = self.random.choice((node[at], *VALUES))
            return [*node[:at], other, *node[at:]] if kind < 0.2 else node[:at]
        if isinstance(node, str) and kind < 0.4:
            return self._by_token(encode(node)).decode("utf-8", "replace")
        if isinstance(node, int | float) and abs(node) < 1e300 and kind < 0.3:
            return self.random.choice(
                (-node, node + 1, node * 1000, float(node), str(node), [node])
            )
        if kind < 0.5:
            return self.random.choice(self.tokens)
        return self.random.choice(VALUES)

    def _changed_object(self, node: dict[str, Any], kind: float) -> Any:
        entries = Entries(node.items())
        at = self.random.randrange(len(entries))
        key, value = entries[at]
        if kind < 0.2:
            del entries[at]
        elif kind < 0.3:
            entries.append((key, self.random.choice((value, *VALUES))))
        elif kind < 0.4:
            entries[at] = (self.random.choice(self.keys), value)
        elif kind < 0.5:
            entries.append((self.random.choice(self.keys), self.random.choice(VALUES)))
        else:
            entries[at] = (key, self.random.choice(entries)[1])
        return entries

    def _by_token(self, data: bytes) -> bytes:
        pieces = _PIECES.findall(data.decode("utf-8", "surrogateescape")) or [""]
        at = self.random.randrange(len(pieces))
        kind = self.random.randrange(5)
        if kind == 0:
            pieces[at] = self.random.choice(self.tokens)
        elif kind == 1:
            pieces.insert(at, self.random.choice(self.tokens))
        elif kind == 2:
            del pieces[at : at + self.random.choice((1, 1, 3))]
        elif kind == 3:
            pieces[at:at] = pieces[at : at + self.random.choice((1, 3, 10))]
        else:
            pieces[at] *= self.random.choice((2, 3, 30))
        return "".join(pieces).encode("utf-8", "replace")

    def _by_byte(self, data: bytes) -> bytes:
        at = self.random.randrange(len(data) + 1)
        kind = self.random.randrange(6)
        if kind == 0:
            return data[:at]
        if kind == 1:
            return data[:at] + self.random.choice(BYTES) + data[at:]
        if kind == 2:
            return data[:at] + data[at + 1 :]
        if kind == 3:
            return data[:at] + bytes([self.random.randrange(256)]) + data[at + 1 :]
        if kind == 4:
            end = min(len(data), at + self.random.choice((1, 8, 100)))
            return data[:at] + data[at:end] + data[at:]
        return self.random.choice((encode("\ufeff") + data, _wide(data, "le"), _wide(data, "be")))


def _wide(data: bytes, order: str) -> bytes:
    return data.decode("utf-8", "replace").encode(f"utf-16-{order}")


def paths(value: Any, so_far: _Path = ()) -> Iterator[_Path]:
    """The places of all values inside a value, its own first."""
    yield so_far
    if isinstance(value, dict):
        for key, one in value.items():
            yield from paths(one, (*so_far, key))
    elif isinstance(value, list):
        for at, one in enumerate(value):
            yield from paths(one, (*so_far, at))


def changed(value: Any, path: _Path, change: Callable[[Any], Any]) -> Any:
    """The value with another one at a place."""
    if not path:
        return change(value)
    first, *rest = path
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[first] = changed(copy[first], tuple(rest), change)
    return copy


def extremes(data: bytes, seed: int, within: int = 30) -> Iterator[bytes]:
    """What is large, deep or of another kind altogether; each would show a quadratic reader.

    Args:
        data: a sound file.
        seed: of the choice among its values.
        within: how many times one of its values becomes extreme.
    """
    yield from (
        b"",
        b"\n",
        b"\0",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xfe\xff\0",
        b"null",
        b"1",
        b'""',
    )
    for letter in "a \n\t\r\"'\\,:;[{(<-#=“1.&|\0é*_":
        # A million empty lines would only show how long the account of each takes.
        yield encode(letter) * (
            (LONG if letter not in "\n\r" else LONG // 10) // len(encode(letter))
        )
    for opening in ("[", '{"a":', "[{", '{"a":[', "(", "[1,"):
        yield encode(opening) * DEEP
    yield b"1" * 5000
    yield b"%s = " % b"a" + b"1" * 5000
    yield b"a = " + b"[" * DEEP
    yield data[:LONG] + data * (LONG // 20 // (len(data) + 1))
    yield _wide(data, "le")
    yield _wide(data, "be") + b"\0"
    lines = data.split(b"\n")
    value, rest = read(data), b""
    if value is None:
        value, rest = read(lines[0]), b"\n".join([b"", *lines[1:]])
    if value is not None:
        places, choose = list(paths(value)), random.Random(seed)
        for _ in range(within):
            other = choose.choice(_EXTREME_VALUES)
            yield encode(render(changed(value, choose.choice(places), lambda _: other))) + rest  # noqa: B023


_EXTREME_VALUES: tuple[Any, ...] = (
    *(Written("[" * DEEP + "]" * DEEP), Written('{"a":' * DEEP + "1" + "}" * DEEP)),
    *(Written("1" * 5000), Written("1" * LONG), *(letter * LONG for letter in 'a ("1\n“<[*:')),
    *(
        "a " * (LONG // 2),
        "1:1 " * (LONG // 4),
        "Genesis 1:1, " * (LONG // 13),
        "“a” " * (LONG // 4),
    ),
    *("User: a\nAssistant: b\n" * (LONG // 20), "\ud800" * 1000, ["a"] * 100_000, [[]] * 100_000),
    *({str(number): number for number in range(20_000)}, [{"text": "a", "marks": 1}] * 20_000),
)
