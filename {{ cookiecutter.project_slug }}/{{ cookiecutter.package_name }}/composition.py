"""Configurations as Hydra composes them, and its complaints in plain words."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from shutil import get_terminal_size
from string import Template
from textwrap import fill
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from . import check

CONFIGS = Path(__file__).parent.parent / "configs"
COMPLAINTS = (HydraException, OmegaConfBaseException)


@contextmanager
def hydra_here() -> Iterator[None]:
    """Let Hydra compose from ``configs/``, also where no command has begun to."""
    if GlobalHydra.instance().is_initialized():
        yield
    else:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            yield


def composed(config_name: str, overrides: Sequence[str]) -> DictConfig:
    """The configuration with Hydra's own part in it."""
    return compose(config_name, overrides=list(overrides), return_hydra_config=True)


def help_text(config_name: str) -> str:
    """The help that a command's YAML holds, with the words of each group; Hydra takes twice as long to fill it in."""
    with hydra_here():
        template = composed(config_name, []).hydra.help.template
        loader = GlobalHydra.instance().config_loader()
        groups = [group for group in loader.list_groups("") if group != "hydra"]
        words = {group: ", ".join(loader.get_group_options(group, ObjectType.CONFIG)) for group in groups}
    width = get_terminal_size().columns
    lines = [fill(f"{group}: {listed}", width, subsequent_indent="  ") for group, listed in words.items()]
    return Template(template).safe_substitute(APP_CONFIG_GROUPS="\n".join(lines) + "\n")


def jobs(config_name: str, overrides: Sequence[str]) -> list[list[str]]:
    """What each job of a sweep is told: one list of overrides for every combination, a ``sweep`` file's among them."""
    chosen = [override for override in overrides if key_of(override) == "sweep"]
    swept = composed(config_name, chosen).hydra.sweeper.params or {}
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    (batch,) = BasicSweeper.split_arguments(
        parser.parse_overrides([*(f"{key}={value}" for key, value in swept.items()), *overrides]), max_batch_size=None
    )
    return batch


def mistakes(config_name: str, config: DictConfig, hydra: Any) -> list[str]:
    """Every mistake in a configuration that could be composed."""
    words = chosen_words(hydra)
    written = as_written(config_name, **words) if hydra.overrides.task else config  # nothing typed: the files alone
    return check.mistakes(config, written, typed_groups(config_name, hydra, words))


@cache  # the jobs of a sweep mostly choose the same words
def as_written(config_name: str, **words: str) -> DictConfig:
    """What the files alone make of the groups' words."""
    return compose(config_name, overrides=[f"{group}={word}" for group, word in words.items()])


@cache
def usual_words(config_name: str) -> dict[str, str]:
    return chosen_words(composed(config_name, []).hydra)


def chosen_words(hydra: Any) -> dict[str, str]:
    return {
        group: word
        for group, word in hydra.runtime.choices.items()
        if "/" not in group and group not in ("hydra", "experiment", "sweep") and word is not None
    }


def typed_groups(config_name: str, hydra: Any, words: dict[str, str]) -> dict[str, str]:
    """The groups that an override or an experiment has changed, each with what did it."""
    usual = usual_words(config_name) if "experiment" in hydra.runtime.choices else words
    changed = {group: f"{group}={word}" for group, word in words.items() if word != usual.get(group)}
    for override in hydra.overrides.task:
        group = key_of(override).partition(".")[0]
        changed[group] = f"{changed[group]} and {override}" if group in changed else override
    return changed


def explain(config_name: str, overrides: Sequence[str]) -> list[str]:
    """Every mistake in a command line that Hydra refuses, a sentence each."""
    accepted: list[str] = []
    found: list[str] = []
    groups_first = sorted(overrides, key=lambda override: "." in key_of(override))  # they bring the keys
    for override in groups_first:
        try:
            composed(config_name, [*accepted, override])
        except COMPLAINTS as complaint:
            found.append(sentence(config_name, override, accepted, complaint))
        else:
            accepted.append(override)
    config = composed(config_name, accepted)
    hydra = config.hydra
    return found + mistakes(config_name, without_hydra(config), hydra)


def without_hydra(config: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def sentence(config_name: str, override: str, accepted: Sequence[str], complaint: Exception) -> str:
    """Say of one override why it is refused and what may have been meant."""
    key, value = key_of(override), override.partition("=")[2]
    loader = GlobalHydra.instance().config_loader()
    words = loader.get_group_options(key, results_filter=ObjectType.CONFIG)
    unknown = [word for word in value.strip("[]").split(",") if word not in words]
    if words and unknown:
        return f"{override}: {key} is one of {', '.join(words)}{did_you_mean(unknown[0], words, f'{key}=')}"
    if key == "experiment" and not override.startswith("+"):
        return f"{override}: an experiment is added to the configuration; type +{override}"
    if "Could not override" in str(complaint):
        keys = [name for name, _ in check.leaves(without_hydra(composed(config_name, accepted)))]
        return f"{override}: there is no key {key}{did_you_mean(key, [*keys, *loader.list_groups('')])}"
    if "Error parsing" in str(complaint):
        return f"{override}: type KEY=VALUE, such as dropout.rate=0.2; other signs are quoted twice: 'KEY=\"a=b, c\"'"
    return f"{override}: {str(complaint).splitlines()[0]}"


def did_you_mean(wrong: str, right: Sequence[str], before: str = "") -> str:
    near = get_close_matches(wrong, right, n=1)
    return f"; did you mean {before}{near[0]}?" if near else ""


def key_of(override: str) -> str:
    return override.lstrip("+~").partition("=")[0].partition("@")[0]
