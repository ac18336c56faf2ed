"""Losses and gradients that are not finite."""

from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from trainwell.callbacks.non_finite import StopOnNonFinite, first_non_finite, remedies
from trainwell.errors import RunFailed


class Regression(LightningModule):
    def __init__(self, layers: nn.Module, rate: float = 0.1) -> None:
        super().__init__()
        self.layers = layers
        self.rate = rate

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.layers(batch[0]).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), self.rate)


class Root(nn.Module):
    """A gradient that is infinite at zero, where the function is not."""

    def forward(self, x: Tensor) -> Tensor:
        return x.square().sqrt()


def fit(module: LightningModule, x: Tensor, *callbacks: Callback) -> None:
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=2,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(TensorDataset(x), batch_size=8))


def test_the_innermost_module_that_overflows_first_is_named() -> None:
    layers = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.Tanh()), nn.Linear(4, 3))
    module = Regression(layers)
    assert first_non_finite(module, [torch.ones(2, 4)], 0) is None
    nn.init.constant_(layers[1][0].weight, 1e38)
    nn.init.constant_(layers[0].weight, 1e3)
    assert first_non_finite(module, [torch.ones(2, 4)], 0) == "layers.1.0 (Linear)"
    assert first_non_finite(module, {"inputs": torch.full((2, 4), torch.nan)}, 0) == "the data"


def test_a_loss_that_is_not_finite_ends_the_fit_before_the_weights_have_moved() -> None:
    x = torch.randn(8, 4)
    x[5] = torch.inf
    module = Regression(nn.Linear(4, 3))
    weight = module.layers.weight.clone()
    with pytest.raises(RunFailed, match="the loss is not finite at step 0, epoch 0, first in the data"):
        fit(module, x, StopOnNonFinite())
    assert torch.equal(module.layers.weight.cpu(), weight)


def test_a_gradient_that_is_not_finite_ends_the_fit_while_the_loss_still_is() -> None:
    layers = nn.Sequential(nn.Linear(4, 3), Root())
    nn.init.zeros_(layers[0].weight)
    nn.init.zeros_(layers[0].bias)
    with pytest.raises(RunFailed, match="the gradient is not finite at step 1, epoch 0") as failed:
        fit(Regression(layers), torch.randn(8, 4), StopOnNonFinite())
    assert failed.value.findings[0].code == "non_finite"


@pytest.mark.parametrize(
    ("rates", "clip", "offered"),
    [
        ([5.0], 1.0, ["optimizer.lr=0.001", "initialisation=zero_residual"]),
        ([0.002], 5.0, ["trainer.gradient_clip_val=1.0", "optimizer.lr=0.0002", "initialisation=zero_residual"]),
        ([], None, ["trainer.gradient_clip_val=1.0", "initialisation=zero_residual"]),  # a module without an optimizer
    ],
)
def test_what_is_offered_depends_on_the_learning_rate_and_the_clipping(
    rates: list[float], clip: float | None, offered: list[str]
) -> None:
    trainer = Trainer(accelerator="cpu", gradient_clip_val=clip, logger=False, enable_checkpointing=False)
    trainer.optimizers = [torch.optim.SGD([nn.Parameter(torch.zeros(1))], rate) for rate in rates]
    assert remedies(trainer) == offered
