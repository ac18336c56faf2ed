"""The race of the project as shipped against itself without diagnostics."""

from pathlib import Path

import pytest
import speed
import speed_page
from runs import Project
from tqdm import tqdm


def test_both_take_part_and_only_one_has_diagnostics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "ROUNDS", 3)
    monkeypatch.setattr(speed, "WARM_UP", 0)
    setting = speed.Setting("tiny", 16, ("network.width=8", "residual.depth=1"), steps=50, against=("undiagnosed",))
    found = speed.race(setting, Project(tmp_path), tqdm(disable=True), tmp_path)
    assert {name: len(turns) for name, turns in found["seconds"].items()} == {"project": 3, "undiagnosed": 3}
    logged = [path.read_text() for path in tmp_path.glob("runs/train/*/metrics.csv")]
    assert sorted("diagnostics/gradient_norm" in text for text in logged) == [False, True]


def test_the_cost_is_told_in_pairs() -> None:
    setting = speed.Setting("small", 64)
    found = {"seconds": {"project": [2.0, 1.01, 3.03], "undiagnosed": [1.0, 1.0, 3.0]}}
    assert list(speed_page.cost_lines([(setting, found)]))[-1].startswith("| small | 64 | 1.010 (1.010 to ")
