"""Per-layer diagnostics during training: measured now and then, logged, judged by the doctor's rules, plotted."""

import logging
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from lightning import LightningModule, Trainer
from torch import Tensor

from ..callbacks.training_stats import log_to_all
from ..findings import Finding
from ..loggers.wandb import safe_wandb_loggers
from .history import EXPLAINED_DEVIATION, History, Scores
from .layer_statistics import LayerStatistics, Numbers, weights_of
from .probe import Probe
from .remedies import applicable, treated
from .rules.optimization import overconfidence, overfitting
from .rules.order import findings_in_training

log = logging.getLogger(__name__)

FIRST_STEPS = 200  # that the rules are made for
EARLY = 10  # one more measured step, for gradients before much is learned
LASTING = 3  # consecutive validations that must overfit before it is reported; one bad epoch is common
MAY_BE_RIGHT = {"learning_rate_too_high", "oscillating_loss", "dead_units"}  # where it learns; a trial shows their cost
CHANCE_DEVIATION = 0.02  # standard deviation of an accuracy on a few hundred samples


class Monitor(Probe):
    """Log ``diagnostics/<statistic>/<layer>`` every ``every_n_steps`` steps, and report each kind of finding once.

    Training is not changed: without this callback the weights are the same, bit for bit. ``score`` names a metric
    between 0 and 1 that is logged as ``train/<score>`` and ``val/<score>``. Without it overfitting is judged by the
    loss alone, in shares of ``val/loss`` in ``baseline``, which the run sets, else of the first validation loss.
    """

    def __init__(self, *, every_n_steps: int, folder: str, score: str | None) -> None:
        self.every_n_steps = every_n_steps
        self.folder = Path(folder)
        self.score = score
        self.baseline: Mapping[str, float] | None = None
        self.findings: list[Finding] = []
        self.history: History | None = None
        self.judged = False
        self.epoch_ended = False
        self.overfitted = 0  # consecutive validations
        self.restored: dict[str, Any] | None = None  # state of the activations, from a checkpoint

    def state_dict(self) -> dict[str, Any]:
        statistics: LayerStatistics | None = getattr(self, "statistics", None)  # none before training starts
        history = asdict(self.history) if self.history else None
        if history:
            del history["inspection"]  # only a trial has one
        return {
            "step": self.step,
            "findings": [finding.plain() for finding in self.findings],
            "history": history,
            "judged": self.judged,
            "overfitted": self.overfitted,
            "activations": statistics.activations.state_dict() if statistics else self.restored,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.step, self.judged = state_dict["step"], state_dict["judged"]
        self.overfitted = state_dict["overfitted"]
        self.findings = [Finding(**plain) for plain in state_dict["findings"]]
        if history := state_dict["history"]:
            history = {name: value for name, value in history.items() if name != "inspection"}
            scores = {step: Scores(**values) for step, values in history["scores"].items()}
            self.history = History(**{**history, "scores": scores})
        self.restored = state_dict["activations"]

    def summary(self, trainer: Trainer) -> dict[str, Any]:
        """The entry for ``summary.json``."""
        return {"findings": [finding.plain() for finding in self.findings]}

    def chosen(self, step: int) -> bool:
        return step in (0, EARLY) or (step + 1) % self.every_n_steps == 0

    def measured(self, trainer: Trainer, step: int, numbers: Numbers, norm: float) -> None:
        assert self.history is not None
        if step < FIRST_STEPS:
            self.history.add(step, numbers, norm, trainer.optimizers)
        of_layers = [(f"{what}/{layer}", value) for what, values in numbers.items() for layer, value in values.items()]
        log_to_all(trainer, {f"diagnostics/{name}": value for name, value in of_layers}, step)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if self.restored is not None:
            self.statistics.activations.load_state_dict(self.restored)
        if self.history is None:
            layers = list(self.statistics.layers.values())
            classes = max(2, len(weights_of(layers[-1])[0])) if layers else 2
            self.history = History(classes, chance=(1 / classes, CHANCE_DEVIATION))
            self.history.begin(pl_module, trainer.optimizers, clipped=trainer.gradient_clip_val is not None)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if self.step == FIRST_STEPS:
            self.judge_first_steps(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.epoch_ended = True  # its train metrics are logged after this

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.judge_last_epoch(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.judge_last_epoch(trainer, validations=1)
        self.judge_first_steps(trainer)
        if trainer.is_global_zero and self.folder.is_dir():
            from .plots import draw

            plots = {path.stem: path for path in draw(self.folder, self.statistics.activations.order)}
            for logger in safe_wandb_loggers(trainer):
                logger.log_images_from_files(plots)

    def judge_last_epoch(self, trainer: Trainer, validations: int = LASTING) -> None:
        """Look for overfitting in the epoch that has ended, now that all its metrics are known.

        It is reported after this number of consecutive ``validations`` that overfit.
        """
        if not self.epoch_ended:  # when a run is resumed within an epoch, none has
            return
        self.epoch_ended = False
        scores = None if self.history is None else self.scores_of(self.history, trainer.callback_metrics)
        if self.history is not None and scores is not None:
            self.history.scores[self.step] = scores
            by_loss = overconfidence(self.history) if self.history.guess_loss is not None else ()
            found = [*overfitting(self.history), *by_loss]
            self.overfitted = self.overfitted + 1 if found else 0
            if self.overfitted >= validations:
                self.report(trainer, found[:1])

    def scores_of(self, history: History, logged: Mapping[str, Tensor]) -> Scores | None:
        """What was logged of both splits; instead of a score that was not, the explained share of the guess's loss."""
        mark = next((mark for mark in "/_" if {f"train{mark}loss", f"val{mark}loss"} <= logged.keys()), None)
        if mark is None:
            return None
        train_loss, val_loss = (float(logged[f"{split}{mark}loss"]) for split in ("train", "val"))
        names = [f"{split}{mark}{self.score}" for split in ("train", "val")]
        if set(names) <= logged.keys():
            train_score, val_score = (float(logged[name]) for name in names)
            return Scores(train_loss, train_score, val_loss, val_score)
        if history.guess_loss is None:
            history.guess_loss = (self.baseline or {}).get("val/loss", val_loss)
            history.score, history.chance = "explained loss", (0.0, EXPLAINED_DEVIATION)
        guess = history.guess_loss
        if guess <= 0 or min(train_loss, val_loss) < 0:  # of densities, say, which no share of a guess describes
            return None
        return Scores(train_loss, 1 - train_loss / guess, val_loss, 1 - val_loss / guess)

    def judge_first_steps(self, trainer: Trainer) -> None:
        if (
            self.judged or self.history is None or self.history.steps < EARLY
        ):  # before, units of a zero initialisation are still equal
            return
        self.judged = True
        self.history.end(self.statistics, self.history.last_dead, [])
        found = findings_in_training(self.history)
        if self.history.learns is not False:
            found = (finding for finding in found if finding.code not in MAY_BE_RIGHT)
        self.report(trainer, found)

    def report(self, trainer: Trainer, findings: Iterable[Finding]) -> None:
        if not trainer.is_global_zero:
            return
        reported = {finding.code for finding in self.findings}
        overrides = list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else None
        command = shlex.join(["trainwell", "doctor", *(overrides or [])])
        for finding in treated(finding for finding in findings if finding.code not in reported):
            if overrides is not None:
                finding = applicable(finding, overrides)
            self.findings.append(finding)
            more = "" if finding.code == "overfitting" else f". See {command}"  # which looks at the first steps
            log.info(f"found: {finding.code} at {finding.where}: {finding.evidence}{more}")
