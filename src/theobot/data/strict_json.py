"""JSON as it is written down, and nothing that Python's reader takes beyond it."""

from __future__ import annotations

import json
from typing import Any, NoReturn


class UnsureError(ValueError):
    """More than one reading is possible, or none."""


def read_strict(text: str) -> Any:
    """The value of strict JSON.

    Raises:
        ValueError: it is not JSON, says a key twice (where the first would be lost), or holds NaN.
        RecursionError: it is nested too deeply.
    """
    return DECODER.decode(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise UnsureError("the same key stands twice in one object")
    return row


def _no_constant(name: str) -> NoReturn:
    raise UnsureError(f"{name} is no JSON value")


DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
