"""What became of one object of a broken file."""

from __future__ import annotations

import json
from typing import Literal, NamedTuple

from theobot.data.examples import text_problems
from theobot.data.loose_json import Found
from theobot.data.shapes import to_seed


class Outcome(NamedTuple):
    """What became of one object of the input, or of a line without any.

    Args:
        kind: "valid" ones are unaltered.
        first: number of its first line.
        last: number of its last line.
        text: the line of the output, or what is rejected; empty where there is neither.
        repairs: what was mended.
        reason: why it was rejected.
    """

    kind: Literal["valid", "repaired", "rejected", "blank"]
    first: int
    last: int
    text: str = ""
    repairs: tuple[str, ...] = ()
    reason: str = ""


def finish(one: Found, mended: tuple[str, ...], first: int, last: int) -> Outcome:
    """An object that could be read, in the seed's shape."""
    assert one.row is not None, "only objects that could be read are finished"
    shaped = to_seed(one.row)
    if shaped.problem:
        return Outcome("rejected", first, last, one.text, (), shaped.problem)
    repairs = (*mended, *one.repairs, *([shaped.change] if shaped.change else []))
    text = one.text
    wrong = text_problems(shaped.row["prompt"], shaped.row["completion"])
    if wrong:
        reason = " ".join(wrong).removesuffix(".")
        return Outcome("rejected", first, last, one.text, (), reason)
    try:
        if one.repairs or shaped.change or "\n" in text or "\r" in text:
            text = json.dumps(shaped.row, ensure_ascii=False, allow_nan=False)
        text.encode()
    except UnicodeEncodeError:
        reason = "holds half of a surrogate pair (\\ud800 to \\udfff)"
        return Outcome("rejected", first, last, one.text, (), reason)
    except ValueError:
        return Outcome("rejected", first, last, one.text, (), "a number is too large for JSON")
    return Outcome("repaired" if repairs else "valid", first, last, text, repairs)
