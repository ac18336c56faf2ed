import pytest
import torch
from torch import nn

from your_package.data import Rows
from your_package.failure import Failed
from your_package.finite import Finite, first_not_finite

from tests.fitting import classifier_of, fit, some_rows


class Root(nn.Module):
    """A gradient that is infinite at zero, where the function is not."""

    def forward(self, x):
        return x.square().sqrt()


def test_the_innermost_module_that_overflows_first_is_named() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.Tanh()), nn.Linear(4, 3))
    assert first_not_finite(network, torch.ones(2, 4)) is None
    nn.init.constant_(network[1][0].weight, 1e38)
    nn.init.constant_(network[0].weight, 1e3)
    assert first_not_finite(network, torch.ones(2, 4)) == "1.0 (Linear)"
    assert first_not_finite(network, torch.full((2, 4), torch.nan)) == "the data"


def test_a_loss_that_is_not_finite_ends_the_fit_before_the_weights_have_moved() -> None:
    rows = some_rows(8)
    bad = Rows(rows.x.clone(), rows.y)
    bad.x[5] = torch.inf
    classifier = classifier_of(nn.Linear(4, 3))
    weight = classifier.network.weight.clone()
    with pytest.raises(Failed, match="the loss is not finite at step 0, epoch 0, first in the data"):
        fit(classifier, bad, 8, callbacks=[Finite()])
    assert torch.equal(classifier.network.weight, weight)


def test_a_gradient_that_is_not_finite_ends_the_fit_while_the_loss_still_is() -> None:
    network = nn.Sequential(nn.Linear(4, 3), Root())
    nn.init.zeros_(network[0].weight)
    nn.init.zeros_(network[0].bias)
    with pytest.raises(Failed, match="the gradient is not finite at step 1, epoch 0") as failed:
        fit(classifier_of(network), some_rows(8), 8, callbacks=[Finite()])
    assert failed.value.findings[0].code == "non_finite"
