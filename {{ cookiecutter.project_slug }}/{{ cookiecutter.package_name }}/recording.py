"""What a run leaves behind: its configuration, log, metrics and result, however it ends."""

import logging
import math
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any

from hydra.core.hydra_config import HydraConfig
from lightning import Trainer
from omegaconf import DictConfig, OmegaConf

from . import console, origin, run_folder
from .diagnostics import Diagnostics
from .failure import Failed
from .measurement import Measurement
from .metrics_file import epochs_of, keep
from .report import report
from .resume import Stopped
from .tracking import harmless

log = logging.getLogger(__name__)


class Recording:
    """Keep the record of one run, from before its first step until it has ended.

    Entered, it makes the run folder, or cuts one that is gone on with back to its checkpoint. Left, by an error too, it
    writes ``summary.json``, says how the run went and how to look at it, and ends the W&B run. ``best_value`` is then
    the monitor's best, NaN if there is none.
    """

    best_value = math.nan

    def __init__(self, config: DictConfig, trainer: Trainer, stopped: Stopped | None = None) -> None:
        self.config = config
        self.trainer = trainer
        self.stopped = stopped
        self.folder = Path(config.run_folder)
        self.overrides = list(HydraConfig.get().overrides.task)

    def __enter__(self) -> "Recording":
        self.started = perf_counter() - (self.stopped.seconds if self.stopped else 0.0)
        if self.trainer.is_global_zero and self.stopped is None:
            self.folder.mkdir(parents=True)  # fails rather than share a folder
            origin.write(self.folder, self.overrides)
            run_folder.save_configuration(self.folder, self.config, HydraConfig.get())
            run_folder.enter_in_sweep(self.folder, HydraConfig.get())
        self.log_file = console.copy_to(self.folder / "train.log")
        if self.trainer.is_global_zero and self.stopped is not None:
            self.go_on(self.stopped)
        return self

    def go_on(self, stopped: Stopped) -> None:
        (self.folder / "summary.json").unlink(missing_ok=True)  # tells of an end that is none any more
        run_folder.save_whole(self.folder, self.config)  # trainer.max_epochs may have been raised
        keep(self.folder / "metrics.csv", stopped.rows)
        for change in origin.changes(self.folder, self.overrides):
            log.warning(change)
        log.info(f"{self.folder} goes on from " + (f"step {stopped.step}" if stopped.path else "its beginning"))

    def begin(self) -> None:
        """Tell every logger what is about to run."""
        choices = {group: word for group, word in HydraConfig.get().runtime.choices.items() if "/" not in group}
        plain: Any = OmegaConf.to_container(self.config, resolve=True)
        described = {**plain, "choices": choices, **origin.read(self.folder)}
        for logger in self.trainer.loggers:
            logger.log_hyperparams(described)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.trainer.is_global_zero:
            summary = self.summary(self.status(kind))
            if isinstance(error, Failed):
                summary["findings"] += [finding.plain() for finding in error.findings]
            try:
                run_folder.write_summary(self.folder, summary)
            except OSError as obstacle:  # such as a full disk, which may be why the run has ended
                log.error(f"{self.folder / 'summary.json'} could not be written: {obstacle.strerror}")
            if summary["test"]:
                run_folder.note_look_at_test_rows(self.folder, summary["command"])
            if summary["best"]:
                self.best_value = summary["best"][self.config.monitor]
        tracked = harmless(self.trainer)
        for logger in tracked:
            logger.end(exit_code=int(error is not None))
        if self.trainer.is_global_zero:
            looks = [how for logger in tracked for how in logger.how_to_look()]
            for line in report(summary, self.folder, looks, error if isinstance(error, Failed) else None):
                log.info(line)
        logging.getLogger().removeHandler(self.log_file)
        self.log_file.close()

    def status(self, kind: type[BaseException] | None) -> str:
        if kind is not None:
            return "interrupted" if issubclass(kind, KeyboardInterrupt | SystemExit) else "failed"
        return "stopped_early" if self.trainer.should_stop else "finished"

    def summary(self, status: str) -> dict[str, Any]:
        """The run in numbers, as ``summary.json`` holds it."""
        epochs = [epoch for epoch in epochs_of(self.folder) if "val/loss" in epoch]
        best = self.best_of(epochs)
        network = self.trainer.lightning_module
        callbacks = self.trainer.callbacks  # type: ignore[attr-defined]
        measurement = next((callback for callback in callbacks if isinstance(callback, Measurement)), None)
        diagnostics = next((callback for callback in callbacks if isinstance(callback, Diagnostics)), None)
        test = {name: value.item() for name, value in self.trainer.callback_metrics.items() if name.startswith("test/")}
        return {
            "status": status,
            "best": self.told(best) if best else None,
            "last": self.told(epochs[-1]) if epochs else None,
            "test": test or None,
            "epochs": len(epochs),
            "steps": self.trainer.global_step,
            "seconds": perf_counter() - self.started,
            "samples_per_second": measurement.samples_per_second() if measurement else None,
            "parameters": sum(p.numel() for p in network.parameters()) if network else None,
            "gradient": measurement.gradient(self.trainer.gradient_clip_val) if measurement else None,
            "findings": [finding.plain() for finding in diagnostics.findings] if diagnostics else [],
            "seed": self.config.seed,
            "experiment": run_folder.experiment_name(self.overrides),
            **origin.read(self.folder),
        }

    def best_of(self, epochs: list[dict[str, float]]) -> dict[str, float] | None:
        """The first epoch with the best value of the monitor, whose weights ModelCheckpoint keeps."""
        monitor = self.config.monitor
        ranked = [epoch for epoch in epochs if not math.isnan(epoch.get(monitor, math.nan))]
        choose = max if self.config.callbacks.checkpoint.mode == "max" else min
        return choose(ranked, key=lambda epoch: epoch[monitor]) if ranked else None

    def told(self, epoch: dict[str, float]) -> dict[str, float]:
        """What the summary tells of one epoch."""
        names = dict.fromkeys(["val/loss", "val/accuracy", self.config.monitor])
        return {"epoch": int(epoch["epoch"]), "step": int(epoch["step"])} | {name: epoch[name] for name in names}
