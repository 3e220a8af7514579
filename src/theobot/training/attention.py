"""Attention for rows laid end to end: each row sees itself alone, and no T x T mask exists.

transformers calls the registered function in every layer. For an attention without a registered
mask function it builds no mask at all, silently; so a call without a layout raises here, and
generation goes back to "sdpa".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from theobot.model.backends import varlen_attention
from theobot.model.memory import SHORT_ROW

SEGMENTED = "theobot_segments"
"""Name under which the attention is registered with transformers."""

_FILLED = 0.75
"""Rows shorter than this share of a block's longest start a block of their own."""


class Block(NamedTuple):
    """Neighbouring short rows that are computed as one padded batch.

    Attributes:
        gather: (B * L,) position in the block's tokens of each padded place; padding repeats a
            row's first token, which causality hides from the row's own tokens.
        places: (tokens of the block,) where each token stands among the padded places.
        real: (B, 1, 1, L, 1) bool, False at padding.
        longest: L.
    """

    gather: Tensor
    places: Tensor
    real: Tensor
    longest: int


@dataclass(eq=False)
class Layout:
    """How the rows of a pass lie, and how their attention is computed.

    Attributes:
        parts: lengths of the stretches that are computed on their own, summing to T.
        blocks: for each part its block of short rows, or None for one row by itself.
        bounds: (rows + 1,) int32 on the device, where each row starts and the last one ends, if
            `torch.nn.attention.varlen` is to compute all rows in one call; else None.
        longest: tokens of the longest row.

    No NamedTuple: torch.compile would look into one, and compile anew for each number of rows.
    """

    parts: list[int]
    blocks: list[Block | None]
    bounds: Tensor | None
    longest: int


def lay_out(segments: Sequence[int], device: torch.device, *, varlen: bool = False) -> Layout:
    """Plan the attention of one pass, once for all layers.

    Args:
        segments: lengths of the rows, in their order.
        device: where the pass is computed.
        varlen: compute all rows in one call of `torch.nn.attention.varlen` (CUDA and ROCm).
    """
    longest = max(segments)
    if varlen:
        starts = torch.tensor([0, *segments]).cumsum(0).to(device, torch.int32)
        return Layout([sum(segments)], [None], starts, longest)
    if device.type != "cpu":
        return Layout(list(segments), [None] * len(segments), None, longest)
    groups = list(_neighbours(segments))
    blocks = [_block(group) if group[0] <= SHORT_ROW else None for group in groups]
    return Layout([sum(group) for group in groups], blocks, None, longest)


def _neighbours(segments: Sequence[int]) -> Iterator[list[int]]:
    """Cut into runs of short rows of about the same length, and single long rows."""
    group: list[int] = []
    for length in segments:
        joins = group and max(group[0], length) <= SHORT_ROW
        if joins and min(*group, length) >= _FILLED * max(*group, length):
            group.append(length)
            continue
        if group:
            yield group
        group = [length]
    yield group


def _block(lengths: list[int]) -> Block:
    longest = max(lengths)
    gather: list[int] = []
    places: list[int] = []
    start = 0
    for row, length in enumerate(lengths):
        gather += [*range(start, start + length), *([start] * (longest - length))]
        places += range(row * longest, row * longest + length)
        start += length
    real = torch.arange(longest) < torch.tensor(lengths).unsqueeze(1)
    return Block(torch.tensor(gather), torch.tensor(places), real[:, None, None, :, None], longest)


class BlockAttention(torch.autograd.Function):
    """Causal attention of short rows as one batch; keeps q, k and v alone.

    For rows of this length the fused CPU kernel spends several times longer in its backward pass
    than the matrix products need.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, block: Block, scale: float
    ) -> Tensor:
        """Query (T, heads, D), key and value (T, key/value heads, D) -> (T, heads, D)."""
        ctx.save_for_backward(query, key, value)
        ctx.block, ctx.scale = block, scale
        q, k, v = (_padded(part, key.shape[1], block) for part in (query, key, value))
        return _flat(_probabilities(q, k, scale) @ v, block)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of query, key and value."""
        query, key, value = ctx.saved_tensors
        block, scale = ctx.block, ctx.scale
        q, k, v, grad = (
            _padded(part, key.shape[1], block) for part in (query, key, value, *grad_outputs)
        )
        grad = (grad.unflatten(2, (-1, block.longest)) * block.real).flatten(2, 3)
        weights = _probabilities(q, k, scale)
        grad_v = weights.transpose(-1, -2) @ grad
        inner = (grad @ v.transpose(-1, -2)).float().mul_(weights)
        inner = inner.sub_(weights * inner.sum(dim=-1, keepdim=True)).mul_(scale).to(q.dtype)
        grad_k = inner.transpose(-1, -2) @ q
        return _flat(inner @ k, block), _flat(grad_k, block), _flat(grad_v, block), None, None


def _padded(tensor: Tensor, outer: int, block: Block) -> Tensor:
    """(T, heads, D) -> (B, `outer` key/value heads, G * L, D): G heads share a key and value."""
    rows = tensor.index_select(0, block.gather)
    rows = rows.view(-1, block.longest, outer, tensor.shape[1] // outer, tensor.shape[2])
    padded: Tensor = rows.permute(0, 2, 3, 1, 4).flatten(2, 3)
    return padded


def _flat(tensor: Tensor, block: Block) -> Tensor:
    """(B, key/value heads, G * L, D) -> (T, heads, D), without the padding."""
    rows: Tensor = tensor.unflatten(2, (-1, block.longest)).permute(0, 3, 1, 2, 4)
    return rows.flatten(2, 3).flatten(0, 1)[block.places]


def _probabilities(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """Softmax over the keys that a query may see: (B, key/value heads, G * L, L)."""
    length = key.shape[2]
    scores = (query @ key.transpose(-1, -2)).float().mul_(scale)
    hidden = torch.full((length, length), -torch.inf).triu_(1)
    seen: Tensor = scores.unflatten(2, (-1, length)).add_(hidden).softmax(dim=-1)
    return seen.flatten(2, 3).to(query.dtype)


def segmented_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    layout: Layout | None = None,
    **unused: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each row.

    Args:
        module: the attention layer; not used.
        query: (1, heads, T, head width).
        key: (1, key/value heads, T, head width).
        value: like `key`.
        attention_mask: must be None; the layout says it all.
        scaling: factor of the scores; None means 1 / sqrt(head width).
        dropout: share of attention weights dropped.
        layout: where the rows lie.
        unused: what transformers passes to every attention.

    Returns:
        (1, T, heads, head width) and no attention weights.

    Raises:
        RuntimeError: called without a layout, or with a mask: rows would see each other.
    """
    if layout is None or attention_mask is not None:
        raise RuntimeError(
            "segmented attention needs a layout and no mask; use sdpa for anything else"
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if layout.bounds is not None:
        return _varlen(query, key, value, layout, scale), None
    grouped = query.shape[1] != key.shape[1]
    pieces = []
    for start, stop, block in _stretches(layout):
        q, k, v = (part[:, :, start:stop] for part in (query, key, value))
        if block is not None and not dropout:
            q, k, v = (part[0].transpose(0, 1) for part in (q, k, v))
            pieces.append(BlockAttention.apply(q, k, v, block, scale).unsqueeze(0))  # type: ignore[no-untyped-call]
            continue
        pieces.append(
            scaled_dot_product_attention(
                q, k, v, dropout_p=dropout, is_causal=True, scale=scale, enable_gqa=grouped
            ).transpose(1, 2)
        )
    return (pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)), None


def _stretches(layout: Layout) -> Iterator[tuple[int, int, Block | None]]:
    starts = [0]
    for length in layout.parts:
        starts.append(starts[-1] + length)
    for (start, stop), block in zip(pairwise(starts), layout.blocks, strict=True):
        yield start, stop, block


def _varlen(query: Tensor, key: Tensor, value: Tensor, layout: Layout, scale: float) -> Tensor:
    assert layout.bounds is not None, "only called with bounds"
    q, k, v = (part[0].transpose(0, 1) for part in (query, key, value))
    return varlen_attention(q, k, v, layout.bounds, layout.longest, scale).unsqueeze(0)


AttentionInterface.register(SEGMENTED, segmented_attention)
