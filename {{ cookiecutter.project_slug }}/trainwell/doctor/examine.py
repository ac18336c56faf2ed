"""Examine data, start and first steps of any LightningModule: findings, root cause first."""

import gc
from dataclasses import dataclass, field, replace
from functools import partial
from time import thread_time
from typing import Any

import torch
from hydra.utils import get_object, instantiate
from lightning import LightningDataModule, LightningModule, seed_everything
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import EarlyStopping
from tqdm import tqdm

from ..findings import Finding, healthy
from ..metrics import higher_is_better
from ..rng import preserved_random_states
from .baselines import baseline_accuracy, baseline_share, guessing
from .confirm import Confirmation, merged
from .cost import affordable
from .history import EXPLAINED_DEVIATION, History
from .problem import CALL_ERRORS, Problem, problem_of
from .remedies import treated
from .rules.copies import UNCOPIED
from .rules.data import (
    WIDEST_INTERVAL,
    findings_in_data,
    half_width,
    outlying_targets,
    unlearnable,
    unlearnable_numbers,
)
from .rules.optimization import will_overfit
from .rules.order import EXPLAIN_TRAINING, findings_in_network, findings_in_training
from .rules.outputs import narrow_code, outlying_in_calls
from .rules.signal_flow import non_finite
from .rules.splits import findings_between_splits, outputs_without_class
from .scoring import Measure, predicts_targets
from .treatments import Treatment
from .trial import trial

STEPS = 200
LONGER = 4  # times as many steps, for what begins late
SECONDS = 14.0  # of computing for the first trial
ALL_SECONDS = 50.0  # for all trials
FEWEST_AHEAD = 100  # samples for a trial of all planned epochs
BAD_INPUTS = {"unscaled_input", "constant_input"}
EXPLAINED_FACTS = {
    "validation_leak": {"shifted_validation"},  # copies may lie apart from all other samples
    "target_outliers": {"unscaled_target"},  # they make the scale
}
ENOUGH = 0.75  # of the way from chance to always right, which features that vary allow
FEWEST_VALIDATED = 25  # samples
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

    Batches may be a tensor, or inputs and targets in a pair or a dictionary. Rules about accuracy need class indices
    (N,) as targets, and logits from ``forward`` or passed to the loss in a step; the others only need a module that
    Lightning can train.
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
        problem = affordable(module, problem) if problem else None
        uses_targets = bool(problem and predicts_targets(module, problem))
        if problem and not uses_targets:
            problem = replace(problem, num_classes=0)
        in_data = list(findings_in_data(problem)) if problem else []
        if any(finding.code == "non_finite" for finding in in_data):
            return treated(in_data), None
        trials = Trials(module, data, problem, uses_targets, shown, {"seed": seed, **trainer}, steps)
        history = trials.first()
        findings = treated(judged(trials, history, in_data), ineffective=trials.ineffective)
    gc.collect()  # trainers and modules refer to each other, and hold tensors that the collector does not count
    return findings, history


@dataclass
class Trials:
    """The first trial of a module, and others that differ from it in one thing, in a limited time."""

    module: LightningModule
    data: LightningDataModule
    problem: Problem | None
    uses_targets: bool  # whether a loss compares anything with them
    bar: tqdm
    settings: dict[str, Any]
    steps: int
    begun: float = field(default_factory=thread_time)
    ineffective: set[str] = field(default_factory=set)  # overrides that were tried and did not help
    longest: float = 0.0  # seconds of computing of the longest trial of ``steps``

    def first(self) -> History:
        try:
            history = self.trial(self.problem, self.steps, seconds=SECONDS)
        except RuntimeError:  # such as that of layers which are not registered, and so stay behind on the CPU
            if not torch.accelerator.is_available() or self.settings.get("accelerator") == "cpu":
                raise
            self.settings.update(accelerator="cpu", devices=1)
            history = self.trial(self.problem, self.steps, seconds=SECONDS)
            if not history.inspection.unregistered:
                raise
        self.steps = max(1, min(self.steps, history.inspection.steps))
        self.longest = thread_time() - self.begun
        set_baselines(history, self.problem, self.uses_targets)
        return history

    def trial(self, problem: Problem | None, steps: int, **others: Any) -> History:
        self.bar.total = self.bar.n + steps
        return trial(self.module, self.data, problem, steps=steps, bar=self.bar, **self.settings, **others)

    def treated(self, treatment: Treatment, problem: Problem | None = None) -> History | None:
        """The same trial with a treatment; None if it cannot be tried, or not in time."""
        problem = problem or self.problem
        if not treatment.fits(self.module, problem) or self.left < self.longest:
            return None
        try:
            return self.trial(problem, self.steps, treatment=treatment)
        except (*CALL_ERRORS, MisconfigurationException):
            return None  # such as standardized identifiers, which no embedding has

    def longer(self) -> History | None:
        if self.left < self.longest:
            return None
        history = self.trial(self.problem, LONGER * self.steps, seconds=self.left)
        set_baselines(history, self.problem, self.uses_targets)
        return history

    @property
    def left(self) -> float:
        return ALL_SECONDS - (thread_time() - self.begun)


def set_baselines(history: History, problem: Problem | None, uses_targets: bool) -> None:
    """Give a history what accuracy and loss can be expected of guesses and of simple learners."""
    if problem and problem.num_classes:
        history.chance = Measure(problem).chance(problem.val.y)
        history.baseline, history.guessing = baseline_accuracy(problem), guessing(problem)
    elif problem and history.scores:
        first = history.scores[min(history.scores)]
        history.score = "explained loss"
        history.guess_loss = first.val_loss / max(1 - first.val_accuracy, 1e-9)  # which the share was taken from
        history.chance = (0.0, EXPLAINED_DEVIATION)
        history.baseline = baseline_share(problem) if uses_targets else 0.0


def judged(trials: Trials, history: History, in_data: list[Finding]) -> list[Finding]:
    """All findings, root cause first: what is seen, then what trials with remedies confirm."""
    problem = trials.problem
    confirmation = Confirmation(history, trials.treated, trials.longer, ineffective=trials.ineffective)
    findings = confirmation.judged(facts(trials, history, [judged_inputs(finding, history) for finding in in_data]))
    fine = all(finding.severity == "note" or finding.code == "validation_leak" for finding in findings)
    if problem and fine and not any(non_finite(history)):
        reached = history.last.val_accuracy if history.last else None
        of_kind = unlearnable if problem.num_classes else unlearnable_numbers
        labels = list(of_kind(problem, reached)) if trials.uses_targets else []
        longer = trials.longer() if labels else None
        if longer and longer.learns:
            return findings
        if labels and not history.beats_guessing:  # a network that fits nothing says nothing of its labels
            cured = confirmation.judged(list(findings_in_training(history)))
            if any(finding.gains for finding in cured):
                return merged(findings, cured)
        findings = [*labels, *findings]
    if not EXPLAIN_TRAINING & {finding.code for finding in findings if finding.severity != "note"}:
        findings = merged(findings, confirmation.judged(list(findings_in_training(history))))
    if problem and healthy(findings):
        findings += ahead_of(trials, problem, history)
    return findings


def facts(trials: Trials, history: History, in_data: list[Finding]) -> list[Finding]:
    """What is seen of the network, the data and both together, without what another of these explains."""
    found = [*findings_in_network(history), *in_data]
    problem, call = trials.problem, history.inspection.call
    if problem is None:
        return without_explained([*outlying_in_calls(history), *found])
    between = findings_between_splits(problem)
    if history.learns is False:  # what gives answers away would be learned at once
        between = (finding.as_note() if finding.code == "target_leak" else finding for finding in between)
    found += [*between, *outputs_without_class(problem, history), *narrow_code(problem, history)]
    if trials.uses_targets and call is not None and call.name == "mse_loss":
        found += outlying_targets(problem.train.y)
    if not problem.train.y.numel() and any(finding.code == "unscaled_input" for finding in in_data):
        found = [finding for finding in found if finding.code != "unscaled_target"]  # targets are inputs
    copied = any(finding.advice == UNCOPIED for finding in in_data)  # then any feature gives answers away
    kept = without_explained(found)
    return kept if copied else sorted(kept, key=lambda each: (each.severity == "note", each.code != "target_leak"))


def without_explained(found: list[Finding]) -> list[Finding]:
    explained = {code for finding in found for code in EXPLAINED_FACTS.get(finding.code, ())}
    return [finding for finding in found if finding.code not in explained]


def judged_inputs(finding: Finding, history: History) -> Finding:
    """Inputs that the network learns from all the same are a warning; constant ones that leave enough, a note.

    So are few validation samples of which so many are right that an accuracy is known well enough.
    """
    if finding.code == "validation_too_small" and history.num_classes and history.last:
        few = history.val_count < FEWEST_VALIDATED
        known = half_width(history.last.val_accuracy, history.val_count) <= WIDEST_INTERVAL
        return finding.as_note() if known and not few else finding
    if finding.code not in BAD_INPUTS:
        return finding
    guess = history.chance[0]
    best = max(history.baseline, history.last.val_accuracy if history.last else 0.0)
    enough = finding.code == "constant_input" and best > guess + ENOUGH * (1 - guess)
    return finding.as_note() if enough else replace(finding, severity=history.severity)


def ahead_of(trials: Trials, problem: Problem, history: History) -> list[Finding]:
    """Overfitting in a trial of so few train samples that it sees each as often as the whole training sees all."""
    train, epochs = problem.train, max(trials.settings.get("max_epochs") or 1, 1)
    count = trials.steps * problem.trial_batch_size // epochs
    if not problem.num_classes or not FEWEST_AHEAD <= count < len(train.y) or trials.left < trials.longest:
        return []
    chosen = torch.randperm(len(train.y), generator=torch.Generator().manual_seed(0))[:count]
    fewer = replace(problem, train=train.at(chosen), in_memory=True)
    ahead = trials.trial(fewer, trials.steps)
    ahead.chance = history.chance
    again = partial(trials.treated, problem=fewer)
    confirmation = Confirmation(ahead, again, lambda: None, ineffective=trials.ineffective)
    return [confirmation.with_gains(finding) for finding in will_overfit(ahead)]


def trainer_settings(config: Any, module: LightningModule) -> dict[str, Any]:
    """The arguments of a configuration's trainer that matter for a trial, and the callbacks that may end it early."""
    settings = {key: value for key, value in config.trainer.items() if key not in NOT_IN_A_TRIAL}
    stoppers = []
    for callback in (config.get("callbacks") or {}).values():
        target = get_object(callback["_target_"])
        if isinstance(target, type) and issubclass(target, EarlyStopping):
            known = callback.get("mode", "min") is not None  # else the metric of the module says which is better
            mode = {} if known else {"mode": "max" if higher_is_better(module, callback["monitor"]) else "min"}
            stoppers.append(instantiate(callback, strict=False, **mode))  # a metric that is not logged stops nothing
    return {**settings, "devices": 1, "callbacks": stoppers}
