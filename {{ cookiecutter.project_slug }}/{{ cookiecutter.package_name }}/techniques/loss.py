"""Losses that torch does not have."""

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

SMALLEST_DOUBT = 1e-12  # 1 - p, whose power has no finite gradient at 0 if gamma is below 1


class FocalLoss(nn.Module):
    """Cross-entropy in which samples count less, the surer the network already is of their class.

    A sample whose class has probability p counts ``(1 - p) ** gamma`` times; ``gamma=0`` is cross-entropy. ``weight``
    is a weight for each class, and the mean is a weighted one, as in torch.nn.CrossEntropyLoss.

    Shape:   logits (B, C), classes (B,) or probabilities of classes (B, C) -> ()
    Source:  Lin et al. 2017, arXiv:1708.02002, equation 5.
    Differs: the paper is about two classes; this is a softmax over any number, without its alpha, which is ``weight``.
    """

    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, *, gamma: float) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.gamma = gamma

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_p = logits.log_softmax(dim=1)
        are_classes = not targets.is_floating_point()
        shares = one_hot(targets, logits.shape[1]) if are_classes else targets
        weights = shares if self.weight is None else shares * self.weight
        doubts = (-torch.expm1(log_p)).clamp(min=SMALLEST_DOUBT) ** self.gamma
        return -(weights * doubts * log_p).sum() / (weights.sum() if are_classes else len(targets))
