"""What outputs and targets mean, as far as shapes and types tell."""

import pytest
import torch
from torch import Tensor
from trainwell.outputs import kind_of, losses_of, names_of

LOGITS = torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.3, 4.0]])


@pytest.mark.parametrize(
    ("outputs", "y", "kind"),
    [
        (LOGITS, torch.tensor([0, 2]), "classes"),
        (LOGITS, torch.tensor([0, 3]), None),
        (LOGITS, torch.tensor([0, -1]), None),
        (LOGITS, torch.tensor([[0, 1, 1], [1, 0, 0]]), "labels"),
        (LOGITS, torch.tensor([[0, 1, 2], [1, 0, 0]]), None),
        (LOGITS, torch.zeros(2, 3), "numbers"),
        (LOGITS, torch.zeros(2), None),
        (LOGITS, torch.zeros(3, 3), None),
        (torch.zeros(2, 3, 4), torch.zeros(2, 3, 4), None),
        (torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), None),
    ],
)
def test_the_kind_of_targets_is_told_by_type_and_shape(outputs: Tensor, y: Tensor, kind: str | None) -> None:
    assert kind_of(outputs, y) == kind


def test_losses_are_those_of_each_sample() -> None:
    p, y = LOGITS.softmax(dim=1), torch.tensor([0, 2])
    torch.testing.assert_close(losses_of("classes", LOGITS, y), -p[[0, 1], y].log())
    torch.testing.assert_close(
        losses_of("numbers", LOGITS, LOGITS + torch.tensor([3.0, -6.0, 0.0])), torch.full((2,), 3.0)
    )
    labels, q = torch.tensor([[0, 1, 1], [1, 0, 0]]), LOGITS.sigmoid()
    expected = -torch.where(labels == 1, q, 1 - q).log().mean(dim=1)
    torch.testing.assert_close(losses_of("labels", LOGITS, labels), expected)


def test_names_are_used_if_there_is_one_for_each_output() -> None:
    class Data:
        target_names = ("a", "b")

    assert names_of(Data(), 2) == ["a", "b"]
    assert names_of(Data(), 3) is None
    assert names_of(object(), 2) is None
