"""The doctor: findings over data, start and first steps of any classifier, root cause first."""

from collections.abc import Callable
from typing import Any

from lightning import LightningModule
from torch import nn
from torch.optim import Optimizer
from tqdm import tqdm

from . import scheduler, weight_decay
from .classifier import Classifier
from .data import Data
from .data_rules import findings_in_data
from .findings import Finding
from .trial import loss_by_heart, observed

STEPS_BY_HEART = 100


def examine(
    classifier: LightningModule,
    data: Data,
    *,
    steps: int = 200,
    batch_size: int = 64,
    seed: int = 0,
    bar: bool = False,
    **trainer: Any,
) -> list[Finding]:
    """Look at ``data``, then train a copy of ``classifier`` for ``steps`` steps and see how it goes.

    ``trainer`` holds arguments of ``lightning.Trainer`` that training is to have: ``gradient_clip_val``, ``max_epochs``,
    ``precision``, ... Neither the classifier nor any global random state is changed.
    """
    settings = {"batch_size": batch_size, "seed": seed, **trainer}
    with tqdm(total=steps + STEPS_BY_HEART, unit=" steps", leave=False, disable=None if bar else True) as shown:
        record = observed(classifier, data, steps=steps, bar=shown, **settings)
        record.by_heart = loss_by_heart(classifier, data, steps=STEPS_BY_HEART, bar=shown, **settings)
    return list(findings_in_data(data))


def wrapped(network: nn.Module, *, optimizer: Callable[..., Optimizer]) -> Classifier:
    """A classifier of any module from rows to logits; ``optimizer`` is called with the parameter groups."""
    return Classifier(
        network, optimizer=optimizer, scheduler=scheduler.constant, weight_decay=weight_decay.none()
    )


def trainer_settings(trainer: Any) -> dict[str, Any]:
    """What a trainer's configuration says that matters for the first steps: on one device, and nothing is recorded."""
    ours = ("_target_", "callbacks", "logger", "devices", "strategy", "num_nodes")
    return {key: value for key, value in trainer.items() if key not in ours} | {"devices": 1}
