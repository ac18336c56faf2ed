"""Examine data, start and first steps of any LightningModule: findings, root cause first."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from hydra.utils import get_object, instantiate
from lightning import LightningDataModule, LightningModule, seed_everything
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from tqdm import tqdm

from ..findings import Finding
from ..metrics import higher_is_better
from ..rng import preserved_random_states
from .history import History
from .problem import Problem, problem_of, some
from .remedies import treated
from .rules.data import chance, findings_in_data, guessing, learnable_accuracy, unlearnable
from .rules.optimization import will_overfit
from .rules.order import findings_in_training
from .trial import trial

STEPS = 200
FEWEST_AHEAD = 100  # samples for a trial of all planned epochs
BAD_INPUTS = {"unscaled_input", "constant_input"}
BAD_DATA = {*BAD_INPUTS, "unlearnable_labels"}  # the network is not to blame then
NOT_IN_A_TRIAL = ("_target_", "callbacks", "logger", "strategy", "num_nodes", "plugins", "profiler", "default_root_dir")


def examine(
    module: LightningModule,
    data: LightningDataModule,
    *,
    steps: int = STEPS,
    seed: int = 0,
    bar: bool = False,
    **trainer: Any,
) -> list[Finding]:
    """Check ``data``, then train a copy of ``module`` for ``steps`` steps and judge what was measured.

    ``trainer`` are arguments of ``lightning.Trainer`` that the training is to have: ``gradient_clip_val``,
    ``precision``, ``max_epochs``, ... Neither the module nor a global random state is changed.

    Rules about accuracy need batches ``(x, y)`` with class indices ``y``, and a ``forward`` from ``x`` to logits; the
    others only need a module that Lightning can train.
    """
    return examination(module, data, steps, seed, bar, trainer)[0]


def examination(
    module: LightningModule, data: LightningDataModule, steps: int, seed: int, bar: bool, trainer: dict[str, Any]
) -> tuple[list[Finding], History | None]:
    """The findings of ``examine`` and the history of its trial; no history if the data cannot be trained on."""
    shown = tqdm(total=steps, unit=" steps", leave=False, disable=None if bar else True)
    with preserved_random_states(), shown:
        seed_everything(seed, verbose=False)  # a loader that shuffles draws from the global random state
        problem = problem_of(data)
        settings = {"seed": seed, "bar": shown, **trainer}
        findings = list(findings_in_data(problem)) if problem else []
        if any(finding.code == "non_finite" for finding in findings):
            return treated(findings), None
        history = trial(module, data, problem, steps=steps, **settings)
        if problem and problem.num_classes:
            history.chance, history.learnable = chance(problem), learnable_accuracy(problem)
            history.guessing = guessing(some(problem.train))
            findings += unlearnable(problem, history.last.val_accuracy if history.last else None)
        if BAD_DATA & {finding.code for finding in findings}:
            severity = history.severity  # inputs that the network learns from all the same are only a warning
            judged = [replace(each, severity=severity) if each.code in BAD_INPUTS else each for each in findings]
            return treated(judged), history
        findings += findings_in_training(history)
        few = problem_ahead(problem, steps, trainer) if problem and not findings else None
        if few:
            shown.total += steps
            ahead = trial(module, data, few, steps=steps, **settings)
            ahead.chance = history.chance
            findings += will_overfit(ahead)
    return treated(findings), history


def problem_ahead(problem: Problem, steps: int, trainer: dict[str, Any]) -> Problem | None:
    """So few train samples that the trial sees each as often as the whole training is to see all of them."""
    count = steps * problem.batch_size // max(trainer.get("max_epochs") or 1, 1)
    if not problem.num_classes or not FEWEST_AHEAD <= count < len(problem.train.y):
        return None
    chosen = torch.randperm(len(problem.train.y), generator=torch.Generator().manual_seed(0))[:count]
    return replace(problem, train=problem.train.at(chosen), in_memory=True)


class WrappedNetwork(LightningModule):
    """The plainest training of a network: cross-entropy, one optimizer."""

    def __init__(self, network: nn.Module, optimizer: Callable[..., Optimizer]) -> None:
        super().__init__()
        self.network = network
        self.optimizer = optimizer

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        x, y = batch
        return cross_entropy(self(x), y)

    def configure_optimizers(self) -> Optimizer:
        return self.optimizer(self.network.parameters())


def wrapped(network: nn.Module, *, optimizer: Callable[..., Optimizer]) -> LightningModule:
    """A module to examine, of any network from samples to logits; ``optimizer`` is called with its parameters."""
    return WrappedNetwork(network, optimizer)


def trainer_settings(config: Any, module: LightningModule) -> dict[str, Any]:
    """The arguments of a configuration's trainer that matter for a trial, and the callbacks that may end it early."""
    settings = {key: value for key, value in config.trainer.items() if key not in NOT_IN_A_TRIAL}
    stoppers = []
    for callback in (config.get("callbacks") or {}).values():
        target = get_object(callback["_target_"])
        if isinstance(target, type) and issubclass(target, EarlyStopping):
            known = callback.get("mode", "min") is not None  # else the metric of the module says which is better
            mode = {} if known else {"mode": "max" if higher_is_better(module, callback["monitor"]) else "min"}
            stoppers.append(instantiate(callback, **mode))
    return {**settings, "devices": 1, "callbacks": stoppers}
