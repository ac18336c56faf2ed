"""Constraints that an option's YAML file declares on its keys, in the comments at its head.

``# Range: rate in [0, 1)`` is about one key of the file: an interval, a set such as ``{norm, value}``, ``is odd``,
``is a file`` or ``is a folder``. ``# Conflict: trainer.precision == 16-mixed, optimizer.fused == true: SENTENCE`` is
about several keys in full: SENTENCE is printed where all conditions hold. ``GROUP changed`` holds where the command
line or an experiment has changed a group or key, ``KEY raised`` where a resumed run gets a larger value. No condition
about the value of a key holds where there is no such key.
"""

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

INTERVAL = re.compile(r"([\w.]+) in ([\[(])(\S+), (\S+)([\])])")
CHOICE = re.compile(r"([\w.]+) in \{(.+)\}")
KIND = re.compile(r"([\w.]+) is (odd|a file|a folder)")
CONDITION = re.compile(r"([\w.]+) (==|!=|>|>=|<|<=|changed|raised)(?: (\S+))?")
ABSENT = object()
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


class Rule(NamedTuple):
    """What a value must be, in words and as a test."""

    words: str
    holds: Callable[[Any], bool]


def head_lines(name: str, files: Sequence[Path]) -> Iterator[str]:
    for path in files:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith(f"# {name}: "):
                yield line.removeprefix(f"# {name}: ").strip()


def option_files(configs: Sequence[Path], group: str, choice: str) -> list[Path]:
    """The files of a group's options, and the ``default`` that they are based on."""
    options = dict.fromkeys(["default", *choice.strip("[]").replace(" ", "").split(",")])
    paths = [folder / group / f"{option}.yaml" for folder in configs for option in options]
    return [path for path in paths if path.is_file()]


def ranges(configs: Sequence[Path], choices: Mapping[str, str]) -> dict[str, Rule]:
    """The rule of each key, named in full, that the chosen options declare."""
    wiring = [folder / "train.yaml" for folder in configs if (folder / "train.yaml").is_file()]
    rules = dict(map(parsed, head_lines("Range", wiring)))
    for group, choice in choices.items():
        declared = map(parsed, head_lines("Range", option_files(configs, group, choice)))
        rules |= {f"{group}.{key}": rule for key, rule in declared}
    return rules


def parsed(line: str) -> tuple[str, Rule]:
    if found := INTERVAL.fullmatch(line):
        key, opening, low, high, closing = found.groups()
        return key, interval(opening, float(low), float(high), closing, f"in {line.partition(' in ')[2]}")
    if found := CHOICE.fullmatch(line):
        allowed = [value.strip() for value in found[2].split(",")]
        return found[1], Rule(" or ".join(allowed), lambda value: as_typed(value) in allowed)
    if found := KIND.fullmatch(line):
        kinds = {
            "odd": Rule("1, 3, 5 or another odd number", lambda value: value > 0 and value % 2 == 1),
            "a file": Rule("a file that exists", lambda value: Path(value).is_file()),
            "a folder": Rule("a folder that exists", lambda value: Path(value).is_dir()),
        }
        return found[1], kinds[found[2]]
    raise ValueError(f"# Range: {line} cannot be read; write KEY in [a, b), KEY in {{a, b}}, KEY is odd or is a file")


def as_typed(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def interval(opening: str, low: float, high: float, closing: str, words: str) -> Rule:
    above, below = (operator.ge if opening == "[" else operator.gt), (operator.le if closing == "]" else operator.lt)
    if high == float("inf"):
        words = f"{low:g} or more" if opening == "[" else f"above {low:g}"
    return Rule(words, lambda value: isinstance(value, int | float) and above(value, low) and below(value, high))


def conflicts(
    config: DictConfig,
    configs: Sequence[Path],
    choices: Mapping[str, str],
    changed: Mapping[str, str],
    raised: Sequence[str] = (),
) -> Iterator[str]:
    """The sentences of all conflicts that the chosen options declare and the configuration has."""
    for group, choice in choices.items():
        for line in head_lines("Conflict", option_files(configs, group, choice)):
            conditions, _, sentence = line.partition(": ")
            if all(holds(condition, config, changed, raised) for condition in conditions.split(", ")):
                for name in re.findall(r"<([\w.]+)>", sentence):
                    value = changed.get(name) or OmegaConf.select(config, name)
                    sentence = sentence.replace(f"<{name}>", str(value))
                yield sentence


def holds(condition: str, config: DictConfig, changed: Mapping[str, str], raised: Sequence[str]) -> bool:
    found = CONDITION.fullmatch(condition)
    assert found, f"# Conflict: {condition} cannot be read"
    key, comparison, wanted = found.groups()
    if comparison == "raised":
        return key in raised
    if comparison == "changed":
        group = key.partition(".")[0]
        return group in changed and (key == group or re.search(rf"\b{re.escape(key)}\b", changed[group]) is not None)
    value = OmegaConf.select(config, key, default=ABSENT, throw_on_missing=False)
    if value is ABSENT:
        return False
    if comparison in ("==", "!="):
        return OPERATORS[comparison](str(value).lower(), wanted.lower())
    return isinstance(value, int | float) and OPERATORS[comparison](value, float(wanted))
