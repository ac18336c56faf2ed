"""The notebook of a project: every cell runs, and it opens with its plots."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_every_cell_of_the_notebook_runs(trained_project: Path) -> None:
    notebook = json.loads((trained_project / "explore_a_run.ipynb").read_text("utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    program = "\n".join("".join(cell["source"]) for cell in cells) + "\nassert 0.1 < accuracy <= 1\n"
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=trained_project, text=True, capture_output=True
    )
    assert not ended.returncode, ended.stderr
    outputs = [output.get("data", {}) for cell in cells for output in cell["outputs"]]
    assert sum("image/png" in data for data in outputs) == 3
    assert "1 run in 1 group" in ended.stdout  # compare
    assert re.search(r"^healthy$|^  evidence ", ended.stdout, re.MULTILINE)  # the doctor
