"""The task at its edges: other ways to clip, gradients of zero, data that it cannot read."""

import numpy as np
import pytest
import torch
from lightning import LightningDataModule
from tests.fitting import classification_of, clipped, fit, gradient, gradient_of_step, linear_classification
from tests.test_classification import EXACT, SAMPLES, build, first_gradient, flat
from torch import Tensor, nn
from trainwell.data.batches import Samples


class DictBatches(LightningDataModule):
    """Batches that this task cannot read."""

    num_classes = 3

    def train_dataloader(self) -> list[dict[str, Tensor]]:
        return [{"image": torch.zeros(2, 4), "label": torch.zeros(2)}]


def test_data_of_another_task_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"batches \(x, y\) of .* DictBatches gives {image: float32 \(2, 4\), label: float32 \(2,\)}"
    ):
        build(DictBatches(), flat)
    with pytest.raises(ValueError, match=r"needs LightningDataModule\.num_classes"):
        build(LightningDataModule(), flat)


def test_clipping_by_value_limits_every_number_by_itself() -> None:
    task, whole = linear_classification(), first_gradient(SAMPLES)
    bound = float(np.median(np.abs(whole)))
    fit(task, SAMPLES, 24, gradient_clip_val=bound, gradient_clip_algorithm="value")
    np.testing.assert_allclose(gradient_of_step(task), np.clip(whole, -bound, bound), **EXACT)


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_a_gradient_of_zero_stays_zero(algorithm: str) -> None:
    task = classification_of(nn.Linear(4, 3, bias=False, dtype=torch.float64))
    nowhere = Samples(torch.zeros_like(SAMPLES.x), SAMPLES.y)
    fit(task, nowhere, 24, gradient_clip_val=1.0, gradient_clip_algorithm=algorithm)
    assert not gradient_of_step(task).any()


def test_every_step_is_clipped_and_moves_the_weights_by_no_more() -> None:
    task = linear_classification()
    weight, bias = (p.detach().clone().numpy() for p in task.network.parameters())
    fit(task, SAMPLES, 6, gradient_clip_val=0.3)
    for step in range(4):
        batch = SAMPLES.at(torch.arange(6 * step, 6 * step + 6))
        expected = clipped(gradient(batch, weight, bias), 0.3)
        np.testing.assert_allclose(gradient_of_step(task, step), expected, rtol=1e-11)
        weight, bias = weight - 0.1 * expected[:12].reshape(3, 4), bias - 0.1 * expected[12:]
    np.testing.assert_allclose(task.network.weight.detach(), weight, rtol=1e-11)
