"""The notebook that is shipped, cell by cell."""

import json
from pathlib import Path

from tests.conftest import PROJECT


def test_every_cell_of_the_notebook_runs(trained: Path) -> None:
    notebook = json.loads((PROJECT / "look_at_a_run.ipynb").read_text("utf-8"))
    names: dict[str, object] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "look_at_a_run.ipynb", "exec"), names)
            assert cell["outputs"] == []  # a notebook is committed without what it printed
    assert 0 < names["accuracy"] <= 1
