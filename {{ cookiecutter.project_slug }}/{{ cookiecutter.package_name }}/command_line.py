"""Commands: Hydra composes and runs; a mistake gets a readable message and exit status 2, and leaves nothing behind."""

import errno
import functools
import logging
import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from . import again, composition, runs
from .console import speak_plainly
from .failure import Failed
from .lean_start import import_lightning

log = logging.getLogger(__name__)

NO_ROOM_OR_RIGHT = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)


class Refused(Exception):
    """What was typed cannot be done; ``mistakes`` says why, a sentence each."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


def run(task: Callable[[DictConfig], Any], config_name: str) -> None:
    """Run ``task`` on the configuration that the command line describes; with ``-m``, once for every combination."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what it would print before it exits
    register_resolvers()
    speak_plainly()
    arguments = get_args_parser().parse_args()
    if arguments.help:
        print(composition.help_text(config_name))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that a run that is ended tells what it leaves

    refusals: list[str] = []  # kept, not raised: Hydra would print its own lines around an error

    @functools.wraps(task)
    def checked(config: DictConfig) -> Any:
        told = HydraConfig.get()
        if told.mode is RunMode.MULTIRUN:
            log.info(f"\nrun {told.job.num + 1}: {' '.join(told.overrides.task)}")
        try:
            wanted = again.asked_for(told.overrides.task)
            if wanted is None and not arguments.multirun:  # with -m, all jobs were checked before the first one began
                refuse(composition.mistakes(config_name, config, told))
            elif wanted is not None:
                refuse(again.mistakes(wanted, config, told.overrides.task))
                if done := again.nothing_left(wanted, config):
                    log.info(done)
                    return None
            if "run" in config:
                trained_run()  # refused, if at all, before the seconds that Lightning takes
            import_lightning()
            return task(config)
        except Refused as refused:
            refusals.extend(refused.mistakes)

    try:
        if arguments.multirun:
            refuse_sweep(config_name, arguments.overrides)
        hydra.main(config_path="configs", config_name=config_name, version_base="1.3")(checked)()
    except Refused as refused:
        answer(refused.mistakes)
    except composition.COMPLAINTS:
        with composition.hydra_here():
            mistakes = composition.explain(config_name, arguments.overrides)
        if not mistakes:
            raise
        answer(mistakes)
    except (KeyboardInterrupt, Failed):  # the run has said so
        sys.exit(1)
    except OSError as error:
        if error.errno not in NO_ROOM_OR_RIGHT:
            raise
        sys.exit(f"{error.strerror}: {error.filename}" if error.filename else error.strerror)
    if refusals:
        answer(refusals)


def refuse_sweep(config_name: str, overrides: list[str]) -> None:
    """Check every job of a sweep before the first one starts."""
    from tqdm import tqdm

    with composition.hydra_here():
        for job in tqdm(composition.jobs(config_name, overrides), "checking", unit=" jobs", leave=False, disable=None):
            if wanted := again.asked_for(job):
                raise Refused([f"{wanted.key}={wanted.name} is about one run, so leave out -m"])
            config = composition.composed(config_name, job)
            refuse(composition.mistakes(config_name, composition.without_hydra(config), config.hydra))


def refuse(mistakes: list[str]) -> None:
    if mistakes:
        raise Refused(mistakes)


@contextmanager
def mistakes_refused() -> Iterator[None]:
    """While objects are made from a configuration, take a value that they refuse for a mistake in it."""
    try:
        yield
    except ValueError as error:
        raise Refused(str(error).splitlines()) from error
    except InstantiationException as error:
        from lightning.fabric.utilities.exceptions import MisconfigurationException

        if not isinstance(error.__cause__, ValueError | TypeError | MisconfigurationException):
            raise
        raise Refused(str(error.__cause__).splitlines()) from error


def answer(mistakes: Iterable[str]) -> None:
    """Say what is wrong, and end with status 2."""
    for mistake in mistakes:
        print(mistake, file=sys.stderr)
    sys.exit(2)


def trained_run() -> Path:
    """The run folder that ``run=`` names, which has its best weights.

    Read as it was typed: Hydra would take the short id 1234e567 for a number.
    """
    typed = [override for override in HydraConfig.get().overrides.task if composition.key_of(override) == "run"]
    name = typed[-1].partition("=")[2].strip("'\"")
    try:
        folder = runs.find(name)
    except ValueError as error:
        raise Refused([f"run={name}: {error}"]) from error
    if not (folder / "checkpoints" / "best.ckpt").is_file():
        raise Refused([f"run={name} has no weights yet: checkpoints/best.ckpt is missing"])
    return folder


def register_resolvers() -> None:
    """Make the functions that the YAML files call."""
    register = functools.partial(OmegaConf.register_new_resolver, replace=True)
    register("direction", lambda metric: "max" if metric.endswith("accuracy") else "min")
    register("short_id", lambda: secrets.token_hex(4), use_cache=True)
