"""Report a run to a study while it trains, and end it where the study has seen better."""

from pathlib import Path
from typing import TYPE_CHECKING

from lightning import Callback, LightningModule, Trainer

from ..errors import Pruned

if TYPE_CHECKING:
    from optuna import Trial


class ReportToStudy(Callback):
    """Report the monitor after each validation, and raise ``Pruned`` where the study's pruner says so."""

    def __init__(self, trial: "Trial", monitor: str) -> None:
        self.trial = trial
        self.monitor = monitor
        self.validations = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.trial.set_user_attr("run", str(Path(trainer.default_root_dir).parent))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or self.monitor not in trainer.callback_metrics:
            return
        self.validations += 1
        value = float(trainer.callback_metrics[self.monitor])
        self.trial.report(value, self.validations)
        if self.trial.should_prune():
            raise Pruned(f"{self.monitor} {value:.4g} after {self.validations} validations is worse than the median")
