"""Start a W&B run without a prompt or a long wait: online if that works, else offline.

W&B's own environment variables apply: ``WANDB_MODE``, ``WANDB_API_KEY``, ``WANDB_ENTITY``, ``WANDB_NAME``,
``WANDB_RUN_GROUP``, ``WANDB_JOB_TYPE``, ``WANDB_TAGS``, ``WANDB_RUN_ID``, ``WANDB_DIR``, ``WANDB_SWEEP_ID`` and others.
"""

import logging
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from glob import escape
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

WANDB_ID_FILE = "wandb_id.txt"  # in the run folder: the run's id in W&B, which a resumed run takes up again
SECONDS_TO_CONNECT = 6
SECONDS_TO_FINISH = 30  # for the rest of the upload after the run; what is left then stays in wandb/
ONLINE = ("online", "run", "shared")  # values of WANDB_MODE
NOT_ONLINE = ("offline", "dryrun", "disabled")
IN_ENVIRONMENT = {"group": "WANDB_RUN_GROUP", "job_type": "WANDB_JOB_TYPE", "tags": "WANDB_TAGS"}
ALIKE = ("seed", "data.fold", "experiment", "test", "trainer.enable_progress_bar", "callbacks.progress_bar")
TAGGED = ("task", "data", "network")
LONGEST_TAG, LONGEST_GROUP = 64, 128  # characters, as W&B allows


def group_of(name: str, overrides: Sequence[str]) -> str:
    """The W&B group of a run: its experiment and what was typed, so that seeds and folds of one setting share it."""
    from ..config.compose import key_of  # imports Hydra

    keys = {override: key_of(override) for override in overrides}
    typed = [text for text, key in keys.items() if key not in ALIKE and key.partition(".")[0] != "logger"]
    return " ".join([name, *sorted(typed)])[:LONGEST_GROUP]


def tags_of(overrides: Sequence[str], choices: Mapping[str, str]) -> list[str]:
    """Tags of a run: task, data and network, and the options that were typed."""
    from ..config.compose import key_of

    groups = dict.fromkeys([*TAGGED, *map(key_of, overrides)])
    tags = [f"{group}={choices[group]}" for group in groups if group in choices and group != "logger"]
    return [tag for tag in tags if len(tag) <= LONGEST_TAG]


def start_run(project: str, folder: Path, known_id: str | None, described: Mapping[str, Any]) -> Any:
    """Start a W&B run: offline if nobody is logged in, or if the server does not answer within 6 seconds.

    ``described`` may have ``group``, ``job_type`` and ``tags``, which W&B's environment variables replace.

    Raises: one of ``failures()``, or what a broken installation or a wrong setting raises.
    """
    import wandb

    prepare_environment()
    settings = wandb.Settings(
        silent=True,
        console="off",  # train.log has what the terminal showed
        init_timeout=SECONDS_TO_CONNECT,
        finish_timeout=SECONDS_TO_FINISH,
        finish_timeout_raises=True,
        x_transaction_log_flush_interval=1,  # seconds of the log that a killed process can lose
        save_code=None if "WANDB_SAVE_CODE" in os.environ else False,  # not what the account's preferences say
    )
    in_sweep = "WANDB_SWEEP_ID" in os.environ  # then project and id are the agent's choice
    usual = {} if known_id else {"group": folder.parent.name}  # a run that goes on keeps what it has
    named = {key: value for key, value in {**usual, **described}.items() if IN_ENVIRONMENT[key] not in os.environ}
    run_id = os.environ.get("WANDB_RUN_ID", secrets.token_hex(4)) if in_sweep or not known_id else known_id
    init = partial(
        wandb.init,
        settings=settings,
        project=None if in_sweep or not project else project,
        name=None if "WANDB_NAME" in os.environ else f"{folder.parent.name}/{folder.name}",
        **named,
        id=None if in_sweep else run_id,
        resume="allow" if known_id else None,
    )
    configured: Any = wandb.setup(settings).settings
    mode, wandb_folder = configured.mode, Path(configured.wandb_dir)
    earlier = pieces(wandb_folder, run_id)
    try:
        if mode in ONLINE and not wandb.login(prompt=False, verify=False):
            log.info("W&B: not logged in, so this run is recorded offline (`wandb login` to change that)")
            mode = "offline"
        return init(mode=mode)
    except failures() as error:
        if mode not in ONLINE:
            raise
        log.info(f"W&B: cannot be reached ({reason(error)}), so this run is recorded offline")
    wandb.teardown()  # else W&B's service refuses the id, which it takes to be in use
    for piece in pieces(wandb_folder, run_id) - earlier:
        delete(piece)  # it holds nothing, but viewers would list it
    wandb.setup(settings)
    return init(mode="offline")


def prepare_environment() -> None:
    """Treat empty ``WANDB_`` variables as unset, as W&B does not, and keep its telemetry from being sent.

    Raises: ValueError: ``WANDB_MODE`` is not a mode.
    """
    for name in [name for name, value in os.environ.items() if name.startswith("WANDB_") and not value.strip()]:
        del os.environ[name]
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # W&B's switch; telemetry is sent from offline runs as well
    mode = os.environ.get("WANDB_MODE", "online")
    if mode not in (*ONLINE, *NOT_ONLINE):
        raise ValueError(f"WANDB_MODE must be online, offline or disabled, got {mode!r}")


def pieces(wandb_folder: Path, run_id: str) -> set[Path]:
    """The folders of one run: one for each time that it was started or resumed."""
    name = f"*run-????????_??????-{escape(run_id)}"
    return {*wandb_folder.glob(name), *wandb_folder.glob(f"{name}-[0-9]*")}


def delete(path: Path) -> None:
    """Delete a file, or a folder in ``wandb/`` and the links to it beside it."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    shutil.rmtree(path)
    for link in path.parent.iterdir():
        if link.is_symlink() and not link.exists():
            link.unlink()


def failures() -> tuple[type[Exception], ...]:
    """What W&B raises when its service, its server or the disk fails."""
    import wandb
    from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError
    from wandb.sdk.mailbox.mailbox_handle import ServerResponseError

    return (OSError, wandb.Error, HandleAbandonedError, MailboxClosedError, ServerResponseError)


def reason(error: Exception) -> str:
    """The first line of an error, of a rejected setting the first three: what, which and why."""
    lines = str(error).splitlines()[: 3 if isinstance(error, ValueError) else 1]
    return " ".join(line.strip() for line in lines).rstrip(".") or type(error).__name__
