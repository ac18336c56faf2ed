"""Measure how fast a project trains beside a bare PyTorch loop, the usual template and scikit-learn, and how long its
commands take; write ``docs/speed.md`` and its figure:

    python -m benchmarks.speed

Let nothing else run. Numbers of two contestants are the median of their ratios, round by round, with the middle half of
them. What has been measured of the same code is kept in ``build/bench/``.
"""

import shutil
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from ..project import TEMPLATE, Project, kept
from . import startup
from .page import write_page
from .race import race, race_to_accuracy
from .settings import races


def main() -> None:
    project = Project(TEMPLATE / "build" / "bench")

    def measured(name: str, measure: Callable[..., Any], *arguments: Any) -> Any:
        """What ``measure`` finds in a new folder, or has found before with the same code."""
        path = project.folder / "bench" / name / "result.json"
        if not path.exists():
            shutil.rmtree(path.parent, ignore_errors=True)
            path.parent.mkdir(parents=True)
        return kept(path, lambda: measure(*arguments, project, path.parent))

    settings = tqdm(races("races") + races("against_itself"), unit="race")
    found = {setting: measured(setting.folder, race, setting) for setting in settings}
    curves = {data: measured(data, race_to_accuracy, data) for data in ("mnist1d", "digits")}
    write_page(TEMPLATE / "docs" / "speed.md", found, curves, measured("waits", startup.measure))


if __name__ == "__main__":
    main()
