"""Losses of our own: their formula, and what they are when they are turned off."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from your_package.techniques.loss import FocalLoss

CLASSES = torch.tensor([0, 2, 1, 2, 2, 0])
WEIGHT = torch.tensor([0.2, 1.0, 3.0]).double()


def logits() -> Tensor:
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("targets", [CLASSES, torch.rand(6, 3).softmax(dim=1).double()], ids=["classes", "shares"])
def test_focal_without_focus_is_cross_entropy(targets: Tensor, weight: Tensor | None) -> None:
    ours, theirs = logits(), logits()
    loss, expected = FocalLoss(weight, gamma=0.0)(ours, targets), cross_entropy(theirs, targets, weight=weight)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_counts_a_sample_by_the_doubt_about_its_class(gamma: float) -> None:
    p = logits().softmax(dim=1)[torch.arange(6), CLASSES]
    expected = (-((1 - p) ** gamma) * p.log()).mean()
    torch.testing.assert_close(FocalLoss(gamma=gamma)(logits(), CLASSES), expected, rtol=1e-12, atol=0)
    shares = one_hot(CLASSES).double()
    torch.testing.assert_close(FocalLoss(gamma=gamma)(logits(), shares), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_gradient_of_focal_is_finite_where_nothing_is_in_doubt(gamma: float) -> None:
    sure = (1000 * one_hot(CLASSES).float()).requires_grad_()
    FocalLoss(gamma=gamma)(sure, CLASSES).backward()
    assert sure.grad is not None
    assert sure.grad.isfinite().all()
