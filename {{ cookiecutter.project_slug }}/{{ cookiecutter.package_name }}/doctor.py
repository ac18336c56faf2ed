"""The doctor: findings over data, start and first steps of any classifier, root cause first."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.callbacks import EarlyStopping
from torch import nn
from torch.optim import Optimizer
from tqdm import tqdm

from . import scheduler, weight_decay
from .classifier import Classifier
from .data import Data, Rows
from .data_rules import chance, findings_in_data, guessing, learnable_accuracy, unlearnable
from .findings import Finding
from .learning_rules import will_overfit
from .record import Record
from .remedies import treated
from .rules import findings_in_training
from .trial import loss_by_heart, observed, some

STEPS_BY_HEART = 100
FEWEST_ROWS = 100  # to look ahead on
SPOILT = {"unscaled_input", "constant_input", "unlearnable_labels"}  # with such data no network is to blame


@dataclass(frozen=True)
class Examination:
    """The findings, and what they were found in."""

    findings: list[Finding]
    record: Record | None


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

    ``trainer`` holds arguments of ``lightning.Trainer`` that training is to have: ``gradient_clip_val``, ``precision``,
    ``max_epochs``, ... Neither the classifier nor any global random state is changed.
    """
    return examination(classifier, data, steps=steps, batch_size=batch_size, seed=seed, bar=bar, **trainer).findings


def examination(
    classifier: LightningModule, data: Data, *, steps: int = 200, batch_size: int, seed: int, bar: bool, **trainer: Any
) -> Examination:
    """What ``examine`` does, with the record of the training."""
    of_data = list(findings_in_data(data))
    if any(finding.code == "non_finite" for finding in of_data):
        return Examination(treated(of_data), None)
    settings = {"batch_size": min(batch_size, len(data.train.y)), "seed": seed, **trainer}
    few = rows_to_look_ahead_on(data, steps * settings["batch_size"], trainer)
    total = steps * (2 if few else 1)
    with tqdm(total=total, unit=" steps", leave=False, disable=None if bar else True) as shown:
        record = observed(classifier, data, steps=steps, bar=shown, **settings)
        record.chance, record.learnable = chance(data), learnable_accuracy(data)
        record.guessing = guessing(some(data.train))
        of_data += unlearnable(data, record.last.val_accuracy if record.last else None)
        if SPOILT & {finding.code for finding in of_data}:
            return Examination(treated([milder(finding, record) for finding in of_data]), record)
        if record.learns is False:
            record.by_heart = loss_by_heart(classifier, data, steps=STEPS_BY_HEART, **settings)
        findings = of_data + list(findings_in_training(record))
        if few and not findings:
            ahead = observed(classifier, few, steps=steps, bar=shown, **settings)
            ahead.chance = record.chance
            findings += will_overfit(ahead)
    return Examination(treated(findings), record)


def milder(finding: Finding, record: Record) -> Finding:
    """Inputs that a network copes with are no more than a warning."""
    of_inputs = finding.code in ("unscaled_input", "constant_input")
    return replace(finding, severity=record.severity) if of_inputs else finding


def rows_to_look_ahead_on(data: Data, visits: int, trainer: dict[str, Any]) -> Data | None:
    """So few train rows that ``visits`` go as often through them as training is to go through all."""
    count = visits // max(trainer.get("max_epochs") or 1, 1)
    if not FEWEST_ROWS <= count < len(data.train.y):
        return None
    chosen = torch.randperm(len(data.train.y), generator=torch.Generator().manual_seed(0))[:count]
    return replace(data, train=Rows(data.train.x[chosen], data.train.y[chosen]))


def wrapped(network: nn.Module, *, optimizer: Callable[..., Optimizer]) -> Classifier:
    """A classifier of any module from rows to logits; ``optimizer`` is called with the parameter groups."""
    return Classifier(network, optimizer=optimizer, scheduler=scheduler.constant, weight_decay=weight_decay.none())


def trainer_settings(trainer: Any) -> dict[str, Any]:
    """What a trainer's configuration says that matters for the first steps: on one device, and nothing is recorded."""
    ours = {"_target_", "callbacks", "logger", "devices", "strategy", "num_nodes", "plugins", "profiler"}
    settings = {key: value for key, value in trainer.items() if key not in ours | {"default_root_dir"}}
    return {**settings, "devices": 1, "callbacks": list(stoppers(trainer.callbacks))}


def stoppers(callbacks: Any) -> Iterator[EarlyStopping]:
    """The callbacks that can end training early: they belong to how it is trained."""
    from hydra.utils import instantiate

    for callback in callbacks:
        if callback["_target_"].endswith(".EarlyStopping"):
            yield instantiate(callback)
