"""A repair is the cheapest remedy that makes a configuration healthy, and what trains better on top of it."""

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from trainwell.doctor.repair import Outcome, Score, experiment, repaired
from trainwell.findings import Finding


def test_a_more_expensive_remedy_is_kept_only_if_it_trains_better() -> None:
    accuracies = {"": 0.1, "dropout.rate=0.2": 0.7, "dropout=none": 0.8, "activation=gelu": 0.81, "activation=elu": 0.9}
    accuracies["dropout=none activation=gelu"] = 0.81
    sick = Finding("excess_dropout", "error", "head", "1", ("dropout.rate=0.2", "dropout=none", "activation=gelu"))
    next_one = Finding("dead_units", "error", "head", "1", ("activation=elu",))

    def examined(overrides: list[str]) -> tuple[list[Finding], Score]:
        typed = " ".join(overrides[:-1])  # the last is the seed
        return [] if typed else [sick, next_one], Score("accuracy", accuracies[typed])

    _, after = repaired([], examined)
    assert after.overrides == ["dropout=none"]  # not for another hundredth, nor for what is not the root cause


def test_a_healthy_configuration_gets_the_other_remedies_that_make_it_train_better() -> None:
    gains = {"initialisation=he": 0.3, "initialisation=lecun": 0.2, "residual=medium": 0.2, "dropout=none": 0.01}
    sick = Finding("vanishing_gradient", "error", "head", "1", tuple(gains))

    def examined(overrides: list[str]) -> tuple[list[Finding], Score]:
        typed = overrides[:-1]  # the last is the seed
        return [] if typed else [sick], Score("accuracy", 0.1 + sum(gains[override] for override in typed))

    before, after = repaired([], examined)
    assert before.score.value == 0.1
    assert after.overrides == ["initialisation=he", "residual=medium"]


@pytest.mark.parametrize(("best", "kept"), [(0.002, "0.002"), (0.01, "0.006"), (0.1, "0.06")])
def test_a_healthy_learning_rate_is_raised_for_as_long_as_that_helps(best: float, kept: str) -> None:
    """The accuracy falls by a quarter for every factor of ten between the rate and the best one."""

    def examined(overrides: list[str]) -> tuple[list[Finding], Score]:
        rate = float(overrides[0].partition("=")[2])
        slow = Finding("learning_rate_too_low", "error", "whole network", "1", ("optimizer.lr=0.002",))
        return [slow] if rate < 0.001 else [], Score("accuracy", 1 - 0.25 * abs(math.log10(rate / best)))

    before, after = repaired(["optimizer.lr=1e-6"], examined)
    assert before.overrides == ["optimizer.lr=1e-6"]
    assert after.overrides == [f"optimizer.lr={kept}"]


def test_the_experiment_file_holds_the_overrides_that_were_found(project: Path, compose: Callable[..., Any]) -> None:
    from trainwell.config.compose import hydra_here

    overrides = ["+experiment=[gallery/dead_relu,gallery/xavier]", "activation=gelu", "optimizer.lr=0.1"]
    overrides += ["network.width=16", "trainer.accelerator=cpu", "trainer.max_epochs=2", "seed=3"]
    outcome = Outcome(overrides, [], Score("accuracy", 0.5))
    with hydra_here():
        groups = GlobalHydra.instance().config_loader().list_groups("")
    text = "\n".join(experiment(outcome, outcome, "python train.py", groups)) + "\n"
    loaded = OmegaConf.create(text)
    assert loaded.defaults == ["gallery/dead_relu", "gallery/xavier", {"override /activation": "gelu"}, "_self_"]
    (project / "configs" / "experiment" / "repaired.yaml").write_text(text)
    repaired, typed = compose("+experiment=repaired"), compose(*overrides)
    for key in ("optimizer", "network", "trainer", "activation", "seed"):
        assert OmegaConf.to_container(repaired)[key] == OmegaConf.to_container(typed)[key]


@pytest.mark.slow
def test_a_sick_configuration_is_reported_written_and_repaired(
    project: Path, compose: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    from trainwell.doctor.command import examine_config

    caplog.set_level(logging.INFO)
    overrides = ["data=digits", "network.width=16", "dropout=none", "residual=shallow", "optimizer.lr=3"]
    overrides += ["trainer.accelerator=cpu", "trainer.max_epochs=11"]
    assert not examine_config(compose(*overrides), overrides, repair=True)
    (folder,) = project.glob("runs/doctor/*")
    report = json.loads((folder / "doctor.json").read_text())
    assert not report["healthy"]
    assert report["findings"][0]["code"] == "learning_rate_too_high"
    assert report["findings"][0]["remedies"][0].startswith("optimizer.lr=")
    assert "after    validation accuracy" in caplog.text
    assert OmegaConf.load(folder / "repaired.yaml").optimizer.lr < 3


@pytest.mark.slow
def test_a_repair_of_a_regression_is_judged_by_the_explained_loss(
    project: Path, compose: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    from trainwell.doctor.command import examine_config

    caplog.set_level(logging.INFO)
    x = np.random.default_rng(0).normal(size=(600, 6)).astype(np.float32)
    np.savez("sums.npz", x=x, y=x.sum(axis=1) + 50)
    overrides = ["data=arrays", "data.path=sums.npz", "task=regression", "loss=mse", "network.width=16"]
    overrides += ["residual=shallow", "dropout=none", "optimizer.lr=1e-7", "trainer.accelerator=cpu"]
    assert not examine_config(compose(*overrides), overrides, repair=True)
    assert "over 2 seeds   validation explained loss" in caplog.text
    assert "validation accuracy" not in caplog.text


def test_the_doctor_refuses_a_mistake_with_status_2(command: Callable[..., Any]) -> None:
    ended = command("doctor", "--repair", "activation=relo", trainwell=True)
    assert ended.returncode == 2
    assert "did you mean activation=relu?" in ended.stderr
