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
    )
    wandb.setup(settings)
    attempt = secrets.token_hex(4)
    try:
        run = begin(mode=mode_of(os.environ), id=attempt)
    except wandb.Error as error:
        log.info(f"W&B: cannot be reached ({first_line(error)}), so this run is recorded offline")
        for empty in Path(os.environ.get("WANDB_DIR", "."), "wandb").glob(f"run-*-{attempt}"):
            shutil.rmtree(empty)  # viewers would list it
        run = begin(mode="offline", id=secrets.token_hex(4))
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step")
    return WandbLogger(experiment=run)


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
        upload = f"wandb sync {folder.parent.name}/{folder.name}"
        return ["wandb leet wandb", f"{upload}   (uploads it, after `wandb login`)"]
    return [str(run.url)] if run.url else []
