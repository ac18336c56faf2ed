"""The notebook that is shipped, cell by cell."""

import json
from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig

from tests.conftest import PROJECT
from tests.test_train import SHORT
from train import train


def test_every_cell_of_the_notebook_runs(compose: Callable[..., DictConfig], empty_folder: Path) -> None:
    train(compose(*SHORT))
    notebook = json.loads((PROJECT / "look_at_a_run.ipynb").read_text("utf-8"))
    names: dict[str, object] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "look_at_a_run.ipynb", "exec"), names)
            assert cell["outputs"] == []  # a notebook is committed without what it printed
    assert 0 < names["accuracy"] <= 1
