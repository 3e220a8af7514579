"""Attention within segments."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from theobot.training.attention import segmented_attention


def test_each_segment_is_causal_attention_of_its_own():
    torch.manual_seed(0)
    query, key, value = torch.randn(1, 4, 12, 8), torch.randn(1, 2, 12, 8), torch.randn(1, 2, 12, 8)
    found, _ = segmented_attention(
        torch.nn.Identity(), query, key, value, None, scaling=0.5, segments=[5, 1, 6]
    )
    assert found.shape == (1, 12, 4, 8)
    for start, end in ((0, 5), (5, 6), (6, 12)):
        q, k, v = (x[:, :, start:end] for x in (query, key, value))
        expected = scaled_dot_product_attention(
            q, k, v, is_causal=True, scale=0.5, enable_gqa=True
        ).transpose(1, 2)
        torch.testing.assert_close(found[:, start:end], expected)


def test_a_call_without_segments_raises_instead_of_attending_to_everything():
    x = torch.randn(1, 2, 4, 8)
    with pytest.raises(RuntimeError, match="needs `segments`"):
        segmented_attention(torch.nn.Identity(), x, x, x, None)
    with pytest.raises(RuntimeError, match="no mask"):
        segmented_attention(torch.nn.Identity(), x, x, x, torch.ones(1), segments=[4])
