"""Metrics of an epoch, against scikit-learn."""

import pytest
import torch
from sklearn.metrics import mean_absolute_error, r2_score
from torchmetrics import MeanAbsoluteError, R2Score
from trainwell.inference.scores import value_of
from trainwell.metrics import EpochMetrics


def test_numbers_that_lie_far_from_0_keep_their_digits() -> None:
    """As pressures in pascal: single precision makes 0.9999 of this R²."""
    generator = torch.Generator().manual_seed(0)
    targets = 100_000 + torch.randn(800, 1, generator=generator)
    outputs = targets + 0.3 * torch.randn(800, 1, generator=generator)
    right = {"r2": r2_score(targets.double(), outputs.double()), "mae": mean_absolute_error(targets, outputs)}
    metrics = {"r2": R2Score(), "mae": MeanAbsoluteError()}
    epoch = EpochMetrics(metrics)
    for place in (slice(0, 500), slice(500, 800)):
        epoch.update(torch.tensor(0.5), outputs[place], targets[place])
        epoch.feed()
    found = epoch.compute()
    assert found.pop("loss") == 0.5
    assert {name: value.item() for name, value in found.items()} == pytest.approx(right, rel=1e-3)
    alone = {name: value_of(metric, outputs, targets).item() for name, metric in metrics.items()}
    assert alone == pytest.approx(right, rel=1e-3)
