"""Options of the commands that are not configured by Hydra: ``KEY=VALUE``, as in ``run=latest split=test``."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from ..errors import Refused

REQUIRED = "???"


class Option(NamedTuple):
    """A key, its default (``REQUIRED``: it must be given), and a check that returns a sentence or None."""

    default: str | None
    help: str
    check: Callable[[str], str | None] = lambda value: None


def one_of(*values: str) -> Callable[[str], str | None]:
    return lambda value: None if value in values else f"must be {' or '.join(values)}"


def parsed(arguments: Sequence[str], options: dict[str, Option]) -> dict[str, str | None]:
    """The value of every option. Raises: Refused: every mistake, a sentence each."""
    values: dict[str, str | None] = {key: option.default for key, option in options.items()}
    mistakes = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        required = next((name for name, known in values.items() if known == REQUIRED), None)
        if not equals and required and not argument.startswith("-"):
            values[required] = None
            mistakes.append(f"{argument}: type {required}={argument}")
            continue
        if not equals or key not in options:
            near = get_close_matches(key, options, n=1)
            hint = f"; did you mean {near[0]}=?" if near else f"; the keys are {', '.join(options)}"
            mistakes.append(f"{argument}: " + ("there is no key " + key if equals else "type KEY=VALUE") + hint)
            continue
        values[key] = value.strip("'\"")
        if problem := options[key].check(value.strip("'\"")):
            mistakes.append(f"{key} {problem}, got {value or 'nothing'}")
    mistakes += [f"{key} must be given: {key}=..." for key, value in values.items() if value == REQUIRED]
    if mistakes:
        raise Refused(mistakes)
    return values


def help_of(command: str, summary: str, options: dict[str, Option], notes: str) -> str:
    usage = " ".join(key + "=..." if option.default == REQUIRED else f"[{key}=...]" for key, option in options.items())
    width = max(map(len, options))
    lines = [f"  {key:{width}}  {option.help}" for key, option in options.items()]
    return "\n".join([f"trainwell {command} {usage}", "", summary, "", *lines, "", notes])
