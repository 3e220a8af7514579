"""Where an answer ends, and which part of a growing text can be shown already."""

from __future__ import annotations

from theobot.data.prompt import NEW_TURN

HALF_LETTER = "\ufffd"
"""What tokenizers decode the first bytes of an unfinished multi-byte letter to."""


def trim_answer(text: str, *, new_turn_ends: bool) -> str:
    """The answer in a finished text: nothing from a new user turn on, no space around it.

    Args:
        text: everything that was generated, the end-of-sequence token left out.
        new_turn_ends: whether a new user turn ends the answer, as in the seed's prompt format.
    """
    if new_turn_ends:
        text = text.partition(NEW_TURN)[0]
    return text.strip()


def settled_part(text: str, *, new_turn_ends: bool) -> str:
    """The part of an unfinished text that no later token can take back.

    Held back are half letters, white space at the end, and what may become a new user turn. The
    results for a growing text extend each other, and the last one extends to `trim_answer`.
    """
    if new_turn_ends and NEW_TURN in text:
        return trim_answer(text, new_turn_ends=True)
    text = text.rstrip(HALF_LETTER)
    if new_turn_ends:
        text = text[: len(text) - overlap(text, NEW_TURN)]
    return text.strip()


def overlap(text: str, stop: str) -> int:
    """Letters at the end of a text with which a stop text begins, but not all of it."""
    longest = min(len(stop) - 1, len(text))
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
