"""Diagnostics of whole runs: they change nothing, and what they find is told once."""

import json
import logging
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from your_package.consultation import applicable
from your_package.findings import Finding
from your_package.metrics_file import rows_of
from your_package.pictures import draw
from your_package.remedies import treated

from tests.test_tracking import read_back
from tests.test_train import SHORT, fingerprint, only_run
from train import train

Compose = Callable[..., DictConfig]
SICK = ("activation=sigmoid", "residual=none", "initialisation=torch_default")


def examined_alike(told: str) -> list[str]:
    """The remedies that ``doctor.py`` has against vanishing gradients in what a message names."""
    overrides = shlex.split(told.partition("doctor.py ")[2])
    (finding,) = treated([Finding("vanishing_gradient", "error", "", "")])
    remedies = applicable(finding, overrides).remedies
    assert len(remedies) > 2
    return list(remedies)


def test_training_gives_the_same_weights_bit_for_bit_with_and_without(
    compose: Compose, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prints, metrics = [], []
    for number, chosen in enumerate((["~callbacks.diagnostics"], ["callbacks.diagnostics.every_n_steps=1"])):
        (empty_folder / str(number)).mkdir()
        monkeypatch.chdir(empty_folder / str(number))
        train(compose(*SHORT, "dropout.rate=0.3", "normalisation=batch", *chosen))
        run = only_run(Path.cwd())
        prints.append(fingerprint(run))
        metrics.append([row for row in rows_of(run / "metrics.csv") if "val/loss" in row])
    assert prints[0] == prints[1]
    assert metrics[0] == metrics[1]


@pytest.mark.slow
def test_a_finding_is_told_once_and_stands_in_the_summary(
    compose: Compose, empty_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    train(compose(*SHORT, *SICK, "residual.depth=8", "dropout=none", "callbacks.diagnostics.every_n_steps=5"))
    run = only_run(empty_folder)
    (finding,) = json.loads((run / "summary.json").read_text())["findings"]
    assert finding["code"] == "vanishing_gradient"
    assert caplog.text.count("found: vanishing_gradient at layers.0.branch.inner") == 1
    (told,) = [line for line in caplog.messages if line.startswith("found: ")]
    assert told.partition(". See ")[2].startswith("python doctor.py ")
    assert told.endswith("residual.depth=8 dropout=none callbacks.diagnostics.every_n_steps=5")
    assert finding["remedies"] == examined_alike(told)
    logged = {name for row in rows_of(run / "metrics.csv") for name in row}
    assert {"diagnostics/gradient_norm/layers.0.branch.inner", "diagnostics/dead_units/head"} <= logged
    assert "diagnostics/dead_units_on_validation/head" in logged
    assert {"gradient_flow.png", "diagnostics.png"} <= {path.name for path in run.iterdir()}


@pytest.mark.slow
def test_wandb_is_shown_histograms_and_the_worst_rows(
    compose: Compose, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    train(compose(*SHORT, "logger=wandb", "callbacks.diagnostics.every_n_steps=5"))
    (folder,) = empty_folder.glob("wandb/offline-run-*")
    shown = read_back(folder)["summary"]
    assert shown["weights/head"]["_type"] == "histogram"
    assert shown["gradient_flow"]["count"] == 1
    assert shown["worst predictions"]["_type"] == "table-file"
    assert shown["worst predictions"]["nrows"] == 8


def test_a_healthy_run_has_no_finding(compose: Compose, empty_folder: Path) -> None:
    train(compose(*SHORT))
    assert json.loads((only_run(empty_folder) / "summary.json").read_text())["findings"] == []


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "order"), [("0.0", ["b", "a"]), ("nan", []), ("inf", [])])  # []: a compiled network
def test_pictures_are_drawn_of_whatever_was_measured(norm: str, order: list[str], empty_folder: Path) -> None:
    names = [f"diagnostics/{what}/{layer}" for what in ("gradient_norm", "update_ratio") for layer in "ab"]
    lines = [",".join(["epoch", "step", *names]), *(",".join(["0", str(step), *[norm] * 4]) for step in range(10))]
    Path("metrics.csv").write_text("".join(f"{line}\n" for line in lines))
    assert [path.name for path in draw(Path(), order)] == ["gradient_flow.png", "diagnostics.png"]
