"""The baseline to beat: what outputs reach that are the same for every sample."""

import warnings
from typing import TYPE_CHECKING, cast

import torch
from lightning import LightningDataModule
from trainwell.data.targets import val_targets
from trainwell.metrics import EpochMetrics, as_compared

if TYPE_CHECKING:
    from .supervised import SupervisedTask


@torch.no_grad()
def constant_outputs_scored(task: "SupervisedTask", data: LightningDataModule) -> dict[str, float]:
    """Loss and metrics of ``task.constant`` on the validation split. Every process computes them by itself."""
    y = val_targets(data).to(task.device)
    outputs = task.constant(data).to(next(task.parameters())).repeat(len(y), 1)
    values = {"val/loss": task.compute_loss(outputs, y).item()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of torchmetrics, where a class has no sample
        for name, metric in cast(EpochMetrics, task.metrics["val_metrics"]).metrics.items():
            alone = metric.clone()
            alone.sync_on_compute = False
            alone.reset()
            alone.update(*as_compared(outputs, task.compared(y)))
            values[f"val/{name}"] = alone.compute().item()
    return values
