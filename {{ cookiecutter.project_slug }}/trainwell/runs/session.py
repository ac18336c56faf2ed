"""A run from its first object to its summary: what ``with trainwell.run(config) as run`` opens."""

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any

from hydra.utils import instantiate
from lightning import Callback, LightningDataModule, LightningModule, Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from .. import console
from ..callbacks.best_weights import BestWeights
from ..callbacks.interrupts import OutOfTime
from ..callbacks.resumable_checkpoint import ResumableCheckpoint
from ..config.compose import hydra_config
from ..errors import Pruned, Refused, RunFailed
from ..loggers.wandb import SafeWandbLogger, safe_wandb_loggers
from ..metrics import VALIDATION, higher_is_better
from . import checkpoint_io, folder, load, metrics_csv, processes, provenance, request, restore
from . import summary as run_summary
from .secrets import refuse_secrets

log = logging.getLogger(__name__)

FURTHER_CALLBACKS: ContextVar[Sequence[Callback]] = ContextVar("further callbacks", default=())


@contextmanager
def further_callbacks(*callbacks: Callback) -> Iterator[None]:
    """Give the runs of the block callbacks that are not part of their configuration."""
    token = FURTHER_CALLBACKS.set(callbacks)
    try:
        yield
    finally:
        FURTHER_CALLBACKS.reset(token)


class Run:
    """One run: builds what the configuration describes, and records it in its folder.

    Attributes:
        config: the configuration of this run; that of the earlier run when it is resumed or reproduced.
        folder: its run folder; made by ``trainer``, when everything has been built.
        checkpoint: where training resumes, for ``Trainer.fit``; None: at the start.
        best_value: after the run, the best value of ``config.monitor``; NaN: there is none.
        baseline: what the module's optional method ``baseline(datamodule)`` returns when training starts: metrics to
            beat, such as ``val/loss`` of a constant guess; for ``summary.json`` and callbacks with such an attribute.
    """

    config: DictConfig
    plain: Any  # the configuration, resolved
    folder: Path
    checkpoint: Path | None = None
    best_value = math.nan
    baseline: dict[str, float] | None = None

    def __init__(self, config: DictConfig) -> None:
        self.given = config
        self.resumed: restore.ResumePoint | None = None
        self.module: LightningModule | None = None
        self.fit_trainer: Trainer | None = None
        self.is_recorded = self.has_started = False
        self.resources = ExitStack()

    def __enter__(self) -> "Run":
        console.quiet_lightning()
        try:
            self.start = request.start(self.given)
            self.config, self.folder = self.start.config, Path(self.start.config.run_folder)
            refuse_secrets(self.config, hydra_config())
            if self.start.resumes and rank_zero_only.rank == 0:  # type: ignore[attr-defined]
                self.resources.enter_context(folder.lock(self.folder))
        except ValueError as error:
            self.resources.close()
            raise Refused(str(error).splitlines()) from error
        return self

    def data(self) -> LightningDataModule:
        """The data module of ``config.data``."""
        self.datamodule = load.build_data(self.config)
        return self.datamodule

    def task(self, data: LightningDataModule) -> LightningModule:
        """The module of ``config.task``; its weights depend on ``config.seed`` alone."""
        self.module = load.build_task(self.config, data)
        if self.start.resumes:
            self.resumed = restore.resume_point(self.config, self.module, data)
            self.checkpoint = self.resumed.path
        return self.module

    def trainer(self) -> Trainer:
        """The trainer of ``config.trainer``, with callbacks and loggers; makes the run folder."""
        assert self.module is not None, "run.task(data) comes before run.trainer()"
        self.set_monitor_mode(self.module)
        settings = {key: value for key, value in self.config.trainer.items() if key != "max_time"}
        typed = any(override.startswith("trainer.num_sanity_val_steps=") for override in self.start.overrides)
        if not typed and not settings.get("num_sanity_val_steps") and not self.config.task.get("metrics"):
            settings["num_sanity_val_steps"] = 1  # only a validation shows what a module of the user's own logs
        with load.mistakes_as_value_errors():
            callbacks = list(instantiate(self.config.callbacks).values())
            callbacks += [*FURTHER_CALLBACKS.get(), Started(self)]
        with load.mistakes_as_value_errors("trainer"):
            trainer = instantiate(settings, callbacks=callbacks, logger=False)
        if FURTHER_CALLBACKS.get() and trainer.world_size > 1:  # they belong to this process
            raise ValueError(f"a trial runs in one process, not {trainer.world_size}: type trainer.devices=1")
        multirun = folder.is_sweep(hydra_config())
        load.check_before_training(self.config, trainer, self.datamodule, self.module, multirun)
        with load.mistakes_as_value_errors():
            loggers = list(instantiate(self.config.logger).values())  # some make files at once
        self.fit_trainer = trainer
        self.plain = OmegaConf.to_container(self.config, resolve=True)
        self.open_folder(trainer)
        for callback in trainer.callbacks:
            if isinstance(callback, ResumableCheckpoint):
                callback.run_state = self.state
                callback.limit(self.plain["trainer"].get("max_time"))
        trainer.loggers = loggers
        self.describe_to(loggers)
        return trainer

    def set_monitor_mode(self, module: LightningModule) -> None:
        """Settle whether a larger or a smaller value of the monitor is better, once for everything that asks.

        Raises: ValueError: neither the metric nor the configuration says so.
        """
        better, mode = higher_is_better(module, self.config.monitor), self.config.monitor_mode
        if mode is not None and better is not None and (mode == "max") != better:
            what = "higher" if better else "lower"
            raise ValueError(f"monitor_mode={mode} must fit monitor={self.config.monitor}, of which {what} is better")
        if mode is None:
            if better is None:
                raise ValueError(
                    f"monitor={self.config.monitor}: whether higher is better is not known; type monitor_mode=max or "
                    "monitor_mode=min"
                )
            self.config.monitor_mode = "max" if better else "min"

    def open_folder(self, trainer: Trainer) -> None:
        before = self.resumed.seconds if self.resumed else 0.0
        self.started_at = perf_counter() - before
        if trainer.is_global_zero and not self.start.resumes:
            self.folder.mkdir(parents=True)  # fails rather than share a folder
            self.resources.enter_context(folder.lock(self.folder))
            provenance.write(self.folder, self.start.overrides)
            folder.save_configuration(self.folder, self.config, hydra_config())
        elif not trainer.is_global_zero:
            processes.wait_for(self.folder / "config.yaml")
        self.is_recorded = True
        handler = console.copy_to(self.folder / "train.log")
        self.resources.callback(handler.close)
        self.resources.callback(logging.getLogger().removeHandler, handler)
        if trainer.is_global_zero and self.resumed is not None:
            self.continue_in_folder(self.resumed)

    def continue_in_folder(self, point: restore.ResumePoint) -> None:
        (self.folder / "summary.json").unlink(missing_ok=True)  # describes an end that is none any more
        folder.write_config(self.folder, self.config)  # trainer.max_epochs may have been raised
        metrics_csv.keep(self.folder / metrics_csv.NAME, point.rows, point.columns)
        for change in provenance.changes(self.folder):
            log.warning(change)
        for reason in point.passed_over:
            log.warning(f"{reason}; the checkpoint before it is used")
        log.info(f"{self.folder}: resuming from " + (f"step {point.step}" if point.path else "the start"))

    def state(self) -> dict[str, Any]:
        """What a checkpoint says of the run itself."""
        rows, columns = metrics_csv.count(self.folder / metrics_csv.NAME)
        return {"config": self.plain, "rows": rows, "columns": columns, "seconds": perf_counter() - self.started_at}

    def describe_to(self, loggers: list[Any]) -> None:
        """Log the configuration and where the run comes from."""
        described = {**self.plain, "choices": self.start.choices, **provenance.read(self.folder)}
        assert self.module is not None
        for logger in loggers:
            if isinstance(logger, SafeWandbLogger):
                logger.describe(self.start.overrides, self.start.choices, partial(higher_is_better, self.module))
            logger.log_hyperparams(described)
            if isinstance(logger, SafeWandbLogger):
                logger.summarize_best(self.config.monitor, self.config.monitor_mode)

    def load_best_weights(self, module: LightningModule) -> None:
        """Load the weights with the best value of the monitor; without a validation, the last ones stay."""
        assert self.fit_trainer is not None
        for callback in self.fit_trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, BestWeights) and callback.best_model_path:
                checkpoint_io.load_weights(module, Path(callback.best_model_path))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        try:
            is_mistake = isinstance(error, ValueError | MisconfigurationException) and not self.has_started
            if is_mistake and str(error):  # of the configuration: it came before the first step
                self.discard()
                raise Refused(str(error).splitlines()) from error
            if self.is_recorded:
                not_logged = self.monitor_not_logged(error)
                self.record(not_logged or error)
                if not_logged:
                    raise not_logged from error
        finally:
            self.resources.close()
        if error is None and self.start.reproduces:
            self.report_reproduction(self.start.reproduces)
        return isinstance(error, OutOfTime)

    def monitor_not_logged(self, error: BaseException | None) -> RunFailed | None:
        """What Lightning's callbacks complain about after a validation that did not log the monitor."""
        complaints = ("Early stopping conditioned on metric", "could not find the monitored key")
        if self.fit_trainer is None or not any(complaint in str(error) for complaint in complaints):
            return None
        return RunFailed(not_logged(self.config.monitor, self.fit_trainer))

    def report_reproduction(self, first: Path) -> None:
        """Report whether every metric is the same as in the run that was reproduced.

        Raises: RunFailed: one is not; it has been reported.
        """
        difference = metrics_csv.first_difference(first, self.folder)
        if difference is not None:
            changes = "".join(f"\n{change}" for change in provenance.changes(first))
            log.info(f"\n{first} is not reproduced: {difference}{changes}")
            raise RunFailed(difference)
        log.info(f"\n{first} is reproduced by {self.folder}: all rows of metrics are the same, digit for digit")

    def discard(self) -> None:
        """Remove what this attempt has written: nothing has been trained."""
        for logger in safe_wandb_loggers(self.fit_trainer) if self.fit_trainer else ():
            logger.discard()
        self.resources.close()
        if self.is_recorded and self.fit_trainer and self.fit_trainer.is_global_zero and not self.start.resumes:
            folder.remove(self.folder)

    def record(self, error: BaseException | None) -> None:
        """Write ``summary.json``, end the loggers and report."""
        trainer, failed = self.fit_trainer, error if isinstance(error, RunFailed) else None
        assert trainer is not None
        wandb = safe_wandb_loggers(trainer)
        if trainer.world_size > 1 and status_of(trainer, error) == "failed":  # often because another process is gone
            log.error(f"process {trainer.global_rank} of {trainer.world_size} ends: {str(error).partition('. ')[0]}")
        if not trainer.is_global_zero:
            return
        summary = self.summary(trainer, status_of(trainer, error))
        if failed:
            has = {f"{group}={option}" for group, option in self.start.choices.items()}
            failed.findings = tuple(
                each.with_remedies(r for r in each.remedies if r not in has) for each in failed.findings
            )
            summary["findings"] += [finding.plain() for finding in failed.findings]
        if summary["best"]:
            self.best_value = summary["best"].get(self.config.monitor, math.nan)
        try:
            folder.write_json(self.folder / "summary.json", summary)
        except OSError as obstacle:  # such as a full disk, which may be why the run has ended
            log.error(f"{self.folder / 'summary.json'} could not be written: {obstacle.strerror}")
        for logger in wandb:
            logger.finish(exit_code=int(error is not None))
        views = [view for logger in wandb for view in logger.how_to_view()]
        for line in run_summary.report(summary, self.config.monitor, self.folder, views, error):
            log.info(line)

    def summary(self, trainer: Trainer, status: str) -> dict[str, Any]:
        """The run in numbers, as ``summary.json`` holds it."""
        epochs = metrics_csv.epochs_of(self.folder)
        logged = trainer.callback_metrics.items()
        test = {name: value.item() for name, value in logged if name.startswith(("test/", "test_", "test."))}
        of_callbacks: dict[str, Any] = {"samples_per_second": None, "gradient": None, "findings": []}
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            of_callbacks |= callback.summary(trainer) if hasattr(callback, "summary") else {}
        return {
            "status": status,
            **run_summary.results(epochs, self.config.monitor, self.config.monitor_mode),
            "test": test or None,
            "baseline": self.baseline,
            "epochs": trainer.current_epoch,
            "steps": trainer.global_step,
            "seconds": perf_counter() - self.started_at,
            "processes": trainer.world_size,  # data.batch_size is that of each
            "parameters": sum(p.numel() for p in self.module.parameters()) if self.module else None,
            **of_callbacks,
            "seed": self.config.seed,
            "experiment": folder.experiment_name(self.start.overrides),
            **provenance.read(self.folder),
        }


class Started(Callback):
    """Tell a run that training has started, and count evaluations of the test split before they start.

    A checkpoint names files that ModelCheckpoint deletes: those are looked for in the run's own folder only.
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # also where no step is left to do
        baseline = getattr(pl_module, "baseline", None)
        if callable(baseline):
            self.run.baseline = dict(baseline(self.run.datamodule))
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if hasattr(callback, "baseline"):
                callback.baseline = self.run.baseline

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.run.has_started = True  # what the module raises now is an error of its own

    def on_sanity_check_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raises: ValueError: the validation logs no such metric as the monitor."""
        self.run.has_started = False
        monitor = self.run.config.monitor
        if VALIDATION.match(monitor) and monitor not in trainer.callback_metrics:
            raise ValueError(not_logged(monitor, trainer))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.run.has_started = True
        if trainer.is_global_zero and not self.run.start.resumes:
            folder.enter_in_sweep(self.run.folder, hydra_config())

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn == "fit" and self.run.start.resumes:
            place = self.run.folder / "checkpoints"
            states = checkpoint["callbacks"].items()
            checkpoint["callbacks"] = {key: restore.localize_checkpoint_state(state, place) for key, state in states}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            folder.note_test_evaluation(self.run.folder, provenance.read(self.run.folder)["command"])


def not_logged(monitor: str, trainer: Trainer) -> str:
    logged = sorted(trainer.callback_metrics, key=lambda name: (not VALIDATION.match(name), "loss" not in name))
    known = f", such as monitor={logged[0]}" if logged else ""
    return f"{monitor} is not logged: log it, or type another metric{known}"


def status_of(trainer: Trainer, error: BaseException | None) -> str:
    if isinstance(error, OutOfTime):
        return "out_of_time"
    if isinstance(error, Pruned):
        return "pruned"
    if error is not None:
        return "interrupted" if isinstance(error, KeyboardInterrupt | SystemExit) else "failed"
    return "stopped_early" if trainer.should_stop else "finished"
