"""Attention for rows laid end to end: each row sees itself alone, and no T x T mask exists.

transformers calls the registered function in every layer. For an attention without a registered
mask function it builds no mask at all, silently; so a call without segment bounds raises here,
and generation goes back to "sdpa".
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

SEGMENTED = "theobot_segments"
"""Name under which the attention is registered with transformers."""


def segmented_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    segments: list[int] | None = None,
    **unused: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each segment.

    Args:
        module: the attention layer; not used.
        query: (1, heads, T, head width).
        key: (1, key/value heads, T, head width).
        value: like `key`.
        attention_mask: must be None; segments say it all.
        scaling: factor of the scores; None means 1 / sqrt(head width).
        dropout: share of attention weights dropped.
        segments: lengths of the rows, summing to T.
        unused: what transformers passes to every attention.

    Returns:
        (1, T, heads, head width) and no attention weights.

    Raises:
        RuntimeError: called without segments, or with a mask: rows would see each other.
    """
    if segments is None or attention_mask is not None:
        raise RuntimeError(
            "segmented attention needs `segments` and no mask; use sdpa for anything else"
        )
    grouped = query.shape[1] != key.shape[1]
    pieces = [
        scaled_dot_product_attention(
            q, k, v, dropout_p=dropout, is_causal=True, scale=scaling, enable_gqa=grouped
        )
        for q, k, v in zip(
            query.split(segments, dim=2),
            key.split(segments, dim=2),
            value.split(segments, dim=2),
            strict=True,
        )
    ]
    return torch.cat(pieces, dim=2).transpose(1, 2), None


AttentionInterface.register(SEGMENTED, segmented_attention)
