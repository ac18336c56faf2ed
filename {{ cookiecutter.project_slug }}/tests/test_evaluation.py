"""Evaluation: its numbers against scipy, scikit-learn and a hand's count, and what a run is left with."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig
from scipy import stats
from sklearn import metrics

from your_package import evaluation, evaluation_pictures
from your_package.evaluation import evaluate_run
from your_package.loading import load_run

from tests.test_train import SHORT, only_run
from train import train

Compose = Callable[..., DictConfig]


def test_the_bootstrap_is_that_of_scipy() -> None:
    losses = np.random.default_rng(1).exponential(size=300)
    ours, _ = evaluation.bootstrap(np.stack([losses, losses > 1], axis=1))
    theirs = stats.bootstrap((losses,), np.mean, method="percentile", n_resamples=1000, random_state=2)
    assert ours.value == pytest.approx(losses.mean())
    # Ends of an interval from 1000 draws vary by about a tenth of its width.
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.15 * width)


def test_the_bootstrap_has_random_numbers_of_its_own() -> None:
    values = np.random.default_rng(1).normal(size=(50, 1))
    before = np.random.get_state()[1]
    assert evaluation.bootstrap(values) == evaluation.bootstrap(values)
    assert (np.random.get_state()[1] == before).all()


def test_the_calibration_error_is_what_a_hand_counts() -> None:
    # 0.95 is in the last of 15 bins, twice, and right once; 0.5 in another, and right.
    confidences, right = np.array([0.95, 0.95, 0.5]), np.array([True, False, True])
    assert evaluation.calibration_error(confidences, right) == pytest.approx((2 * abs(0.95 - 0.5) + abs(0.5 - 1)) / 3)
    assert evaluation.calibration_error(np.ones(4), np.ones(4, dtype=bool)) == 0


def test_the_confusion_matrix_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    targets, predictions = generator.integers(4, size=(2, 100))
    ours = evaluation_pictures.confusion_matrix(targets, predictions, 5)
    assert (ours == metrics.confusion_matrix(targets, predictions, labels=range(5))).all()


@pytest.mark.slow
def test_a_run_is_left_with_metrics_pictures_and_a_count_of_looks(trained: Path) -> None:
    run = trained
    assert len((run / "test_looks.txt").read_text().splitlines()) == 1
    evaluate_run(run, "val", "a look at validation rows")
    for look in (2, 3):
        found = evaluate_run(run, "test", "python evaluate.py")
        told = json.loads((run / "evaluation/test/metrics.json").read_text())
        assert told["looks"] == look
    assert told["loss"]["low"] < told["loss"]["value"] < told["loss"]["high"]
    assert told["accuracy"]["value"] == found["test/accuracy"]
    assert [line.split("  ")[1] for line in (run / "test_looks.txt").read_text().splitlines()[1:]] == [
        "python evaluate.py"
    ] * 2
    for split in ("val", "test"):
        for picture in ("confusion.png", "reliability.png", "mistakes.png"):
            assert (run / "evaluation" / split / picture).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("shape", [(40,), (8, 8), (1, 8, 8), (3, 8, 8), (2, 3, 4, 5)])
def test_inputs_of_every_shape_can_be_drawn(shape: tuple[int, ...]) -> None:
    figure = evaluation_pictures.new_figure(2, 2)
    evaluation_pictures.draw(figure.subplots(), np.random.default_rng(0).normal(size=shape))
    figure.canvas.draw()


def test_a_run_is_loaded_with_the_weights_that_it_kept(trained: Path) -> None:
    run = load_run("latest")
    summary = json.loads((run.folder / "summary.json").read_text())
    predicted = run.network(run.data.val.x).argmax(dim=-1)
    assert (predicted == run.data.val.y).double().mean().item() == pytest.approx(summary["best"]["val/accuracy"])
    assert not run.network.training
    assert run.config.network.width == 16
    assert load_run(run.folder.name.rpartition("_")[2]).folder == run.folder


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_wandb")
def test_the_pictures_are_in_the_wandb_run_too(compose: Compose, empty_folder: Path) -> None:
    train(compose(*SHORT, "logger=wandb", "trainer.max_epochs=1", "~callbacks.early_stopping"))
    run = only_run(empty_folder)
    evaluate_run(run, "val")
    _, added = sorted(empty_folder.glob(f"wandb/offline-run-*-{(run / 'wandb_id.txt').read_text()}"))
    assert {path.name.partition("_")[0] for path in added.glob("files/media/images/evaluation/val/*.png")} == {
        "confusion",
        "mistakes",
        "reliability",
    }
