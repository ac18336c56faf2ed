"""Commands of this environment, and answers for cookiecutter."""

import subprocess
import sys
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).parents[1]


def run(tool: str, *arguments: str | bytes | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command of this environment."""
    command = [Path(sys.executable).with_name(tool), *arguments]
    return subprocess.run(command, text=True, capture_output=True, **options)


def exactly(answer: str) -> str:
    """An answer that is still ``answer`` after cookiecutter has rendered it, as it does with all that is not typed."""
    return f"{{{{ {answer!a} }}}}"
