"""Rows of a probe cut into passes through the model that its memory can take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

PASS_TOKENS = 4096
"""Most tokens, padding included, in one pass through the model."""

_Row = TypeVar("_Row")


def passes(
    rows: Sequence[_Row], length: Callable[[_Row], int], most: int = PASS_TOKENS
) -> Iterator[list[_Row]]:
    """Rows of similar length together, at most `most` tokens with padding, or one row.

    Args:
        rows: in any order.
        length: of a row, in tokens.
        most: tokens of a pass.
    """
    batch: list[_Row] = []
    for row in sorted(rows, key=length):
        if batch and (len(batch) + 1) * length(row) > most:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
