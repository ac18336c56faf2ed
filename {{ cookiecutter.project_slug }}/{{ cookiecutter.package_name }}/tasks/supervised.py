"""The training step of supervised learning, the same for every network: loss, weight decay, clipping, metrics."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self, cast

import lightning
import torch
from lightning import LightningDataModule
from torch import Tensor, nn
from torch.nn.utils import clip_grad_value_
from torch.optim import Optimizer
from torchmetrics import Metric
from trainwell.callbacks.training_stats import gradient_norm
from trainwell.metrics import EpochMetrics
from trainwell.rng import preserved_random_states

from ..techniques.weight_decay import WeightDecay, split


class SupervisedTask(lightning.LightningModule):
    """Train ``network``, from inputs to outputs, on batches ``(x, y)``.

    ``optimizer`` is called with the parameter groups, ``scheduler`` with the optimizer and the number of steps. Logs
    ``<split>/loss``, without the weight decay penalty, and ``<split>/<name>`` for every metric.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        loss: Callable[[Tensor, Tensor], Tensor],
        metrics: Mapping[str, Metric],
        optimizer: partial[Optimizer],
        scheduler: Callable[[Optimizer, int], dict[str, Any] | None],
        weight_decay: WeightDecay,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.weight_decay = weight_decay
        self.weights, self.others = split(network, weight_decay)
        copies = {name: {key: metric.clone() for key, metric in metrics.items()} for name in ("train", "val", "test")}
        self.metrics = nn.ModuleDict({f"{name}_metrics": EpochMetrics(copy) for name, copy in copies.items()})

    @property
    def learning_rate(self) -> float:
        """What Lightning's LearningRateFinder reads and sets."""
        return self.optimizer.keywords["lr"]

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self.optimizer = partial(self.optimizer, lr=rate)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = self.evaluate(batch, "train")
        if self.weight_decay.penalty is not None:
            loss = loss + self.weight_decay.penalty(self.weights, len(batch[1]))
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.evaluate(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.evaluate(batch, "test")

    def evaluate(self, batch: Any, name: str) -> Tensor:
        """Mean loss of a batch, which is added to the epoch's metrics."""
        x, y = batch
        loss, outputs, targets = self.compare(x, y)
        cast(EpochMetrics, self.metrics[f"{name}_metrics"]).update(loss, outputs, targets)
        return loss

    def compare(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The mean loss of a batch, and the outputs and targets that its metrics compare."""
        outputs = self.network(x)
        return self.loss(outputs, y), outputs, y

    def on_train_epoch_end(self) -> None:
        self.log_metrics("train")

    def on_validation_epoch_end(self) -> None:
        self.log_metrics("val")

    def on_test_epoch_end(self) -> None:
        self.log_metrics("test")

    def log_metrics(self, name: str) -> None:
        values = cast(EpochMetrics, self.metrics[f"{name}_metrics"]).compute()
        self.log_dict({f"{name}/{key}": value for key, value in values.items()}, sync_dist=True)

    def configure_optimizers(self) -> Any:
        groups = [
            {"params": self.weights, "weight_decay": self.weight_decay.shrinkage},
            {"params": self.others, "weight_decay": 0.0},
        ]
        optimizer = self.optimizer([group for group in groups if group["params"]])
        scheduler = self.scheduler(optimizer, int(self.trainer.estimated_stepping_batches))
        if scheduler is None:
            return optimizer
        if "monitor" in scheduler:  # epochs without validation have no value
            scheduler["frequency"] = self.trainer.check_val_every_n_epoch or 1
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Scale the whole gradient to norm ``gradient_clip_val`` where it is longer.

        Differs from Lightning's clipping, which divides by the norm plus 1e-6.
        Source: Pascanu, Mikolov and Bengio 2013, arXiv:1211.5063, algorithm 1.
        """
        if gradient_clip_val is None:
            return
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if gradient_clip_algorithm == "value":
            clip_grad_value_(parameters, gradient_clip_val)
            return
        scale = (gradient_clip_val / gradient_norm(self.trainer, optimizer)).clamp(max=1.0)
        for parameter in parameters:
            parameter.grad.mul_(scale)

    @classmethod
    def build(
        cls,
        data: LightningDataModule,
        num_outputs: int,
        *,
        network: Callable[[tuple[int, ...], int], nn.Module],
        compile: bool,
        **parts: Any,
    ) -> Self:
        """Build the network for one sample of ``data``, check its output, and wrap it in a task."""
        x, _ = first_batch(data)
        module = network(tuple(x.shape[1:]), num_outputs)
        refuse_misfit(module, x[:2], num_outputs)
        if compile:
            module.compile()
        return cls(module, **parts)


def first_batch(data: LightningDataModule) -> tuple[Tensor, Tensor]:
    """The first batch of the train split, without an effect on random numbers.

    Raises: ValueError: it is not a pair of tensors.
    """
    with preserved_random_states():
        batch = next(iter(data.train_dataloader()))
    if not (isinstance(batch, tuple | list) and len(batch) == 2 and all(isinstance(part, Tensor) for part in batch)):
        parts = list(batch) if isinstance(batch, dict) else [type(part).__name__ for part in batch]
        raise ValueError(f"the task reads batches (x, y) of two tensors, {type(data).__name__} gives {parts}")
    return batch[0], batch[1]


def metrics_for(factories: Mapping[str, Callable[..., Metric]], **facts: Any) -> dict[str, Metric]:
    """Call each factory with those of the ``facts``, such as ``num_classes``, that it takes."""
    return {
        name: factory(**{key: value for key, value in facts.items() if key in inspect.signature(factory).parameters})
        for name, factory in factories.items()
    }


def refuse_misfit(network: nn.Module, x: Tensor, num_outputs: int) -> None:
    """Check that two samples become two rows of outputs.

    Raises: ValueError: they do not.
    """
    shape = tuple(x.shape)
    try:
        with torch.no_grad():
            outputs = network.eval()(x)
    except RuntimeError as error:
        hint = "" if x.is_floating_point() else " (inputs are integers: type data.standardize=true, or save floats)"
        raise ValueError(f"the network cannot take a batch of shape {shape}: {error}{hint}") from error
    finally:
        network.train()
    if not isinstance(outputs, Tensor) or outputs.shape != (len(x), num_outputs):
        got = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ValueError(f"the network must turn {shape} into {(len(x), num_outputs)}, got {got}")
