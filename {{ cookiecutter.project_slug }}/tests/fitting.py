"""Small networks, and real Lightning fits in float64 that can be followed by hand."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from lightning import LightningModule, Trainer
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torchmetrics import Metric
from trainwell.data.batches import Batches, Samples
from trainwell.data.in_memory import InMemoryDataModule

from your_package.networks.layers import LayerFactories
from your_package.tasks.classification import Classification
from your_package.tasks.supervised import SupervisedTask
from your_package.techniques import (
    activation,
    dropout,
    initialisation,
    normalisation,
    residual,
    scheduler,
    weight_decay,
)
from your_package.techniques.weight_decay import WeightDecay

from tests.conftest import CONFIGS


def layer_factories(**changes: Any) -> LayerFactories:
    """Three residual layers with ReLU and nothing else, as PyTorch initialises them, but for the ``changes``."""
    usual: dict[str, Any] = {
        "depth": 3,
        "activation": activation.relu,
        "normalisation": normalisation.none,
        "dropout": dropout.none,
        "connection": residual.skip,
        "initialisation": initialisation.torch_default,
    }
    return LayerFactories(**{**usual, **changes})


def small_network(option: str, **changes: Any) -> nn.Module:
    """The network of ``configs/network/OPTION.yaml``, narrow, for images of 8 by 8 pixels of ten classes."""
    torch.manual_seed(0)
    return network_factory(option, **changes)((8, 8), 10)


def network_factory(option: str, *, start: Mapping[str, Any] | None = None, **changes: Any) -> partial[nn.Module]:
    """The same before it is called with shapes; ``start`` are keys such as ``freeze``."""
    config = OmegaConf.load(CONFIGS / "network" / f"{option}.yaml")
    del config.layers  # refers to other files
    return partial(instantiate(config, width=8, **(start or {})), layers=layer_factories(**changes))


class RecordingSGD(SGD):
    """Gradient descent that records what each step is given: gradients, learning rate and momentum."""

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


def classification_of(
    network: nn.Module,
    *,
    kind: type[SupervisedTask] = Classification,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    optimizer: Callable[..., Optimizer] = RecordingSGD,
    decay: WeightDecay | None = None,
    schedule: Callable[..., Any] = scheduler.constant,
    metrics: Mapping[str, Metric] | None = None,
) -> SupervisedTask:
    return kind(
        network,
        loss=loss or nn.CrossEntropyLoss(),
        metrics=metrics or {},
        optimizer=optimizer,
        scheduler=schedule,
        weight_decay=weight_decay.none() if decay is None else decay,
    ).double()


class SmallData(InMemoryDataModule):
    """40 train and 20 validation images of 8 by 8 pixels, of which a linear map makes the targets."""

    def __init__(self, targets: str, names: Sequence[str] = ("ant", "bee", "cat"), **keys: Any) -> None:
        super().__init__(**{"batch_size": 16, "seed": 0, **keys})
        self.targets, self.target_names, self.num_classes = targets, list(names), len(names)

    def load(self) -> None:
        generator = np.random.default_rng(0)
        x = generator.normal(size=(80, 8, 8))
        found = x.reshape(80, 64) @ generator.normal(size=(64, self.num_classes))
        of_kind = {"classes": found.argmax(axis=1), "numbers": 100 + 20 * found, "labels": (found > 3).astype(int)}
        samples = Samples.from_numpy(x, of_kind[self.targets])
        self.train, self.val, self.test = (samples.at(index) for index in torch.arange(80).split([40, 20, 20]))


def small_data(targets: str, **keys: Any) -> SmallData:
    data = SmallData(targets, **keys)
    data.setup("fit")
    return data


def fit(task: LightningModule, samples: Samples, batch_size: int, **settings: Any) -> Trainer:
    """Train on the samples in their own order, and validate on the same."""
    trainer = quiet_trainer(**settings)
    trainer.fit(task, Batches(samples, batch_size), Batches(samples, batch_size))
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


def some_samples(count: int, features: int = 4, classes: int = 3, seed: int = 0) -> Samples:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, features, generator=generator, dtype=torch.float64)
    return Samples(x, torch.randint(classes, (count,), generator=generator))


def linear_classification(decay: WeightDecay | None = None) -> SupervisedTask:
    """One linear map from 4 features to 3 classes, always the same; its gradient is known in closed form."""
    torch.manual_seed(0)
    return classification_of(nn.Linear(4, 3), decay=decay)


def gradient(samples: Samples, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Of the mean cross-entropy of ``softmax(W x + b)``: the mean of (probabilities - one-hot) times (x, 1)."""
    x, y = samples.x.numpy(), samples.y.numpy()
    logits = x @ weight.T + bias
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    errors = exponentials / exponentials.sum(axis=1, keepdims=True) - np.eye(3)[y]
    return np.concatenate([(errors.T @ x / len(y)).ravel(), errors.mean(axis=0)])


def clipped(vector: np.ndarray, length: float) -> np.ndarray:
    return min(1.0, length / np.sqrt((vector**2).sum())) * vector


def recorded(task: LightningModule) -> RecordingSGD:
    (optimizer,) = task.trainer.optimizers
    assert isinstance(optimizer, RecordingSGD)
    return optimizer


def gradient_of_step(task: LightningModule, step: int = 0) -> np.ndarray:
    """The gradient that the optimizer was given in a step, in one vector."""
    return torch.cat([part.flatten() for part in recorded(task).gradients[step]]).numpy()
