"""Configurations as Hydra composes them, and its errors in plain sentences."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from shutil import get_terminal_size
from string import Template
from textwrap import fill
from typing import Any

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

import __main__

from ..errors import Refused
from ..lightning_internals import hydra_initialized, jobs_of_the_basic_sweeper
from . import validate

COMPLAINTS = (HydraException, OmegaConfBaseException, YAMLError)
NOT_TECHNIQUES = ("hydra", "experiment", "sweep", "search")  # groups whose files set keys of others


def project_root() -> Path:
    """The nearest folder from here upwards that has ``configs/train.yaml``, else the folder of train.py."""
    here = Path.cwd()
    main = getattr(__main__, "__file__", None)
    places = [here, *here.parents, *([Path(main).resolve().parent] if main else [])]
    return next((place for place in places if (place / "configs" / "train.yaml").is_file()), here)


@contextmanager
def hydra_here(config_dir: str | None = None, config_path: str | None = None) -> Iterator[None]:
    """Let Hydra compose where no command has started it: from ``configs/`` or ``config_path``, and ``config_dir``."""
    if GlobalHydra.instance().is_initialized():
        yield
        return
    configs = os.path.abspath(config_path or project_root() / "configs")
    with hydra_initialized(configs, config_dir and os.path.abspath(config_dir)):
        yield


def hydra_config() -> Any:
    """Hydra's own configuration of the job that runs; None where it was composed in Python."""
    return HydraConfig.get() if HydraConfig.initialized() else None


def composed(config_name: str, overrides: Sequence[str]) -> DictConfig:
    """The configuration, with Hydra's own part."""
    return compose(config_name, overrides=list(overrides), return_hydra_config=True)


@cache  # composing takes about as long as importing Hydra
def composed_once(config_name: str, *overrides: str) -> DictConfig:
    """As ``composed``, for reading only."""
    return composed(config_name, overrides)


def help_text(config_name: str) -> str:
    """The help text of a configuration, with the options of each group."""
    with hydra_here():
        template = composed(config_name, []).hydra.help.template
        loader = GlobalHydra.instance().config_loader()
        groups = {
            group: ", ".join(options)
            for group in loader.list_groups("")
            if group != "hydra" and (options := options_of(group))
        }
    width = get_terminal_size().columns
    lines = [fill(f"{group}: {options}", width, subsequent_indent="  ") for group, options in groups.items()]
    return Template(template).safe_substitute(APP_CONFIG_GROUPS="\n".join(lines) + "\n")


def options_of(group: str) -> list[str]:
    """The options of a group, and of the folders in it, such as gallery/ in experiment/."""
    loader = GlobalHydra.instance().config_loader()
    return [
        f"{folder}{option}"
        for folder in ("", *(f"{folder}/" for folder in loader.list_groups(group)))
        for option in loader.get_group_options(f"{group}/{folder}".rstrip("/"), ObjectType.CONFIG)
    ]


def jobs(config_name: str, overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of each job of a sweep: one list for every combination, those of a ``sweep`` file included.

    A sweeper that chooses values as it goes cannot list its jobs: then one list, of all that is not swept.
    """
    chosen = [override for override in overrides if key_of(override).partition("/")[0] in ("sweep", "hydra")]
    sweeper = composed(config_name, chosen).hydra.sweeper
    swept = [f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()]
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    if not sweeper._target_.endswith(".BasicSweeper"):
        parsed = parser.parse_overrides(list(overrides))
        return [[str(override.input_line) for override in parsed if not override.is_sweep_override()]]
    return jobs_of_the_basic_sweeper(parser.parse_overrides([*swept, *overrides]))


def checked(config_name: str, overrides: Sequence[str]) -> DictConfig:
    """The configuration, with Hydra's own part. Raises: Refused: there are mistakes in it."""
    try:
        config = composed(config_name, overrides)
    except COMPLAINTS as complaint:
        raise Refused(explain(config_name, overrides, complaint)) from complaint
    if found := mistakes(config_name, without_hydra(config), config.hydra):
        raise Refused(found)
    return config


def mistakes(config_name: str, config: DictConfig, hydra: Any) -> list[str]:
    """Every mistake in a configuration that could be composed, a sentence each."""
    groups = default_options(config_name)
    if removed := [group for group in groups if not isinstance(OmegaConf.select(config, group), DictConfig)]:
        return [cannot_be_left_out(group) for group in removed]
    try:
        OmegaConf.to_container(config, resolve=True)
    except InterpolationKeyError as error:
        return [f"{error.full_key}: {first_line(error)}"]
    if config_name == "train" and "search" in hydra.runtime.choices and "search" in config:
        return [f"a search is for another command; type trainwell tune +search={hydra.runtime.choices['search']}"]
    choices = chosen_options(hydra.runtime.choices, NOT_TECHNIQUES)
    written = as_written(config_name, **choices) if hydra.overrides.task else config  # nothing typed: the files alone
    folders = [Path(source.path) for source in hydra.runtime.config_sources if source.schema == "file"]
    changed = changed_groups(config_name, hydra, choices)
    found = validate.mistakes(config, written, changed, choices, folders)
    known = {group: typed for group, typed in changed.items() if group in groups}  # others may be read by own code
    return [*found, *validate.unread_groups(config, choices, known)]


def cannot_be_left_out(group: str) -> str:
    hints = {"callbacks": "remove one with ~callbacks.NAME", "logger": "type logger=none"}
    return f"{group} cannot be left out or null; {hints.get(group, f'choose an option of {group}')}"


@cache  # the jobs of a sweep mostly choose the same options
def as_written(config_name: str, **choices: str) -> DictConfig:
    """What the files alone make of the groups' options."""
    known = default_options(config_name)
    if choices == known:
        return without_hydra(composed_once(config_name))
    overrides = [f"{'' if group in known else '+'}{group}={option}" for group, option in choices.items()]
    return compose(config_name, overrides=overrides)


@cache
def default_options(config_name: str, *overrides: str) -> dict[str, str]:
    return chosen_options(composed_once(config_name, *overrides).hydra.runtime.choices, NOT_TECHNIQUES)


def chosen_options(choices: Mapping[str, str | None], without: Sequence[str] = ("hydra",)) -> dict[str, str]:
    """The option of each group; a list of options, as ``logger`` may have, is left as Hydra writes it."""
    return {
        group: option
        for group, option in choices.items()
        if "/" not in group and group not in without and option is not None
    }


def changed_groups(config_name: str, hydra: Any, choices: dict[str, str]) -> dict[str, str]:
    """The groups that an override or an experiment has changed, each with what changed it."""
    default = default_options(config_name)
    usual = default if "experiment" in hydra.runtime.choices else choices
    another = "task" in choices and choices["task"] != default.get("task")
    brought = default_options(config_name, f"task={choices['task']}") if another else default  # such as its loss
    changed = {
        group: f"{group}={option}"
        for group, option in choices.items()
        if option != usual.get(group) and (group == "task" or option != brought.get(group))
    }
    for override in hydra.overrides.task:
        group = key_of(override).partition(".")[0]
        changed[group] = f"{changed[group]} and {override}" if group in changed else override
    return changed


def explain(config_name: str, overrides: Sequence[str], complaint: Exception) -> list[str]:
    """Every mistake in a command line that Hydra refuses, a sentence each; ``complaint`` if no other is found."""
    if error := complaint_about(config_name, []):
        return [first_line(error)]
    groups_first = sorted(overrides, key=lambda override: "." in key_of(override))  # they bring the keys
    doubtful = [override for override in groups_first if wrong_option(override)]
    accepted = [override for override in groups_first if override not in doubtful]
    if not doubtful or complaint_about(config_name, accepted):
        doubtful, accepted = groups_first, []
    found: list[str] = []
    for override in doubtful:
        alone = len(overrides) == 1  # then Hydra has composed just that
        refusal = complaint if alone else complaint_about(config_name, [*accepted, override])
        if refusal is None:
            accepted.append(override)
        else:
            found.append(sentence(config_name, override, accepted, refusal))
    if accepted:
        config = composed_once(config_name, *accepted)
        found += mistakes(config_name, without_hydra(config), config.hydra)
    return found or [first_line(complaint)]


def complaint_about(config_name: str, overrides: Sequence[str]) -> Exception | None:
    try:
        composed_once(config_name, *overrides)
    except COMPLAINTS as complaint:
        return complaint
    return None


def without_hydra(config: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def sentence(config_name: str, override: str, accepted: Sequence[str], complaint: Exception) -> str:
    """Say of one override why it is refused and what may have been meant."""
    if wrong := wrong_option(override):
        return wrong
    key = key_of(override)
    if not key or not ("=" in override or override.startswith("~")):
        return f"{override}: type KEY=VALUE, without blanks, such as dropout.rate=0.2"
    if key == "experiment" and not override.startswith("+"):
        return f"{override}: an experiment is added to the configuration; type +{override}"
    if "Could not override" in str(complaint):
        leaves = validate.leaves(without_hydra(composed_once(config_name, *accepted)))
        if others := options_with(key):
            return f"{override}: there is no key {key} here; it belongs to {', '.join(others)}"
        keys = [name for name, _ in leaves if not name.rpartition(".")[2].startswith("_")]
        groups = GlobalHydra.instance().config_loader().list_groups("")
        return f"{override}: there is no key {key}{validate.did_you_mean(key, [*keys, *groups])}"
    if "An item is already at" in str(complaint):
        return f"{override}: there is such a key already; type {override.lstrip('+')}"
    if "Ambiguous value" in str(complaint):
        return f"{override}: several values are several runs; type -m before them"
    if "Error parsing" in str(complaint):
        return f"{override}: type KEY=VALUE, such as dropout.rate=0.2; quote other characters twice: 'KEY=\"a=b, c\"'"
    return f"{override}: {first_line(complaint)}"


def first_line(complaint: Exception) -> str:
    """The first line of an error; for invalid YAML the file, the line and the problem."""
    if isinstance(complaint, MarkedYAMLError) and complaint.problem_mark:
        mark = complaint.problem_mark
        return f"{os.path.relpath(mark.name)}, line {mark.line + 1}: invalid YAML: {complaint.problem}"
    first, *others = str(complaint).splitlines()
    return f"{first} {others[0].strip()}" if others and first.endswith(":") else first


def wrong_option(override: str) -> str | None:
    """What is wrong with the option of a group, as far as the names of files tell: Hydra may know better."""
    key, value = key_of(override), override.partition("=")[2]
    options = options_of(key) if key and "." not in key else []  # no group has a dot in its name
    unknown = [option for option in value.strip("[]").split(",") if option not in options]
    if options and override.startswith("~"):
        return f"{override}: {key} cannot be left out; it is one of {', '.join(options)}"
    if options and unknown and value != "null":
        typed = f"{override.partition('=')[0]}="
        return f"{override}: {key} is one of {', '.join(options)}{validate.did_you_mean(unknown[0], options, typed)}"
    return None


def options_with(key: str) -> list[str]:
    """The options of a group that have a key, such as ``data.path``."""
    group, *names = key.split(".")
    files = sorted((project_root() / "configs" / group).glob("*.yaml")) if group and names else []
    return [f"{group}={file.stem}" for file in files if names[0] in map(str, OmegaConf.load(file))]


def key_of(override: str) -> str:
    """The key of ``+key=value``, ``~key`` and ``group@package=option``."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0]
