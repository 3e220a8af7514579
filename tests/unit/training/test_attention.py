"""Attention within rows."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from theobot.model.memory import SHORT_ROW
from theobot.training.attention import lay_out, segmented_attention

CPU = torch.device("cpu")


def attend(query, key, value, segments):
    layout = lay_out(segments, CPU)
    return segmented_attention(
        torch.nn.Identity(), query, key, value, None, scaling=0.5, layout=layout
    )[0]


def by_row(query, key, value, segments):
    """Each row by itself through PyTorch's math path."""
    pieces = zip(*(part.split(segments, dim=2) for part in (query, key, value)), strict=True)
    return torch.cat(
        [
            scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.5, enable_gqa=True)
            for q, k, v in pieces
        ],
        dim=2,
    ).transpose(1, 2)


@pytest.mark.parametrize(
    "segments",
    [
        [12],
        [6, 5, 1],
        [1, 6, 5],
        [9, 9, 9],
        [SHORT_ROW + 1, SHORT_ROW, 3],
        [3, SHORT_ROW + 5, SHORT_ROW + 5, 1, 1],
    ],
)
def test_each_row_is_causal_attention_of_its_own_forward_and_backward(segments):
    torch.manual_seed(0)
    total = sum(segments)
    parts = [torch.randn(1, heads, total, 8, requires_grad=True) for heads in (6, 2, 2)]
    weights = torch.randn(1, total, 6, 8)
    results = []
    for attention in (attend, by_row):
        found = attention(*parts, segments)
        results.append([found, *torch.autograd.grad((found * weights).sum(), parts)])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)


def test_the_blocks_gradient_agrees_with_finite_differences():
    torch.manual_seed(0)
    parts = [torch.randn(1, heads, 7, 4, requires_grad=True) for heads in (2, 1, 1)]
    weights = torch.randn(1, 7, 2, 4)

    def value(*tensors):
        return (attend(*tensors, [4, 3]) * weights).sum()

    found = torch.autograd.grad(value(*parts), parts)
    for number, place in ((0, (0, 1, 5, 2)), (1, (0, 0, 0, 1)), (2, (0, 0, 3, 3))):
        moved = [part.detach().clone() for part in parts]
        moved[number][place] += 1e-2
        up = value(*moved)
        moved[number][place] -= 2e-2
        slope = (up - value(*moved)).item() / 2e-2
        assert found[number][place].item() == pytest.approx(slope, abs=2e-3)


def test_short_neighbours_of_about_one_length_are_one_block():
    layout = lay_out([100, 90, 80, 40, 39], CPU)
    assert layout.parts == [270, 79]
    assert [block.longest for block in layout.blocks] == [100, 40]
    assert lay_out([SHORT_ROW + 1, SHORT_ROW + 1], CPU).blocks == [None, None]


def test_on_an_accelerator_each_row_is_one_call_or_all_are():
    device = torch.device("meta")
    assert lay_out([5, 4], device).blocks == [None, None]
    layout = lay_out([5, 4], device, varlen=True)
    assert layout.parts == [9]
    assert layout.bounds.shape == (3,)
    assert lay_out([5, 4], CPU, varlen=True).bounds.tolist() == [0, 5, 9]


def test_a_call_without_a_layout_raises_instead_of_attending_to_everything():
    x = torch.randn(1, 2, 4, 8)
    with pytest.raises(RuntimeError, match="needs a layout"):
        segmented_attention(torch.nn.Identity(), x, x, x, None)
    with pytest.raises(RuntimeError, match="no mask"):
        segmented_attention(torch.nn.Identity(), x, x, x, torch.ones(1), layout=lay_out([4], CPU))
