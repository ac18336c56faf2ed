"""What a study has found: a line for each trial, a table, plots, and the best values as an experiment."""

import os
import shlex
import warnings
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from optuna.trial import FrozenTrial, TrialState

from ..config import compose
from ..runs.folder import write_whole
from .space import override
from .study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 10  # trials in the table
NOT_OF_THE_RESULT = ("trainer.enable_progress_bar", "callbacks.progress_bar", "logger")


def line(study: Study, number: int) -> str:
    """How a trial ended, as the terminal shows it."""
    trial = study.optuna.get_trials(deepcopy=False)[number]
    result = f"{trial.value:.4f}" if trial.state is TrialState.COMPLETE else state(trial)
    best = study.completed()[:1]
    is_best = "  best so far" if best and best[0].number == number else ""
    reason = f"  ({trial.user_attrs['reason'].splitlines()[0]})" if "reason" in trial.user_attrs else ""
    return f"trial {number:<4}{result:>8}  {values_of(trial)}{is_best}{reason}"


def state(trial: FrozenTrial) -> str:
    return "failed" if trial.state is TrialState.FAIL else trial.state.name.lower()


def values_of(trial: FrozenTrial) -> str:
    shown = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in trial.params.items()}
    return " ".join(f"{key}={value}" for key, value in shown.items())


def write(study: Study) -> Iterator[str]:
    """Write ``trials.csv``, ``runs.txt``, plots and the experiment; yields the summary for the terminal."""
    trials, best = study.counted(), study.completed()
    study.optuna.trials_dataframe(("number", "value", "state", "duration", "params", "user_attrs")).to_csv(
        study.folder / "trials.csv", index=False
    )
    runs = [Path(trial.user_attrs["run"]) for trial in trials if "run" in trial.user_attrs]
    write_whole(study.folder / "runs.txt", "".join(f"{os.path.relpath(run, study.folder)}\n" for run in runs))
    counts = {name: [*map(state, trials)].count(name) for name in ("complete", "pruned", "failed", "running")}
    yield "\n" + ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    if not best:
        yield "no trial has a result; trials.csv has the reasons"
        return
    yield f"{'trial':>5}  {study.plan.monitor:>12}  values"
    for trial in best[:SHOWN]:
        yield f"{trial.number:5}  {trial.value:12.4f}  {values_of(trial)}"
    yield from importances(study)
    command = write_experiment(study, best[0], len(trials))
    yield f"\nstudy   {study.folder}"
    yield f"best    {command}"


def importances(study: Study) -> Iterator[str]:
    """Optuna's importance of each key, and its plots; needs two different results."""
    if len({trial.value for trial in study.completed()}) < 2:
        return
    from matplotlib.ticker import MaxNLocator
    from optuna.visualization import matplotlib as plots

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        found = optuna.importance.get_param_importances(study.optuna)
        history = plots.plot_optimization_history(study.optuna, target_name=study.plan.monitor)
        history.xaxis.set_major_locator(MaxNLocator(integer=True))  # whole trials
        save(history, study.folder / "history.png")
        bars = plots.plot_param_importances(study.optuna, target_name=study.plan.monitor)
        save(bars, study.folder / "importances.png")
    yield "importance  " + ", ".join(f"{key} {share:.2f}" for key, share in found.items())
    yield f"plots   {study.folder / 'history.png'}, importances.png"


def save(axes: "Axes", path: Path) -> None:
    from matplotlib import pyplot

    figure: Any = axes.figure
    figure.set_layout_engine("tight")
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def write_experiment(study: Study, best: FrozenTrial, trials: int) -> str:
    """Write ``configs/experiment/best_NAME.yaml``; a file of that name that is not this study's stays as it is.

    Returns: the command that trains it, with the overrides that a file cannot hold.
    """
    folder = compose.project_root() / "configs" / "experiment"
    source = f"# Source:   {study.folder.name}"
    path = folder / f"best_{study.plan.search}.yaml"
    if path.exists() and source not in path.read_text(encoding="utf-8").splitlines():
        path = folder / f"best_{study.plan.search}_{study.folder.name.rpartition('_')[2]}.yaml"
    sampled = [override(key, value) for key, value in best.params.items()]
    defaults, values, not_stored = contents([*study.plan.overrides, *sampled])
    command = shlex.join(["python", "train.py", f"+experiment={path.stem}", *not_stored])
    note = [
        "# @package _global_",
        f"# Question: which values does the search {study.plan.search} find?",
        f"# Command:  {command}",
        f"# Result:   {study.plan.monitor} {best.value:.4f}, best of {trials} trials, untested ({date.today():%Y-%m})",
        source,
    ]
    body = yaml.safe_dump({"defaults": defaults}, sort_keys=False) + "\n" if defaults else ""
    body += yaml.safe_dump(values, sort_keys=False) if values else ""
    write_whole(path, "\n".join(note) + "\n" + body)
    return command


def contents(overrides: Sequence[str]) -> tuple[list[Any], dict[str, Any], list[str]]:
    """The defaults list and the values of an experiment, and overrides that a file cannot hold."""
    defaults: list[Any] = []
    values = OmegaConf.create()
    not_stored = []
    configs = compose.project_root() / "configs"
    for parsed in OverridesParser.create().parse_overrides(list(overrides)):
        key, value = parsed.key_or_group, parsed.value()
        if key.startswith(NOT_OF_THE_RESULT):
            continue
        if parsed.is_delete() or parsed.package is not None:
            not_stored.append(str(parsed.input_line))
        elif key == "experiment":
            defaults += value if isinstance(value, list) else [value]
        elif (configs / key).is_dir():
            defaults.append({f"override /{key}" if not parsed.is_add() else f"/{key}": value})
        else:
            OmegaConf.update(values, key, value, force_add=True)
    plain: Any = OmegaConf.to_container(values)
    return sorted(defaults, key=lambda entry: isinstance(entry, dict)), plain, not_stored  # Hydra wants overrides last
