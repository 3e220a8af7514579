"""The cross-entropy of a frozen head."""

from __future__ import annotations

import pytest
import torch

from theobot.training.head import FrozenHeadCrossEntropy, summed_loss


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_loss_and_gradient_equal_plain_cross_entropy(chunk):
    torch.manual_seed(0)
    hidden = torch.randn(23, 16, requires_grad=True)
    weight = torch.randn(50, 16)
    targets = torch.randint(50, (23,))
    loss = FrozenHeadCrossEntropy.apply(hidden, weight, targets, chunk)
    (found,) = torch.autograd.grad(loss * 0.3, hidden)
    plain = torch.nn.functional.cross_entropy(hidden @ weight.T, targets, reduction="sum")
    (expected,) = torch.autograd.grad(plain * 0.3, hidden)
    torch.testing.assert_close(loss, plain)
    torch.testing.assert_close(found, expected)


def test_gradients_agree_with_finite_differences():
    torch.manual_seed(0)
    hidden = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, 4, dtype=torch.float64)
    targets = torch.tensor([0, 5, 2])
    loss = FrozenHeadCrossEntropy.apply(hidden, weight, targets, 2)
    (found,) = torch.autograd.grad(loss, hidden)
    step = 1e-3
    for row, column in ((0, 0), (1, 3), (2, 1)):
        moved = hidden.detach().clone()
        moved[row, column] += step
        up = FrozenHeadCrossEntropy.apply(moved, weight, targets, 2)
        moved[row, column] -= 2 * step
        down = FrozenHeadCrossEntropy.apply(moved, weight, targets, 2)
        assert found[row, column].item() == pytest.approx((up - down).item() / (2 * step), abs=5e-3)


def test_a_head_that_is_trained_gets_its_own_gradient(tiny_model):
    tiny_model.requires_grad_(False)
    tiny_model.lm_head.weight = torch.nn.Parameter(tiny_model.lm_head.weight.detach().clone())
    hidden = torch.randn(5, 32)
    summed_loss(tiny_model, hidden, torch.arange(5)).backward()
    assert tiny_model.lm_head.weight.grad is not None


def test_other_model_families_use_their_own_head(tiny_model):
    tiny_model.requires_grad_(False)
    hidden = torch.randn(5, 32)
    fused = summed_loss(tiny_model, hidden, torch.arange(5))
    tiny_model.config.model_type = "unheard-of"
    torch.testing.assert_close(summed_loss(tiny_model, hidden, torch.arange(5)), fused)
