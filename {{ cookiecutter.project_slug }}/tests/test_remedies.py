"""Remedies come from the techniques' own files; repair finds one that helps."""

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from your_package import composition
from your_package.consultation import applicable, consult
from your_package.findings import WHY, Finding
from your_package.remedies import offers, treated
from your_package.repair import Outcome, experiment, repaired, with_remedy

from tests.conftest import PROJECT


def test_every_offer_is_against_a_code_and_can_be_typed() -> None:
    keys = ["data=arrays", "data.path=x.npz"]
    for code, remedy in offers():
        assert code in WHY, remedy
        for override in remedy.split():
            key, word = override.split("=")
            if "." in key:
                keys.append(override)
            else:
                assert (PROJECT / "configs" / key / f"{word}.yaml").is_file(), remedy
    with composition.hydra_here():
        composition.composed("train", [*dict.fromkeys(keys), "weight_decay=l2"])


def test_a_new_technique_offers_itself_by_a_line_in_its_file(tmp_path: Path) -> None:
    (tmp_path / "activation").mkdir()
    (tmp_path / "activation" / "snake.yaml").write_text("# Never dies.\n# Mends: dead_units, vanishing_gradient\n")
    assert list(offers(tmp_path)) == [("dead_units", "activation=snake"), ("vanishing_gradient", "activation=snake")]


def test_what_the_files_offer_comes_after_what_the_evidence_says() -> None:
    (finding,) = treated([Finding("dead_units", "error", "head", "1", ("optimizer.lr=0.1",))])
    assert finding.remedies[0] == "optimizer.lr=0.1"
    assert list(finding.remedies[1:]) == [remedy for code, remedy in offers() if code == "dead_units"]


@pytest.mark.slow
def test_a_remedy_that_changes_nothing_or_is_refused_is_not_offered() -> None:
    remedies = ("activation=relu", "activation=gelu", "activation=nothing")
    finding = Finding("dead_units", "error", "head", "1", remedies)
    assert applicable(finding, []).remedies == ("activation=gelu",)
    own = ["network=own", "network.factory=torch.nn.Linear"]
    assert applicable(finding, own).remedies == ()


def test_a_remedy_takes_the_place_of_what_it_contradicts() -> None:
    typed = ["+experiment=dead_relu", "activation=relu", "seed=3"]
    assert with_remedy(typed, "activation=gelu optimizer.lr=0.1") == [
        "+experiment=dead_relu", "seed=3", "activation=gelu", "optimizer.lr=0.1",
    ]  # fmt: skip
    assert with_remedy(["initialisation=normal", "initialisation.std=0"], "initialisation=he") == ["initialisation=he"]


def test_of_what_makes_it_healthy_a_dearer_remedy_is_kept_if_it_trains_better() -> None:
    accuracies = {"": 0.1, "dropout.rate=0.2": 0.7, "dropout=none": 0.8, "activation=gelu": 0.81, "activation=elu": 0.9}
    accuracies["dropout=none activation=gelu"] = 0.81
    sick = Finding("excess_dropout", "error", "head", "1", ("dropout.rate=0.2", "dropout=none", "activation=gelu"))
    next_one = Finding("dead_units", "error", "head", "1", ("activation=elu",))

    def examined(overrides: list[str]) -> tuple[list[Finding], float]:
        typed = " ".join(overrides[:-1])  # the last is the seed
        return [] if typed else [sick, next_one], accuracies[typed]

    _, after = repaired([], examined)
    assert after.overrides == ["dropout=none"]  # not for another hundredth, nor for what is not the root cause


def test_what_is_healthy_gets_the_other_remedies_that_make_it_train_better() -> None:
    gains = {"initialisation=he": 0.3, "initialisation=lecun": 0.2, "residual=medium": 0.2, "dropout=none": 0.01}
    sick = Finding("vanishing_gradient", "error", "head", "1", tuple(gains))

    def examined(overrides: list[str]) -> tuple[list[Finding], float]:
        typed = overrides[:-1]  # the last is the seed
        return [] if typed else [sick], 0.1 + sum(gains[word] for word in typed)

    before, after = repaired([], examined)
    assert before.accuracy == 0.1
    assert after.overrides == ["initialisation=he", "residual=medium"]


@pytest.mark.parametrize(("best", "kept"), [(0.002, "0.002"), (0.01, "0.006"), (0.1, "0.06")])
def test_a_healthy_learning_rate_is_raised_for_as_long_as_that_helps(best: float, kept: str) -> None:
    """The accuracy falls by a quarter for every factor of ten between the rate and the best one."""

    def examined(overrides: list[str]) -> tuple[list[Finding], float]:
        rate = float(overrides[0].partition("=")[2])
        slow = Finding("learning_rate_too_low", "error", "whole network", "1", ("optimizer.lr=0.002",))
        return [slow] if rate < 0.001 else [], 1 - 0.25 * abs(math.log10(rate / best))

    before, after = repaired(["optimizer.lr=1e-6"], examined)
    assert before.overrides == ["optimizer.lr=1e-6"]
    assert after.overrides == [f"optimizer.lr={kept}"]


def test_the_experiment_to_keep_composes_to_what_was_tried(tmp_path: Path) -> None:
    overrides = ["+experiment=[dead_relu,xavier]", "activation=gelu", "optimizer.lr=0.1", "network.width=16", "seed=3"]
    outcome = Outcome(overrides, [], 0.5)
    with composition.hydra_here():
        groups = composition.GlobalHydra.instance().config_loader().list_groups("")
        wanted = composition.without_hydra(composition.composed("train", overrides))
    text = "\n".join(experiment(outcome, outcome, "python train.py", groups))
    loaded = OmegaConf.create(text)
    assert loaded.defaults[:2] == ["dead_relu", "xavier"]
    assert {"override /activation": "gelu"} in loaded.defaults
    assert loaded.optimizer.lr == wanted.optimizer.lr
    assert loaded.network.width == 16
    assert loaded.seed == 3


@pytest.mark.slow
def test_a_sick_configuration_is_told_written_and_mended(empty_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    overrides = ["data=digits", "network.width=16", "dropout=none", "residual=shallow", "optimizer.lr=3"]
    overrides += ["trainer.accelerator=cpu", "trainer.max_epochs=11"]
    with composition.hydra_here():
        config = composition.composed("train", overrides)
    HydraConfig.instance().set_config(config)
    assert not consult(composition.without_hydra(config), overrides, repair=True)
    (folder,) = empty_folder.glob("runs/doctor/*")
    report = json.loads((folder / "doctor.json").read_text())
    assert not report["healthy"]
    assert report["findings"][0]["code"] == "learning_rate_too_high"
    assert report["findings"][0]["remedies"][0].startswith("optimizer.lr=")
    assert "after    val/accuracy" in caplog.text
    kept = OmegaConf.load(folder / "mended.yaml")
    assert kept.optimizer.lr < 3
    assert (PROJECT / "configs" / "experiment").is_dir()


def test_the_doctor_refuses_a_mistake_with_status_2(command: Callable[..., Any]) -> None:
    ended = command("doctor.py", "--repair", "activation=relo")
    assert ended.returncode == 2
    assert "did you mean activation=relu?" in ended.stderr
