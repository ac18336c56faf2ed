"""``trainwell tune``: search for hyperparameters, a trial after the other; several processes can share a study."""

import importlib.util
import logging
import signal
import sys
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Pruned, Refused, RunFailed, together

if TYPE_CHECKING:
    from .study import Study

log = logging.getLogger(__name__)

SPACES = Path("configs", "search")
HOPELESS = 10  # first trials; if all are refused for one reason, so are the others
HELP = """trainwell tune +search=NAME [trials=30] [OVERRIDE ...]
trainwell tune resume=STUDY [trials=30]

Search for hyperparameters: each trial is a run with other values for the keys of configs/search/NAME.yaml, chosen by
Optuna's TPE sampler from the results so far. Once five trials have finished, a trial is pruned from its third
validation on if it is worse than the median of the others at that point.

  trials    how many in all, those of other processes and before a resume included
  resume    a study's folder, the short id at its end, or latest; a second process may join while the first one works
  OVERRIDE  of every trial, as for train.py, such as network=cnn trainer.max_epochs=20

The searches are {searches}. The study's folder, in runs/studies/, gets trials.csv and plots, and
configs/experiment/best_NAME.yaml the best values, ready for  python train.py +experiment=best_NAME"""


def main(arguments: list[str]) -> int:
    """Returns: 0 if a trial has a result, else 1. Raises: Refused: a mistake."""
    if {"-h", "--help"} & set(arguments):
        print(HELP.format(searches=", ".join(searches())))
        return 0
    if importlib.util.find_spec("optuna") is None:
        raise Refused(['trainwell tune needs Optuna: pip install -c constraints.txt -e ".[search]"'])
    if mistakes := list(mistyped(arguments)):
        raise Refused(mistakes)
    own = dict(argument.partition("=")[::2] for argument in arguments if is_own(argument))
    overrides = [argument for argument in arguments if not is_own(argument)]
    trials = number_of_trials(own)
    try:
        study = resumed(own["resume"], overrides) if "resume" in own else new_study(own.get("+search"), overrides)
    except ValueError as error:
        raise Refused(str(error).splitlines()) from error
    return 0 if work_on(study, trials) else 1


def is_own(argument: str) -> bool:
    return argument.partition("=")[0] in ("trials", "resume", "+search")


def mistyped(arguments: Sequence[str]) -> Iterator[str]:
    """Arguments that this command does not have, and misspelt ones."""
    for argument in arguments:
        key = argument.partition("=")[0]
        if argument.startswith("-"):
            yield f"{argument}: a search has no such option; its runs are its trials"
        elif key == "search":
            yield f"{argument}: a search is added to the configuration; type +{argument}"
        elif not is_own(argument) and get_close_matches(key, ["trials"], cutoff=0.8):
            yield f"{argument}: there is no key {key}; did you mean trials?"


def searches() -> list[str]:
    from ..config.compose import project_root

    return sorted(path.stem for path in (project_root() / SPACES).glob("*.yaml"))


def number_of_trials(own: dict[str, str]) -> int:
    given = own.get("trials", "30")
    if not given.isdecimal() or int(given) < 1:
        raise Refused([f"trials must be 1 or more, got {given or 'nothing'}"])
    return int(given)


def new_study(search: str | None, overrides: Sequence[str]) -> "Study":
    """Check everything that the trials will be made of, and make the study's folder.

    Raises: Refused, ValueError: every mistake, a line each.
    """
    from ..config import compose
    from ..runs.secrets import refuse_secrets

    if search not in searches():
        raise ValueError(f"+search must be one of {', '.join(searches())}, got {search or 'nothing'}")
    with compose.hydra_here():
        config = compose.checked("train", overrides)
        refuse_secrets(compose.without_hydra(config), config.hydra)  # before the study's folder keeps what was typed
    from . import space, study  # which import Optuna and torch

    lines = space.read_space(compose.project_root() / SPACES / f"{search}.yaml")
    if chosen := [override for override in overrides if compose.key_of(override) in lines]:
        raise ValueError(f"+search={search} chooses these itself, so leave out {' '.join(chosen)}")
    with compose.hydra_here():
        together(*[partial(refuse_mistakes, search, overrides, each) for each in space.deviations(lines)])
    plan = study.Plan(search, list(overrides), lines, config.monitor, mode_of(config), config.seed)
    return study.create(plan)


def refuse_mistakes(search: str, overrides: Sequence[str], sampled: str) -> None:
    """Raises: ValueError: the configuration with a sampled value has mistakes, a line each."""
    from ..config import compose

    try:
        compose.checked("train", [*overrides, sampled])
    except Refused as refused:
        said = [mistake.removeprefix(f"{sampled}: ") for mistake in refused.mistakes]
        raise ValueError("\n".join(f"+search={search}: {sampled}: {mistake}" for mistake in said)) from refused


def mode_of(config: Any) -> str:
    """Whether the monitor is to be minimized or maximized.

    Raises: ValueError: neither the metric nor the configuration says so.
    """
    from hydra.utils import get_class

    name = config.monitor.rpartition("/")[2]
    if config.monitor_mode is not None:
        return config.monitor_mode
    if name == "loss" or name.endswith("_loss"):
        return "min"
    metric = (config.task.get("metrics") or {}).get(name)
    better = getattr(get_class(metric["_target_"]), "higher_is_better", None) if metric else None
    if better is None:
        raise ValueError(f"monitor={config.monitor}: type monitor_mode=max or monitor_mode=min")
    return "max" if better else "min"


def resumed(name: str, overrides: Sequence[str]) -> "Study":
    """Raises: ValueError: there is no such study, or overrides are given with it."""
    from . import study

    if overrides:
        raise ValueError(f"resume={name}: a study keeps its overrides, so leave out {' '.join(overrides)}")
    return study.open_study(study.find(name))


def work_on(study: "Study", trials: int) -> bool:
    """Run trials until there are as many as wanted, and report. Returns: whether there is a result."""
    from . import report
    from .space import distributions

    log.info(f"study   {study.folder}")
    space = distributions(study.plan.space)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that a run that is terminated writes its summary
    try:
        with study.worker() as worker:
            refusals: list[str | None] = []
            while (trial := study.ask(worker, space, trials)) is not None:
                refusals.append(run_trial(study, trial))
                log.info(report.line(study, trial.number))
                refuse_hopeless(refusals)
    except (KeyboardInterrupt, SystemExit):
        log.info(f"resume  trainwell tune resume={study.folder} trials={trials}")
        raise
    for line in report.write(study):
        log.info(line)
    return bool(study.completed())


def refuse_hopeless(refusals: Sequence[str | None]) -> None:
    """Raises: Refused: the first trials were all refused, and for the same reason."""
    first = refusals[0]
    if first is not None and len(refusals) == HOPELESS and set(refusals) == {first}:
        raise Refused([f"each of the first {HOPELESS} trials was refused: {first}"])


def run_trial(study: "Study", trial: Any) -> str | None:
    """Train once with the values of a trial, and tell the study how it ended. Returns: why it was refused."""
    import torch
    from optuna.trial import TrialState

    from ..cli.main import train
    from ..console import quiet_terminal
    from ..runs.session import further_callbacks
    from .pruning import ReportToStudy
    from .space import override

    sampled = [override(key, value) for key, value in trial.params.items()]
    shown = ["trainer.enable_progress_bar=false", "~callbacks.progress_bar"]
    try:
        with quiet_terminal(), further_callbacks(ReportToStudy(trial, study.plan.monitor)):
            value = train([*study.plan.overrides, *sampled, *shown])
    except Refused as error:
        study.end(trial, TrialState.PRUNED, str(error))
        return str(error)
    except Pruned as error:
        study.end(trial, TrialState.PRUNED, str(error))
    except (RunFailed, torch.OutOfMemoryError) as error:
        study.end(trial, TrialState.FAIL, str(error).partition("\n")[0])
    else:
        study.record(trial, float("nan") if value is None else value)
    return None
