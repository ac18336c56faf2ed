"""What goes on inside the network while it trains: measured now and then, logged, judged by rules, drawn."""

import logging
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from lightning import LightningModule, Trainer

from .consultation import applicable
from .findings import Finding
from .learning_rules import overfits
from .record import Record, Scores
from .remedies import treated
from .rules import findings_in_training
from .signals import Activations, Numbers, fetched, weights_of
from .tracking import harmless
from .watch import Watch

log = logging.getLogger(__name__)

FIRST_STEPS = 200  # that the rules are made for
EARLY = 10  # one step beside the regular ones, for gradients as they are before much has been learnt
EVERY_VALIDATIONS = 10
CHANCE_DEVIATION = 0.02  # of an accuracy on a few hundred rows
METRICS = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")


class Diagnostics(Watch):
    """Log ``diagnostics/<what>/<layer>`` every ``every_n_steps`` steps, and say once what the doctor's rules find.

    Nothing is changed: training gives the same weights, bit for bit, without it. ``findings`` has what was found.
    """

    def __init__(self, *, every_n_steps: int, folder: str) -> None:
        self.every_n_steps = every_n_steps
        self.folder = Path(folder)
        self.findings: list[Finding] = []
        self.record: Record | None = None
        self.judged = False
        self.validations = 0
        self.epoch_ended = False
        self.seen_before: dict[str, list[str]] | None = None
        self.arriving: Activations | None = None

    def state_dict(self) -> dict[str, Any]:
        return {
            "findings": [finding.plain() for finding in self.findings],
            "record": self.record.plain() if self.record else None,
            "judged": self.judged,
            "validations": self.validations,
            "seen": self.signals.activations.seen(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.findings = [Finding(**plain) for plain in state["findings"]]
        self.record = Record.of(state["record"]) if state["record"] else None
        self.judged, self.validations, self.seen_before = state["judged"], state["validations"], state["seen"]

    def chosen(self, step: int) -> bool:
        return step in (0, EARLY) or (step + 1) % self.every_n_steps == 0

    def measured(self, trainer: Trainer, step: int, numbers: Numbers, norm: float) -> None:
        assert self.record is not None
        if step < FIRST_STEPS:
            self.record.add(step, numbers, norm, trainer.optimizers[0])
        self.tell_loggers(trainer, numbers, step)

    def tell_loggers(self, trainer: Trainer, numbers: Numbers, step: int) -> None:
        metrics = {
            f"diagnostics/{what}/{layer}": value
            for what, of_layers in numbers.items()
            for layer, value in of_layers.items()
        }
        for logger in trainer.loggers:
            logger.log_metrics({**metrics, "epoch": trainer.current_epoch}, step=step)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if self.seen_before is not None:
            self.signals.activations.take_over(self.seen_before)
        if self.record is None:
            classes = max(2, len(weights_of(list(self.signals.layers.values())[-1])[0])) if self.signals.layers else 2
            self.record = Record(classes, chance=(1 / classes, CHANCE_DEVIATION))
            self.record.begin(pl_module, trainer.optimizers[0], clipped=trainer.gradient_clip_val is not None)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if self.step == FIRST_STEPS:
            self.judge(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.epoch_ended = True  # its train metrics are logged after this

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.look_back(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.look_back(trainer)
        self.judge(trainer)
        if trainer.is_global_zero and self.folder.is_dir():
            from .pictures import draw

            pictures = {path.stem: path for path in draw(self.folder, self.signals.activations.order)}
            for logger in harmless(trainer):
                logger.log_pictures(pictures)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Now and then see which units are dead on all validation rows."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            if self.validations % EVERY_VALIDATIONS == 0:
                self.arriving = self.signals.activations.apart()
                self.arriving.watch()
            self.validations += 1

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.arriving is not None:
            self.arriving.ignore()
            dead = fetched({"dead_units_on_validation": self.arriving.statistics()["dead_units"]})
            self.arriving = None
            self.tell_loggers(trainer, dead, trainer.global_step - 1)

    def look_back(self, trainer: Trainer) -> None:
        """Judge the epoch that has ended, now that all its metrics are known."""
        if not self.epoch_ended:  # of a run that goes on in the middle of an epoch, none has
            return
        self.epoch_ended = False
        known = [float(trainer.callback_metrics[name]) for name in METRICS if name in trainer.callback_metrics]
        if len(known) == len(METRICS) and self.record is not None:
            train_loss, train_accuracy, val_loss, val_accuracy = known
            self.record.scores[self.step] = Scores(train_loss, train_accuracy, val_loss, val_accuracy)
            self.tell(trainer, overfits(self.record))

    def judge(self, trainer: Trainer) -> None:
        """Apply the rules to the first steps, once."""
        if self.judged or self.record is None or not self.record.measured:
            return
        self.judged = True
        dead = self.record.measured[max(self.record.measured)]["dead_units"]
        self.record.end(self.signals, dead, [])
        self.tell(trainer, findings_in_training(self.record))

    def tell(self, trainer: Trainer, findings: Iterator[Finding]) -> None:
        if not trainer.is_global_zero:
            return
        told = {finding.code for finding in self.findings}
        typed = list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else None
        see = shlex.join(["python", "doctor.py", *(typed or [])])
        for finding in treated(finding for finding in findings if finding.code not in told):
            if typed is not None:
                finding = applicable(finding, typed)
            self.findings.append(finding)
            log.info(f"found: {finding.code} at {finding.where}: {finding.evidence}. See {see}")
            for logger in harmless(trainer):
                logger.alert(finding.code, f"{finding.where}: {finding.evidence}")
