"""The outputs of a task on a split, and its metrics there with their 95 % bootstrap intervals."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import nan
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning import LightningDataModule, LightningModule, Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from ..comparison.statistics import Interval, bootstrap
from ..console import QUIET, quiet_lightning
from ..data.in_memory import InMemoryDataModule
from ..metrics import as_compared
from ..outputs import kind_of
from ..runs.load import TrainedRun

RESAMPLED = 10**7  # samples in all resamples of a metric, which are 200 to 1000; bounds the time


class Outputs(NamedTuple):
    """What the task returns, (N, ...), float32, and the targets, (N, ...), sample by sample; and the targets' names."""

    outputs: Tensor
    y: Tensor
    names: Sequence[str] | None = None

    @property
    def kind(self) -> str | None:
        return kind_of(self.outputs, self.y)

    def name(self, place: int) -> str:
        """Of a class, number or label."""
        return str(place) if self.names is None else self.names[place]


def device_for(config: DictConfig) -> torch.device:
    """A GPU, if there is one and the run was not confined to the CPU."""
    confined = OmegaConf.select(config, "trainer.accelerator") == "cpu"
    return torch.device("cuda" if torch.cuda.is_available() and not confined else "cpu")


def batches_of(data: LightningDataModule, split: str) -> tuple[Iterable[Any], Tensor | None]:
    """The batches of a split; of data in memory in the order of the samples, and the inputs of all samples.

    Raises: ValueError: there is no such split.
    """
    if isinstance(data, InMemoryDataModule):
        batches = data.batches(split)
        return batches, batches.samples.x
    try:
        return getattr(data, f"{split}_dataloader")(), None
    except MisconfigurationException as error:  # of Lightning's own method
        raise ValueError(f"{type(data).__name__} has no {split}_dataloader") from error


def refuse_without_forward(task: LightningModule) -> None:
    """Raises: ValueError: the task cannot be called."""
    if type(task).forward is LightningModule.forward:
        raise ValueError(f"{type(task).__name__} needs a method forward, from x to outputs")


@torch.no_grad()
def outputs_of(task: LightningModule, loader: Iterable[Any], device: torch.device) -> Outputs:
    """Raises: ValueError: the batches are not pairs ``(x, y)`` of tensors, or the task cannot be called with x."""
    refuse_without_forward(task)
    outputs, targets = [], []
    task.to(device)
    for batch in loader:
        if not (isinstance(batch, tuple | list) and [isinstance(part, Tensor) for part in batch] == [True, True]):
            raise ValueError(f"evaluate needs batches (x, y) of two tensors; the data give a {type(batch).__name__}")
        returned = task(batch[0].to(device))
        if not isinstance(returned, Tensor):
            raise ValueError(f"{type(task).__name__}.forward must return a tensor, got a {type(returned).__name__}")
        outputs.append(returned.float().cpu())
        targets.append(batch[1].cpu())
    found, y = torch.cat(outputs), torch.cat(targets)
    one_number = y.is_floating_point() and found.shape == (len(y), 1) and y.ndim == 1
    return Outputs(found, y[:, None] if one_number else y)


@torch.no_grad()
def scores(task: LightningModule, found: Outputs) -> dict[str, Interval]:
    """The loss, if the task has a method ``compute_loss(outputs, targets)``, and its metrics, by name.

    Metrics are what a ``MetricCollection`` in the task holds.
    """
    functions: dict[str, Callable[[Tensor, Tensor], Tensor]] = {}
    task.cpu()
    if callable(loss := getattr(task, "compute_loss", None)):
        functions["loss"] = loss
    for part in task.modules():
        if isinstance(part, MetricCollection):  # one for each split, of the same metrics
            functions |= {name: partial(value_of, metric.clone().cpu()) for name, metric in part.items(keep_base=True)}
    return {name: interval(function, found.outputs, found.y) for name, function in functions.items()}


def logged_by_steps(run: TrainedRun, loader: Iterable[Any], split: str) -> dict[str, Interval]:
    """What the test steps, or the validation steps, of a task log for these batches, by name, without an interval."""
    name = "test" if split == "test" else "validation"
    if getattr(type(run.task), f"{name}_step") is getattr(LightningModule, f"{name}_step"):
        return {}
    quiet_lightning()  # after its import, which sets another level
    accelerator = device_for(run.config).type.replace("cuda", "gpu")
    trainer = Trainer(accelerator=accelerator, devices=1, **QUIET)
    evaluated = trainer.test if split == "test" else trainer.validate
    (logged,) = evaluated(run.task, dataloaders=loader, verbose=False)
    run.task.cpu()
    return {
        key.removeprefix("val/").removeprefix("test/"): Interval(value, nan, nan, 0) for key, value in logged.items()
    }


def value_of(metric: Metric, outputs: Tensor, y: Tensor) -> Tensor:
    metric.reset()
    metric.update(*as_compared(outputs, y))
    return metric.compute()


def interval(function: Callable[[Tensor, Tensor], Tensor], outputs: Tensor, y: Tensor) -> Interval:
    """A loss or a metric, and its interval over resampled samples."""

    def resampled(index: np.ndarray) -> float:
        chosen = torch.from_numpy(index)
        return float(function(outputs[chosen], y[chosen]))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of torchmetrics, where a resample lacks a class
        return bootstrap(resampled, len(y), resamples=min(max(RESAMPLED // len(y), 200), 1000))
