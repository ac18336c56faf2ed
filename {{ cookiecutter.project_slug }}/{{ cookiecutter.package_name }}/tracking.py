"""Weights & Biases without a prompt and without a wait: online where that works, offline where it does not.

The environment decides as usual: ``WANDB_MODE`` (online, offline, disabled), ``WANDB_API_KEY``, ``WANDB_BASE_URL``.
"""

import logging
import os
import secrets
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import wandb
from lightning.pytorch.loggers import WandbLogger

log = logging.getLogger(__name__)

SECONDS_TO_CONNECT = 6
RUN_ID = "wandb_id.txt"  # in a run folder: a run that is gone on with goes on there too


def wandb_logger(*, project: str, run_folder: str) -> WandbLogger:
    """Begin a W&B run, named after the run folder, in the ``wandb/`` folder that all runs share.

    Not logged in: offline at once. No answer within 6 seconds: offline. Either is said in one line.
    """
    folder = Path(run_folder)
    if os.environ.get("LOCAL_RANK", "0") != "0":  # of the processes of one run, one tells W&B
        return WandbLogger(experiment=wandb.init(mode="disabled"))
    settings = wandb.Settings(
        silent=True,
        console="off",  # train.log has what the terminal said
        init_timeout=SECONDS_TO_CONNECT,
        x_transaction_log_flush_interval=1,  # what a killed process can lose of its log, in seconds
    )
    begin = partial(
        wandb.init,
        settings=settings,
        project=project,
        name=f"{folder.parent.name}/{folder.name}",
        group=folder.parent.name,
        resume="allow",
    )
    wandb.setup(settings)
    known = folder / RUN_ID
    resumed = known.exists()
    attempt = known.read_text(encoding="utf-8") if resumed else new_id(known)
    try:
        run = begin(mode=mode_of(os.environ), id=attempt)
    except wandb.Error as error:
        log.info(f"W&B: cannot be reached ({first_line(error)}), so this run is recorded offline")
        for empty in Path(os.environ.get("WANDB_DIR", "."), "wandb").glob(f"run-*-{attempt}"):
            shutil.rmtree(empty)  # viewers would list it
        run = begin(mode="offline", id=attempt if resumed else new_id(known))
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step")
    return WandbLogger(experiment=run)


def new_id(known: Path) -> str:
    """Choose an id for a W&B run, and write it down where the run's folder is there."""
    chosen = secrets.token_hex(4)
    if known.parent.exists():
        known.write_text(chosen, encoding="utf-8")
    return chosen


def mode_of(environment: Mapping[str, str]) -> Any:
    """What ``WANDB_MODE`` says; without it, online for those who are logged in. Asks neither network nor user."""
    if "WANDB_MODE" in environment:
        return environment["WANDB_MODE"]
    if wandb.login(prompt=False, verify=False):
        return "online"
    log.info("W&B: not logged in, so this run is recorded offline (`wandb login` to change that)")
    return "offline"


def first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")


def how_to_look(run: wandb.Run) -> list[str]:
    """What to type to see the run."""
    if run.offline:
        folder = Path(run.settings.sync_dir)
        pieces = sorted(folder.parent.glob(f"offline-run-*-{run.id}"))  # one for each time that it was gone on with
        upload = " ".join(["wandb sync", *(f"{piece.parent.name}/{piece.name}" for piece in pieces)])
        return ["wandb leet wandb", f"{upload}   (uploads it, after `wandb login`)"]
    return [str(run.url)] if run.url else []
