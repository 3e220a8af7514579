"""The cross-entropy of a frozen head."""

from __future__ import annotations

import pytest
import torch

from theobot.training.head import FrozenHeadCrossEntropy, summed_loss


@pytest.mark.parametrize("tile", [1, 7, 100])
def test_loss_and_gradient_equal_plain_cross_entropy(tile):
    torch.manual_seed(0)
    hidden = torch.randn(23, 16, requires_grad=True)
    weight = torch.randn(50, 16)
    targets = torch.randint(50, (23,))
    loss = FrozenHeadCrossEntropy.apply(hidden, weight, targets, tile)
    (found,) = torch.autograd.grad(loss * 0.3, hidden)
    plain = torch.nn.functional.cross_entropy(hidden @ weight.T, targets, reduction="sum")
    (expected,) = torch.autograd.grad(plain * 0.3, hidden)
    torch.testing.assert_close(loss, plain)
    torch.testing.assert_close(found, expected)


def test_logits_far_from_zero_and_far_apart_do_not_overflow():
    hidden = torch.tensor([[300.0, 0.0], [0.0, -300.0]], requires_grad=True)
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 2.0], [0.5, 0.5]])
    targets = torch.tensor([2, 1])
    loss = FrozenHeadCrossEntropy.apply(hidden, weight, targets, 1)
    (found,) = torch.autograd.grad(loss, hidden)
    plain = torch.nn.functional.cross_entropy(hidden @ weight.T, targets, reduction="sum")
    (expected,) = torch.autograd.grad(plain, hidden)
    torch.testing.assert_close(loss, plain)
    torch.testing.assert_close(found, expected)


def test_bfloat16_is_as_near_to_float32_as_its_rounding_allows():
    torch.manual_seed(0)
    hidden, weight = torch.randn(40, 64), torch.randn(500, 64) / 8
    hidden, weight = hidden.bfloat16(), weight.bfloat16()
    targets = torch.randint(500, (40,))
    wide = hidden.float().requires_grad_()
    exact = torch.nn.functional.cross_entropy(wide @ weight.float().T, targets, reduction="sum")
    (expected,) = torch.autograd.grad(exact, wide)
    narrow = hidden.requires_grad_()
    loss = FrozenHeadCrossEntropy.apply(narrow, weight, targets, 128)
    (found,) = torch.autograd.grad(loss, narrow)
    assert loss.item() == pytest.approx(exact.item(), rel=2e-3)
    assert ((found.float() - expected).norm() / expected.norm()).item() < 5e-3


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
