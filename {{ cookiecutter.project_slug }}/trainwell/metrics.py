"""Metrics of an epoch: fed to torchmetrics in few large updates, part of an exact resume."""

import re
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection
from torchmetrics.aggregation import SumMetric

VALIDATION = re.compile(r"val(id|idation)?[/_.]")  # how names of validation metrics begin: val/loss, val_loss
BUFFERED_VALUES = 2**20  # of outputs, before they are fed to the metrics


class EpochMetrics(nn.Module):
    """The mean loss over the samples of an epoch and any torchmetrics, of one split.

    Updating a metric costs as much as a small network's step, so outputs and targets are collected and fed all at once.
    In distributed training, ``compute`` gives the value over the samples of all processes.
    """

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        super().__init__()
        self.metrics = MetricCollection(dict(metrics))
        self.total_loss = SumMetric(nan_strategy="disable")  # and no mean: its digits depend on the number of updates
        self.total_samples = SumMetric(nan_strategy="disable")
        self.buffers_reset()

    def buffers_reset(self) -> None:
        self.loss_sum: Tensor | float = 0.0
        self.samples = self.values = 0  # values of the outputs
        self.outputs: list[Tensor] = []
        self.targets: list[Tensor] = []

    def update(self, loss: Tensor, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch: its mean loss, and what the metrics compare."""
        self.loss_sum = self.loss_sum + loss.detach() * len(targets)
        self.samples += len(targets)
        self.values += outputs.numel()
        self.outputs.append(outputs.detach())
        self.targets.append(targets)
        if self.values > BUFFERED_VALUES:
            self.feed()

    def feed(self) -> None:
        """Update the metrics with what has been collected."""
        if not self.samples:
            return
        self.total_loss.update(self.loss_sum)
        self.total_samples.update(self.samples)
        if self.metrics:
            self.metrics.update(*as_compared(torch.cat(self.outputs), torch.cat(self.targets)))
        self.buffers_reset()

    def compute(self) -> dict[str, Tensor]:
        """The loss and every metric over the samples since the last call."""
        self.feed()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="No (positive|negative) samples in targets")  # of a small split
            found = {"loss": self.total_loss.compute() / self.total_samples.compute(), **self.metrics.compute()}
        for part in (self.total_loss, self.total_samples, self.metrics):
            part.reset()
        return {name: value.float() for name, value in found.items()}

    def collected(self) -> dict[str, Any]:
        """What has not been fed yet, as a checkpoint stores it."""
        loss = torch.as_tensor(self.loss_sum).cpu()
        stacked = [torch.cat(parts).cpu() for parts in (self.outputs, self.targets) if parts]
        return {"loss_sum": loss, "samples": self.samples, "batches": stacked}

    def restore_collected(self, state: Mapping[str, Any], device: torch.device) -> None:
        self.buffers_reset()
        if state["samples"]:
            self.loss_sum, self.samples = state["loss_sum"].to(device), state["samples"]
            self.outputs, self.targets = ([part.to(device)] for part in state["batches"])
            self.values = self.outputs[0].numel()


def as_compared(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs and targets for a metric: float64 for numbers, because sums of squares far from 0 lose digits."""
    if targets.is_floating_point() and targets.device.type != "mps":  # which has no double precision
        return outputs.double(), targets.double()
    return outputs.float(), targets


def metric_states(module: nn.Module) -> dict[str, Any]:
    """The state of every torchmetrics metric inside a module, in the middle of an epoch, as a checkpoint stores it."""
    states: dict[str, Any] = {}
    for name, part in module.named_modules():
        if isinstance(part, EpochMetrics):
            states[name] = part.collected()
        elif isinstance(part, Metric):
            states[name] = {key: moved(value, "cpu") for key, value in part.metric_state.items()}
    return states


def restore_metric_states(module: nn.Module, states: Mapping[str, Any], device: torch.device) -> None:
    """Give the metrics inside a module the states that ``metric_states`` has returned."""
    for name, part in module.named_modules():
        if name in states and isinstance(part, EpochMetrics):
            part.restore_collected(states[name], device)
        elif name in states and isinstance(part, Metric):
            for key, value in states[name].items():
                setattr(part, key, moved(value, device))


def moved(value: Any, device: torch.device | str) -> Any:
    return [part.detach().to(device) for part in value] if isinstance(value, list) else value.detach().to(device)


def higher_is_better(module: nn.Module, logged: str) -> bool | None:
    """Whether a logged metric such as ``val/f1`` is better when higher, as torchmetrics says; None: unknown."""
    name = logged.rpartition("/")[2]
    if name == "loss" or name.endswith("_loss"):
        return False
    for part in module.modules():
        if isinstance(part, MetricCollection):
            for key, metric in part.items(keep_base=True):
                if key == name:
                    return metric.higher_is_better
    metrics = {path.rpartition(".")[2]: part for path, part in module.named_modules() if isinstance(part, Metric)}
    found = metrics.get(name, metrics.get(logged.replace("/", "_")))
    return None if found is None else found.higher_is_better
