"""Read the configuration in a run folder. The folder may come from somebody else, so that it is data, never code."""

from pathlib import Path
from typing import Any, NamedTuple

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .targets import project_root, refuse_foreign_targets

LARGEST = 2**20  # bytes; a configuration has about 5,000
DEEPEST = 100  # levels
LONGEST = 10_000  # characters of one value: YAML 1.1 reads 1:1:1:... as a number, in quadratic time
Events = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Invocation(NamedTuple):
    """How a run was started: its overrides, and the option of each config group."""

    overrides: list[str]
    choices: dict[str, str | None]


def read_config(folder: Path) -> DictConfig:
    """The resolved configuration of a run, all of which may be instantiated.

    Raises: ValueError: as ``read_values``, or it names a function or class that is neither the project's nor listed.
    """
    config = read_values(folder)
    refuse_foreign_targets(OmegaConf.to_container(config, resolve=False), project_root(folder), folder)
    return config


def read_values(folder: Path) -> DictConfig:
    """The same without a check of the targets, which imports them: to read values, not to instantiate.

    Raises: ValueError: ``config.yaml`` is missing, malformed or too large, or contains an interpolation such as
        ``${oc.env:HOME}``.
    """
    return parsed(folder / "config.yaml")


def read_invocation(folder: Path) -> Invocation:
    """What ``.hydra/hydra.yaml`` records of a run's command.

    Raises: ValueError: it is missing, malformed or too large, or contains an interpolation in what is read.
    """
    path = folder / ".hydra" / "hydra.yaml"
    plain: Any = OmegaConf.to_container(parsed(path, allow_interpolations=True), resolve=False)
    try:
        overrides, choices = plain["hydra"]["overrides"]["task"], plain["hydra"]["runtime"]["choices"]
        found = Invocation([str(override) for override in overrides], dict(choices))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not say how the run was started") from error
    if "${" in str(found):
        raise ValueError(f"{path} must not contain interpolations such as ${{...}} in what was typed")
    return found


def read_text(path: Path) -> str:
    """The text of a small regular file.

    Raises: ValueError: it is missing, too large, not UTF-8 or, like a pipe, endless.
    """
    try:
        if not path.is_file():
            raise ValueError(f"{path} is missing or not a regular file")
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > LARGEST:
        raise ValueError(f"{path} must not be larger than {LARGEST:,} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be UTF-8") from error


def read_yaml(path: Path, *, allow_interpolations: bool = False) -> str:
    """The text of a YAML file, after a pass over its events, which cost no memory however hostile they are.

    Raises: ValueError, yaml.YAMLError: it is malformed, or would take long to load.
    """
    text, depth = read_text(path), 0
    for event in yaml.parse(text, Events):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"{path} must not be nested deeper than {DEEPEST} levels")
        if isinstance(event, yaml.AliasEvent):  # their expansion can be exponential
            raise ValueError(f"{path} must not contain YAML aliases")
        if isinstance(event, yaml.ScalarEvent):
            if len(event.value) > LONGEST:
                raise ValueError(f"{path} must not contain values longer than {LONGEST:,} characters")
            if "${" in event.value and not allow_interpolations:
                raise ValueError(f"{path} must not contain interpolations such as ${{...}}, it is stored resolved")
    return text


def parsed(path: Path, *, allow_interpolations: bool = False) -> DictConfig:
    try:
        config = OmegaConf.create(read_yaml(path, allow_interpolations=allow_interpolations))
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise ValueError(f"{path} is not a valid configuration: {str(error).partition(chr(10))[0]:.100}") from error
    if not isinstance(config, DictConfig) or not config:
        raise ValueError(f"{path} must contain a mapping")
    return config
