"""Real Lightning fits in float64 of networks small enough to be followed by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import SGD

from your_package import scheduler, weight_decay
from your_package.classifier import Classifier
from your_package.data import Rows
from your_package.loader import Batches
from your_package.weight_decay import WeightDecay


class Spy(SGD):
    """Gradient descent that keeps what it was handed in every step: the gradients, the rate and the momentum."""

    def __init__(self, groups: Any, lr: float = 0.1, momentum: float = 0.0) -> None:
        super().__init__(groups, lr=lr, momentum=momentum)
        self.gradients: list[list[Tensor]] = []
        self.rates: list[float] = []
        self.momenta: list[float] = []

    def step(self, closure: Callable[[], Any]) -> Any:
        with torch.enable_grad():
            loss = closure()
        self.gradients.append([p.grad.clone() for group in self.param_groups for p in group["params"]])
        self.rates.append(self.param_groups[0]["lr"])
        self.momenta.append(self.param_groups[0]["momentum"])
        super().step()
        return loss


def classifier_of(
    network: nn.Module,
    optimizer: Callable[..., torch.optim.Optimizer] = Spy,
    decay: WeightDecay | None = None,
    schedule: Callable[..., Any] = scheduler.constant,
) -> Classifier:
    decay = weight_decay.none() if decay is None else decay
    return Classifier(network, optimizer=optimizer, scheduler=schedule, weight_decay=decay).double()


def fit(classifier: LightningModule, rows: Rows, batch_size: int, **settings: Any) -> Trainer:
    """Train on the rows in their own order, and validate on the same."""
    trainer = quiet_trainer(**settings)
    trainer.fit(classifier, Batches(rows, batch_size), Batches(rows, batch_size))
    return trainer


def quiet_trainer(**settings: Any) -> Trainer:
    quiet = {
        "accelerator": "cpu",
        "devices": 1,
        "precision": "64-true",
        "max_epochs": 1,
        "logger": False,
        "log_every_n_steps": 1,
        "num_sanity_val_steps": 0,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return Trainer(**{**quiet, **settings})


def some_rows(count: int, features: int = 4, classes: int = 3, seed: int = 0) -> Rows:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, features, generator=generator, dtype=torch.float64)
    return Rows(x, torch.randint(classes, (count,), generator=generator))


def linear_classifier(decay: WeightDecay | None = None) -> Classifier:
    """One linear map from 4 features to 3 classes, always the same; its gradient is known in closed form."""
    torch.manual_seed(0)
    return classifier_of(nn.Linear(4, 3), decay=decay)


def gradient(rows: Rows, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Of the mean cross-entropy of ``softmax(W x + b)``: the mean of (probabilities - one-hot) times (x, 1)."""
    x, y = rows.x.numpy(), rows.y.numpy()
    logits = x @ weight.T + bias
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    errors = exponentials / exponentials.sum(axis=1, keepdims=True) - np.eye(3)[y]
    return np.concatenate([(errors.T @ x / len(y)).ravel(), errors.mean(axis=0)])


def clipped(vector: np.ndarray, length: float) -> np.ndarray:
    return min(1.0, length / np.sqrt((vector**2).sum())) * vector


def seen_by_the_optimizer(classifier: Classifier, step: int = 0) -> np.ndarray:
    """The gradients of a step, in one vector."""
    optimizer = classifier.trainer.optimizers[0]
    assert isinstance(optimizer, Spy)
    return torch.cat([gradient.flatten() for gradient in optimizer.gradients[step]]).numpy()
