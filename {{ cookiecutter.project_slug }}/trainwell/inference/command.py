"""What the commands about one run share: the option ``run``, and the rule for ``output``."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..config.options import REQUIRED, Option, help_of, parsed
from ..errors import Refused
from ..runs.folder import find

RUN = Option(REQUIRED, "a run folder, the short id at its end, latest, or its W&B path")


def check_output(value: str, suffix: str = "") -> str | None:
    path = Path(value)
    if not path.name.endswith(suffix):
        return f"must end in {suffix}"
    return None if path.parent.is_dir() and not path.is_dir() else "must be a file in a folder that exists"


def run_command(arguments: Sequence[str], carry_out: Callable[..., Any], options: dict[str, Option], *help: str) -> int:
    """Call ``carry_out`` with the folder of ``run=RUN`` and the other options; or print the help.

    Raises: Refused: an option is wrong, there is no such run, or ``carry_out`` raises a ValueError.
    """
    options = {"run": RUN, **options}
    if {"-h", "--help"} & set(arguments):
        command, summary, notes = help
        print(help_of(command, summary, options, notes))
        return 0
    values = parsed(arguments, options)
    run = str(values.pop("run"))
    try:
        folder = find(run)
    except ValueError as error:
        raise Refused([f"run={run}: {error}"]) from error
    try:
        carry_out(folder, **values)
    except ValueError as error:
        raise Refused(str(error).splitlines()) from error
    return 0
