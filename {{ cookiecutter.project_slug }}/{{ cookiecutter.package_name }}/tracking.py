"""Weights & Biases without a prompt, a wait or harm: online where that works, offline where it does not.

The environment decides as usual: ``WANDB_MODE`` (online, offline, disabled), ``WANDB_API_KEY``, ``WANDB_BASE_URL``.
Whatever goes wrong is said in one line, and training goes on.
"""

import logging
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.pytorch.loggers import Logger, WandbLogger

from .runs import WANDB_ID

log = logging.getLogger(__name__)

SECONDS_TO_CONNECT = 6
SECONDS_TO_FINISH = 30  # to upload what is left when a run has ended; the rest stays in wandb/
BROKEN = (ImportError, AttributeError, TypeError)  # what an installation that does not fit together raises


class HarmlessLogger(WandbLogger):
    """A WandbLogger that no training dies of: after the first trouble, which is said, W&B is left alone."""

    trouble: str | None = None

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        with self.no_harm():
            super().log_metrics(metrics, step)

    def log_hyperparams(self, params: Any) -> None:
        with self.no_harm():
            super().log_hyperparams(params)

    def log_pictures(self, pictures: Mapping[str, Path]) -> None:
        with self.no_harm():
            for name, path in pictures.items():
                self.log_image(name, [str(path)])

    def alert(self, title: str, text: str) -> None:
        with self.no_harm():
            self.experiment.alert(title=title, text=text)

    def show(self, values: Mapping[str, Any]) -> None:
        """Log what is no number: histograms, tables."""
        with self.no_harm():
            self.experiment.log(values)

    def end(self, exit_code: int = 0) -> None:
        with self.no_harm():
            self.experiment.finish(exit_code=exit_code)

    def how_to_look(self) -> list[str]:
        """What to type to see the run."""
        run: Any = self.experiment
        if not run.offline and self.trouble is None:
            return [str(run.url)] if run.url else []
        folder = Path(run.settings.sync_dir)
        pieces = sorted(folder.parent.glob(f"*run-*-{run.id}"))  # one for each time that it was gone on with
        upload = " ".join(["wandb sync", *(f"{piece.parent.name}/{piece.name}" for piece in pieces)])
        return ["wandb leet wandb", f"{upload}   (uploads it{', after `wandb login`' if run.offline else ''})"]

    @contextmanager
    def no_harm(self) -> Iterator[None]:
        import wandb
        from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError

        try:
            yield
        except (OSError, wandb.Error, HandleAbandonedError, MailboxClosedError) as error:
            if self.trouble is None:
                self.trouble = first_line(error) or type(error).__name__
                log.warning(f"W&B: lost ({self.trouble}); the run goes on, and its folder has everything")


class NoLogger(Logger):
    """What there is instead, where W&B does not work."""

    name = version = None

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """``metrics.csv`` has them."""

    def log_hyperparams(self, params: Any) -> None:
        """``config.yaml`` has them."""


def harmless(trainer: Trainer) -> list[HarmlessLogger]:
    """Of a trainer's loggers those that tell W&B."""
    return [logger for logger in trainer.loggers if isinstance(logger, HarmlessLogger)]


def wandb_logger(*, project: str, run_folder: str) -> Logger:
    """Begin a W&B run, named after the run folder, in the ``wandb/`` folder that all runs share.

    Not logged in: offline at once. No answer within 6 seconds: offline. No W&B that works: none. Each is said.
    """
    try:
        import wandb
    except BROKEN as error:
        return without_wandb(error)
    if os.environ.get("LOCAL_RANK", "0") != "0":  # of the processes of one run, one tells W&B
        return HarmlessLogger(experiment=wandb.init(mode="disabled"))
    try:
        return HarmlessLogger(experiment=begin(project, Path(run_folder)))
    except (*BROKEN, OSError, wandb.Error) as error:
        return without_wandb(error)


def without_wandb(error: Exception) -> Logger:
    log.warning(f"W&B: does not work here ({first_line(error)}), so this run is recorded in its folder alone")
    return NoLogger()


def begin(project: str, folder: Path) -> Any:
    import wandb

    settings = wandb.Settings(
        silent=True,
        console="off",  # train.log has what the terminal said
        init_timeout=SECONDS_TO_CONNECT,
        finish_timeout=SECONDS_TO_FINISH,
        finish_timeout_raises=True,
        x_transaction_log_flush_interval=1,  # what a killed process can lose of its log, in seconds
    )
    known = folder / WANDB_ID
    again = known.exists()
    start = partial(
        wandb.init,
        settings=settings,
        project=project,
        name=f"{folder.parent.name}/{folder.name}",
        group=folder.parent.name,
        resume="allow" if again else None,
    )
    wandb.setup(settings)
    attempt = known.read_text(encoding="utf-8") if again else new_id(known)
    try:
        run = start(mode=mode_of(os.environ), id=attempt)
    except wandb.Error as error:
        log.info(f"W&B: cannot be reached ({first_line(error)}), so this run is recorded offline")
        for empty in Path(os.environ.get("WANDB_DIR", "."), "wandb").glob(f"run-*-{attempt}"):
            shutil.rmtree(empty)  # viewers would list it
        run = start(mode="offline", id=attempt if again else new_id(known))
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step")
    return run


def new_id(known: Path) -> str:
    """Choose an id for a W&B run, and write it down where the run's folder is there."""
    chosen = secrets.token_hex(4)
    if known.parent.exists():
        known.write_text(chosen, encoding="utf-8")
    return chosen


def mode_of(environment: Mapping[str, str]) -> Any:
    """What ``WANDB_MODE`` says; without it, online for those who are logged in. Asks neither network nor user."""
    import wandb

    if "WANDB_MODE" in environment:
        return environment["WANDB_MODE"]
    if wandb.login(prompt=False, verify=False):
        return "online"
    log.info("W&B: not logged in, so this run is recorded offline (`wandb login` to change that)")
    return "offline"


def first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")
