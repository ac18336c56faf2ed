"""The speed benchmark: all who take part really train, and the page tells what was measured."""

from pathlib import Path

import pytest
import speed
import speed_page
from runs import Project
from tqdm import tqdm


def test_a_race_is_run_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "ROUNDS", 3)
    monkeypatch.setattr(speed, "WARM_UP", 0)
    others = ("bare", "usual", *speed.ITSELF)
    setting = speed.Setting("tiny", 16, ("network.width=8", "residual.depth=1"), steps=4, against=others)
    found = speed.race(setting, Project(tmp_path), tqdm(disable=True), tmp_path)
    assert set(found["seconds"]) == {"project", *others}
    assert all(len(turns) == 3 and min(turns) > 0 for turns in found["seconds"].values())
    assert all(2**27 < held < 2**33 for held in found["memory"].values())
    name, batch, cores, *_ = speed_page.race_row(setting, found)
    assert (name, batch, cores) == ("tiny", "16", "1")
    logged = [path.read_text() for path in tmp_path.glob("runs/train/*/metrics.csv")]
    assert sorted("diagnostics/gradient_norm" in text for text in logged) == [False, True, True]


def test_a_ratio_is_the_median_of_the_rounds_not_of_the_turns() -> None:
    middle, low, high = speed_page.ratio([10.0, 2.0, 3.0], [20.0, 2.0, 2.0])
    assert middle == 1.0
    assert low < 1.0 < high


def test_an_accuracy_is_reached_when_most_seeds_have_reached_it() -> None:
    curves = [[(1.0, 0.5), (2.0, 0.9)], [(3.0, 0.8), (4.0, 0.9)], [(5.0, 0.5), (6.0, 0.6)]]
    assert speed_page.reached(curves, 0.5) == "3.00 s"
    assert speed_page.reached(curves, 0.9) == "4.00 s"
    assert speed_page.reached(curves, 0.95) == "not in 2 epochs"


def test_costs_are_told_in_rounds() -> None:
    setting = speed.Setting("small", 64)
    seconds = {"project": [2.0, 1.01, 3.03], "undiagnosed": [1.0, 1.0, 3.0], "mapped": [2.0, 2.02, 6.06]}
    (*_, row) = speed_page.cost_lines([(setting, {"seconds": seconds})])
    assert row.startswith("| small | 64 | 1.010 (1.010 to ")
    assert "| 2.000 (1.000 to " in row
