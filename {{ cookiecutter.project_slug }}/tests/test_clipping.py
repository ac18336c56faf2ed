"""Clipping, as the optimizer meets it in a real Lightning step, of gradients that are written out by hand."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import nn

from your_package.classifier import Classifier
from your_package.data import Rows

from tests.conftest import PROJECT
from tests.fitting import classifier_of, clipped, fit, gradient, linear_classifier, seen_by_the_optimizer, some_rows

EXACT = {"rtol": 1e-12, "atol": 0}
LENGTHS = (0.01, 0.1, 0.3, 1e3)  # the gradients below have norms between 0.3 and 3
ROWS = some_rows(24)


def first_gradient(rows: Rows) -> np.ndarray:
    network = linear_classifier().network
    return gradient(rows, network.weight.detach().numpy(), network.bias.detach().numpy())


@pytest.mark.parametrize("length", LENGTHS)
def test_the_optimizer_sees_the_gradient_cut_to_the_length_and_no_shorter(length: float) -> None:
    classifier = linear_classifier()
    fit(classifier, ROWS, 24, gradient_clip_val=length)
    np.testing.assert_allclose(seen_by_the_optimizer(classifier), clipped(first_gradient(ROWS), length), **EXACT)


@pytest.mark.parametrize("length", LENGTHS)
def test_the_direction_is_kept(length: float) -> None:
    classifier = linear_classifier()
    fit(classifier, ROWS, 24, gradient_clip_val=length)
    seen, whole = seen_by_the_optimizer(classifier), first_gradient(ROWS)
    cosine = seen @ whole / np.linalg.norm(seen) / np.linalg.norm(whole)
    assert cosine == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("settings", [{"gradient_clip_val": length} for length in LENGTHS] + [{}], ids=str)
def test_the_norm_that_is_kept_is_that_before_clipping(settings: dict[str, float]) -> None:
    classifier = linear_classifier()
    fit(classifier, ROWS, 24, **settings)
    assert classifier.gradient_norm.item() == pytest.approx(np.linalg.norm(first_gradient(ROWS)), rel=1e-12)


def test_without_clipping_the_gradient_is_untouched() -> None:
    classifier = linear_classifier()
    fit(classifier, ROWS, 24, gradient_clip_val=None)
    np.testing.assert_allclose(seen_by_the_optimizer(classifier), first_gradient(ROWS), **EXACT)


def test_clipping_by_value_cuts_every_number_on_its_own() -> None:
    classifier, whole = linear_classifier(), first_gradient(ROWS)
    bound = float(np.median(np.abs(whole)))
    fit(classifier, ROWS, 24, gradient_clip_val=bound, gradient_clip_algorithm="value")
    np.testing.assert_allclose(seen_by_the_optimizer(classifier), np.clip(whole, -bound, bound), **EXACT)
    assert classifier.gradient_norm.item() == pytest.approx(np.linalg.norm(whole), rel=1e-12)


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_a_gradient_of_zero_stays_zero(algorithm: str) -> None:
    network = nn.Linear(4, 3, bias=False, dtype=torch.float64)
    classifier = classifier_of(network)
    still = Rows(torch.zeros_like(ROWS.x), ROWS.y)
    fit(classifier, still, 24, gradient_clip_val=1.0, gradient_clip_algorithm=algorithm)
    assert not seen_by_the_optimizer(classifier).any()


@pytest.mark.parametrize("length", LENGTHS)
def test_what_is_accumulated_is_clipped_once_and_as_a_whole(length: float) -> None:
    classifier = linear_classifier()
    fit(classifier, ROWS, 8, gradient_clip_val=length, accumulate_grad_batches=3)
    assert len(classifier.trainer.optimizers[0].gradients) == 1
    np.testing.assert_allclose(seen_by_the_optimizer(classifier), clipped(first_gradient(ROWS), length), **EXACT)
    assert classifier.gradient_norm.item() == pytest.approx(np.linalg.norm(first_gradient(ROWS)), rel=1e-12)


def test_every_step_is_clipped_and_moves_the_weights_by_no_more() -> None:
    classifier = linear_classifier()
    before = {name: parameter.detach().clone() for name, parameter in classifier.network.named_parameters()}
    weight, bias = before["weight"].numpy(), before["bias"].numpy()
    fit(classifier, ROWS, 6, gradient_clip_val=0.3)
    for step in range(4):
        part = Rows(ROWS.x[6 * step : 6 * step + 6], ROWS.y[6 * step : 6 * step + 6])
        expected = clipped(gradient(part, weight, bias), 0.3)
        np.testing.assert_allclose(seen_by_the_optimizer(classifier, step), expected, rtol=1e-11)
        weight, bias = weight - 0.1 * expected[:12].reshape(3, 4), bias - 0.1 * expected[12:]
    np.testing.assert_allclose(classifier.network.weight.detach(), weight, rtol=1e-11)


@pytest.mark.slow
def test_two_processes_clip_the_mean_of_all_that_both_accumulated(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, __file__, tmp_path],
        env={**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ended.returncode == 0, ended.stderr
    mean = first_gradient(ROWS)  # over all rows: each process has half of them, in two batches
    for rank in (0, 1):
        left = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        np.testing.assert_allclose(left["seen"].numpy(), clipped(mean, 0.3), **EXACT)
        np.testing.assert_allclose(left["norm"].numpy(), np.linalg.norm(mean), **EXACT)


class Leave(Callback):
    """Save what this process's optimizer saw."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        left = {"seen": torch.from_numpy(seen_by_the_optimizer(pl_module)), "norm": pl_module.gradient_norm}
        torch.save(left, f"{self.folder}/{trainer.global_rank}.pt")


if __name__ == "__main__":  # on its own, because it forks
    fit(
        linear_classifier(),
        ROWS,
        6,
        strategy="ddp_fork",
        devices=2,
        accumulate_grad_batches=2,
        gradient_clip_val=0.3,
        callbacks=[Leave(sys.argv[1])],
    )
