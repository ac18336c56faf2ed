"""The commands: ``python train.py`` and ``trainwell COMMAND``.

A mistake gets a readable message and exit status 2, and leaves nothing behind. Nothing heavy is imported here.
"""

import contextlib
import errno
import functools
import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from runpy import run_path
from typing import Any

from omegaconf import DictConfig

from ..console import quiet_terminal, set_up_output
from ..errors import Refused, RunFailed

log = logging.getLogger(__name__)

NO_SPACE_OR_PERMISSION = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)
COMMANDS = {  # each with the module whose `main(arguments)` carries it out
    "evaluate": ("inference.evaluate", "metrics of a run's best weights on a split, with intervals and plots"),
    "doctor": ("cli.doctor", "check configuration, data and the first steps of training"),
    "compare": ("comparison.command", "compare runs: table, CSV file and page"),
    "tune": ("search.command", "search for hyperparameters with Optuna, or resume a search"),
    "predict": ("inference.predict", "predict new samples with a run's best weights"),
    "export": ("inference.export", "export a run's best weights to ONNX or torch.export"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """The console command ``trainwell``."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["--version"]:
        from .. import __version__

        print(__version__)
        return
    if not given or given[0] in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        print("trainwell COMMAND ...   (COMMAND --help says more; --version the version; to train: python train.py)\n")
        print("\n".join(f"  {name:{width}}  {summary}" for name, (_, summary) in COMMANDS.items()))
        sys.exit(0 if given else 2)
    if given[0] not in COMMANDS:
        near = get_close_matches(given[0], COMMANDS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        answer([f"{given[0]}: there is no such command; the commands are {', '.join(COMMANDS)}{hint}"])
    module = import_module(f"..{COMMANDS[given[0]][0]}", __package__)
    sys.exit(guarded(lambda: module.main(given[1:])))


def guarded(command: Callable[[], Any]) -> Any:
    """Run a command; answer mistakes and errors of the system with a sentence and a status."""
    set_up_output()
    try:
        result = command()
        sys.stdout.flush()
        return result
    except Refused as refused:
        answer(refused.mistakes)
    except (KeyboardInterrupt, RunFailed):  # the run has reported it
        sys.exit(1)
    except BrokenPipeError:  # such as | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno not in NO_SPACE_OR_PERMISSION:
            raise
        sys.exit(f"{error.strerror}: {error.filename}" if error.filename else error.strerror)


def answer(mistakes: Iterable[str]) -> None:
    """Print what is wrong, and exit with status 2."""
    for mistake in mistakes:
        print(mistake, file=sys.stderr)
    sys.exit(2)


def run_with_hydra(task: Callable[[DictConfig], Any], config_name: str = "train") -> None:
    """Run ``task`` on the configuration that the command line describes; with ``-m``, once for every combination."""
    guarded(lambda: with_hydra(task, config_name))


def with_hydra(task: Callable[[DictConfig], Any], config_name: str) -> None:
    import hydra
    from hydra.core.hydra_config import HydraConfig

    from ..config import compose
    from ..lightning_internals import hydra_arguments

    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what it would print before it exits
    arguments, apart = hydra_arguments().parse_known_args()
    if unknown := [word for word in apart if word.startswith("-")]:
        raise Refused([f"{word}: there is no such option; settings are typed KEY=VALUE (--help)" for word in unknown])
    if apart:  # overrides before and after an option such as -m, which Hydra takes on one side alone
        arguments = hydra_arguments().parse_intermixed_args()
        options = [word for word in sys.argv[1:] if word not in arguments.overrides]
        sys.argv[1:] = [*options, *arguments.overrides]
    config_name = arguments.config_name or config_name
    prepare_process()
    this_process = os.getpid()
    multirun = arguments.multirun or "hydra.mode=MULTIRUN" in arguments.overrides
    shown = arguments.cfg or arguments.info or arguments.shell_completion or arguments.hydra_help
    sweeps: set[str] = set()  # the folder of this sweep, when a job of it has begun
    refusals: list[str] = []  # collected, not raised: Hydra would print lines of its own around an error

    @functools.wraps(task)
    def checked(config: DictConfig) -> Any:
        if os.getpid() != this_process:
            return launched_job(task, config)
        sweeps.add(HydraConfig.get().sweep.dir)
        try:
            return task_of_job(task, config, multirun)
        except Refused as refused:
            refusals.extend(refused.mistakes)

    try:
        if arguments.help:
            print(compose.help_text(config_name))
            return
        refuse(null_groups(arguments.overrides))
        if "hydra/launcher=slurm" in arguments.overrides and shutil.which("srun") is None:
            raise Refused(["hydra/launcher=slurm needs SLURM, and there is no srun here; try submitit_local"])
        if arguments.multirun and (arguments.cfg or arguments.info):
            raise Refused(["--cfg and --info show one configuration, so leave out -m"])
        if not shown:
            with compose.hydra_here(arguments.config_dir, arguments.config_path):
                refuse_jobs(config_name, arguments.overrides, multirun)
        configs = str(compose.project_root() / "configs")
        hydra.main(config_path=configs, config_name=config_name, version_base="1.3")(checked)()
    except compose.COMPLAINTS as complaint:
        with compose.hydra_here(arguments.config_dir, arguments.config_path):
            raise Refused(compose.explain(config_name, arguments.overrides, complaint)) from complaint
    for sweep in sweeps if multirun else ():
        if Path(sweep, "runs.txt").exists():  # of trainings, but not of examinations
            log.info(f"\ncompare trainwell compare {sweep}")
        elif refusals:
            remove_unused(Path(sweep))
    if refusals:
        raise Refused(list(dict.fromkeys(refusals)))


def remove_unused(sweep: Path) -> None:
    """Remove the folder of a sweep in which no run has begun, and those around it that are empty then."""
    (sweep / "multirun.yaml").unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        for folder in (sweep, *sweep.parents[:2]):
            folder.rmdir()


def prepare_process() -> None:
    """Set up the output of this process, and let a run that is terminated write its summary."""
    set_up_output()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def null_groups(overrides: list[str]) -> list[str]:
    """Groups that are set to null, which Hydra answers with a traceback."""
    from ..config import compose

    configs = compose.project_root() / "configs"
    keys = [compose.key_of(override) for override in overrides if override.endswith("=null")]
    return [f"{key}=null: {compose.cannot_be_left_out(key)}" for key in keys if key and (configs / key).is_dir()]


def task_of_job(task: Callable[[DictConfig], Any], config: DictConfig, multirun: bool) -> Any:
    """Run one job, unless it asks for a run that has come to its end."""
    from ..config.compose import hydra_config
    from ..runs import request

    hydra = hydra_config()
    if multirun:
        log.info(f"\nrun {hydra.job.num + 1}: {' '.join(hydra.overrides.task)}")
    wanted = request.asked_for(hydra.overrides.task)
    if wanted and (done := request.nothing_left(wanted, config)):
        log.info(done)
        return None
    return task(config)


def launched_job(task: Callable[[DictConfig], Any], config: DictConfig) -> Any:
    """Run one job of a sweep in a process of a Hydra launcher: one line in the terminal, everything in train.log."""
    from hydra.core.hydra_config import HydraConfig

    prepare_process()
    job = f"run {HydraConfig.get().job.num + 1}: {' '.join(HydraConfig.get().overrides.task)}"
    try:
        with quiet_terminal():
            value = task_of_job(task, config, multirun=True)
    except Exception as error:
        log.info(f"{job}: {error}")
        raise
    log.info(f"{job}: {config.monitor} {value:.4g}")
    return value


def refuse_jobs(config_name: str, overrides: list[str], multirun: bool) -> None:
    """Check what was typed before Hydra starts; of a sweep, every job. Raises: Refused: there are mistakes."""
    from ..config import compose
    from ..runs import request
    from ..runs.secrets import refuse_secrets

    for job in with_bar(compose.jobs(config_name, overrides)) if multirun else [overrides]:
        wanted = request.asked_for(job)
        if wanted and multirun:
            raise Refused([f"{wanted.key}={wanted.name} is about one run, so leave out -m"])
        if wanted:  # the run's own configuration is trained, not this one
            refuse(request.mistakes(wanted, compose.without_hydra(compose.composed(config_name, job)), job))
            continue
        config = compose.checked(config_name, job)
        try:
            refuse_secrets(compose.without_hydra(config), config.hydra)  # before Hydra writes that of a sweep
        except ValueError as error:
            raise Refused([str(error)]) from error


def with_bar(jobs: list[list[str]]) -> Iterable[list[str]]:
    from tqdm import tqdm

    return tqdm(jobs, "checking", unit=" jobs", leave=False, disable=None)


def refuse(mistakes: list[str]) -> None:
    if mistakes:
        raise Refused(mistakes)


def train(overrides: Sequence[str] = (), config_name: str = "train") -> float | None:
    """Train from Python, such as a notebook: ``train(["+experiment=baseline", "seed=1"])``.

    Runs the function ``train`` of the project's train.py. Raises: Refused: a mistake.
    """
    from hydra.core.hydra_config import HydraConfig

    from ..config import compose

    with compose.hydra_here():
        composed = compose.checked(config_name, overrides)
    function = run_path(str(compose.project_root() / "train.py"))["train"]
    state: Any = HydraConfig.instance()
    before, state.cfg = state.cfg, composed  # as in a command: the run records what was typed
    try:
        return function(compose.without_hydra(composed))
    finally:
        state.cfg = before
