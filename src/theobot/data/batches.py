"""Token rows -> few flattened passes under a token budget.

The rows of one optimiser step are laid end to end, without padding, in as few rows of at most
`budget` tokens as first-fit-decreasing finds. Whichever way they are cut, the step's gradient is
the same sum over the same scored tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from theobot.data.tokens import TokenRow

if TYPE_CHECKING:
    import torch


class FlatPass(NamedTuple):
    """One forward and backward pass over T tokens of several rows laid end to end.

    Attributes:
        input_ids: (1, T).
        position_ids: (1, T), starting at 0 in each row.
        segments: length of each row, summing to T.
        scored: (N,), flat positions whose next token is learned.
        targets: (N,), the ids of those next tokens.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    segments: list[int]
    scored: torch.Tensor
    targets: torch.Tensor


def pack(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Group row indices so that each group's lengths sum to at most `budget` tokens.

    A row longer than the budget gets a group of its own. Deterministic: longest first, ties in
    the order given, each into the first group with room.
    """
    groups: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = lengths[index]
        for number, free in enumerate(room):
            if length <= free:
                groups[number].append(index)
                room[number] -= length
                break
        else:
            groups.append([index])
            room.append(budget - length)
    return groups


def share_out(lengths: Sequence[int], ranks: int) -> list[list[int]]:
    """Give each rank its row indices of a step, so that all have about the same tokens.

    Deterministic, each row goes to exactly one rank, and a rank may get none. Longest first, each
    to the rank with the fewest tokens so far; a rank's rows keep their order.
    """
    shares: list[list[int]] = [[] for _ in range(ranks)]
    tokens = [0] * ranks
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        least = tokens.index(min(tokens))
        shares[least].append(index)
        tokens[least] += lengths[index]
    return [sorted(share) for share in shares]


def flatten(rows: Sequence[TokenRow], device: torch.device | str) -> FlatPass:
    """Lay rows end to end in one pass."""
    import torch

    input_ids: list[int] = []
    position_ids: list[int] = []
    scored: list[int] = []
    targets: list[int] = []
    for row in rows:
        start = len(input_ids)
        first = max(row.learned_from, 1)
        scored.extend(range(start + first - 1, start + len(row.input_ids) - 1))
        targets.extend(row.input_ids[first:])
        input_ids.extend(row.input_ids)
        position_ids.extend(range(len(row.input_ids)))
    return FlatPass(
        input_ids=torch.tensor([input_ids], device=device),
        position_ids=torch.tensor([position_ids], device=device),
        segments=[len(row.input_ids) for row in rows],
        scored=torch.tensor(scored, device=device),
        targets=torch.tensor(targets, device=device),
    )
