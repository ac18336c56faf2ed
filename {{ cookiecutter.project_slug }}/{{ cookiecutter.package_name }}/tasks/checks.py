"""Before training: do data, network, loss and metrics fit together? What does not is refused in one sentence."""

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

import torch
from lightning import LightningDataModule
from torch import Tensor, nn
from torchmetrics import Metric
from trainwell.metrics import EpochMetrics
from trainwell.outputs import described
from trainwell.rng import preserved_random_states

if TYPE_CHECKING:
    from .supervised import SupervisedTask

FEW = 8  # samples on which loss and metrics are tried
TASK_FOR = {"classes": "classification", "numbers": "regression", "labels": "multilabel"}
REFUSALS = (ValueError, RuntimeError, TypeError, IndexError)  # of losses and metrics that cannot compare what they get


def refuse_other_targets(data: LightningDataModule, targets: str) -> None:
    """Raises: ValueError: the data module says that its targets are of another kind."""
    found = getattr(data, "targets", None)
    if found is None and hasattr(data, "num_classes"):
        found = "classes"
    if found not in (None, targets):
        raise ValueError(
            f"task={TASK_FOR.get(targets, targets)} needs {targets} as targets, {type(data).__name__} gives {found}: "
            f"type task={TASK_FOR.get(found, '...')}"
        )


def num_outputs_of(data: LightningDataModule, targets: str) -> int:
    """How many outputs the network needs: as many as the data module says, or as its first targets have.

    Raises: ValueError: the targets are classes, and the data module does not say how many there are.
    """
    declared = getattr(data, "num_classes", None) if targets == "classes" else None
    if (declared := declared or getattr(data, "num_outputs", None)) is not None:
        return declared
    if targets == "classes":
        raise ValueError(f"task=classification needs {type(data).__name__}.num_classes, the number of classes")
    y = first_batch(data)[1]
    return y.reshape(len(y), -1).shape[1]


def first_batch(data: LightningDataModule) -> tuple[Tensor, Tensor]:
    """The first batch of the train split, without an effect on random numbers.

    Raises: ValueError: it is not a pair of tensors.
    """
    with preserved_random_states():
        batch = next(iter(data.train_dataloader()))
    pair = isinstance(batch, tuple | list) and len(batch) == 2 and all(isinstance(part, Tensor) for part in batch)
    if not pair or not batch[1].ndim or len(batch[0]) != len(batch[1]):
        raise ValueError(
            "the task reads batches (x, y) of two tensors with as many samples, "
            f"{type(data).__name__} gives {described(batch)}: a task of your own can read them"
        )
    return batch[0], batch[1]


def metrics_for(factories: Mapping[str, Callable[..., Metric]], facts: Mapping[str, int]) -> dict[str, Metric]:
    """Call each factory with those of the ``facts``, such as ``num_classes``, that it takes.

    Raises: ValueError: a factory cannot be called, or makes no metric.
    """
    metrics = {}
    for name, factory in factories.items():
        known = {key: value for key, value in facts.items() if key in inspect.signature(factory).parameters}
        try:
            metrics[name] = factory(**known)
        except (ValueError, TypeError) as error:
            raise ValueError(f"task.metrics.{name} cannot be built: {first_line(error)}") from error
        if not isinstance(metrics[name], Metric):
            raise ValueError(f"task.metrics.{name} must be a torchmetrics.Metric, got {metrics[name]!r:.60}")
    return metrics


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


@torch.no_grad()
def refuse_unusable_parts(task: "SupervisedTask", x: Tensor, y: Tensor) -> None:
    """Try the loss and every metric on a few samples.

    Raises: ValueError: the loss is not one finite number, or a metric cannot compare outputs and targets.
    """
    x, y = x[:FEW], y[:FEW]
    task.eval()
    with preserved_random_states(), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        outputs = task(x)
        shapes = f"outputs {described(outputs)} with targets {described(y)}"
        try:
            loss, _ = task.loss_and_outputs(x, y)
        except REFUSALS as error:
            raise ValueError(f"loss cannot compare {shapes}: {first_line(error)}") from error
        if said := [str(warning.message) for warning in warned if "target size" in str(warning.message)]:
            raise ValueError(f"loss must not broadcast {shapes}: {first_line(said[0])}")
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            raise ValueError(f"loss must turn {shapes} into one number, got {described(loss)}")
        are_finite = outputs.isfinite().all()  # else the network is to blame, and the doctor says why
        if are_finite and not loss.isfinite():
            raise ValueError(f"loss must be finite, got {loss.item()} for {shapes}")
        metrics = cast(EpochMetrics, task.metrics["val_metrics"]).metrics
        for name, metric in metrics.items() if are_finite else ():
            refuse_unusable_metric(name, metric.clone(), outputs, task.compared(y), shapes)
    task.train()


def refuse_unusable_metric(name: str, metric: Metric, outputs: Tensor, targets: Tensor, shapes: str) -> None:
    try:
        metric.update(outputs.float(), targets)
        value = metric.compute()
    except REFUSALS as error:
        raise ValueError(f"task.metrics.{name} cannot compare {shapes}: {first_line(error)}") from error
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise ValueError(f"task.metrics.{name} must turn {shapes} into one number, got {described(value)}")


def first_line(said: object) -> str:
    return str(said).strip().partition("\n")[0]
