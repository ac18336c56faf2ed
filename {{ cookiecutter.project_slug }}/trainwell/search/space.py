"""Search spaces: which keys are searched, and over which values.

A space is a file of ``configs/search/``. Each of its lines names a key or a group as it is typed on the command line::

    optimizer.lr: {low: 3e-4, high: 3e-2, log: true}
    network.width: {low: 64, high: 512, step: 64}
    activation: [relu, gelu, tanh]
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from yaml import YAMLError

from ..config.constraints import as_typed

RANGE_KEYS = {"low": (int, float), "high": (int, float), "step": (int, float), "log": (bool,)}

Space = Mapping[str, BaseDistribution]


def read_space(path: Path) -> dict[str, Any]:
    """The lines of a search file, as plain values.

    Raises: ValueError: every line that is no list of options and no range, a sentence each.
    """
    try:
        lines: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (OmegaConfBaseException, YAMLError) as error:
        raise ValueError(f"{path} is not valid YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(lines, dict) or not lines:
        raise ValueError(f"{path} must hold lines such as  activation: [relu, gelu]")
    if faults := [f"{path}: {key} {fault}" for key, line in lines.items() for fault in faults_of(line)]:
        raise ValueError("\n".join(faults))
    return lines


def faults_of(line: Any) -> Iterator[str]:
    if isinstance(line, list):
        if len(set(map(str, line))) < 2:
            yield f"must have at least two different options, got {line}"
        elif not all(value is None or isinstance(value, str | int | float) for value in line):
            yield f"must have options that can be typed, such as relu or 0.1, got {line}"
    elif not isinstance(line, dict) or not {"low", "high"} <= set(line) <= RANGE_KEYS.keys():
        yield f"must be a list of options or {{low: ..., high: ..., log: true, step: ...}}, got {line}"
    elif not all(type(value) in RANGE_KEYS[name] for name, value in line.items()):
        yield f"must have numbers for low, high and step, and true or false for log, got {line}"
    elif not line["low"] < line["high"]:
        yield f"must have low below high, got {line['low']} and {line['high']}"
    else:
        try:
            distribution(line)
        except ValueError as error:
            yield f"must be a range that Optuna accepts: {error}"


def distributions(lines: Mapping[str, Any]) -> Space:
    """What Optuna samples from; a range of whole numbers gives whole numbers."""
    return {key: distribution(line) for key, line in lines.items()}


def distribution(line: Any) -> BaseDistribution:
    if isinstance(line, list):
        return CategoricalDistribution(line)
    whole = all(isinstance(line[name], int) for name in ("low", "high", "step") if name in line)
    return (IntDistribution if whole else FloatDistribution)(**line)


def deviations(lines: Mapping[str, Any]) -> Iterator[str]:
    """The override of every option and of both ends of every range, to be checked before the first trial."""
    for key, line in lines.items():
        for value in line if isinstance(line, list) else (line["low"], line["high"]):
            yield override(key, value)


def override(key: str, value: Any) -> str:
    """A sampled value as it is typed on the command line."""
    return f"{key}={'null' if value is None else as_typed(value)}"
