"""Whole runs: what they leave, from Python and by the real commands."""

import csv
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from sklearn.metrics import cohen_kappa_score
from trainwell.runs.load import load_run

from tests.conftest import QUIET, SHORT, SMALL, run_in, start_in
from train import train

Compose = Callable[..., DictConfig]


def only_run(folder: Path) -> Path:
    (run,) = folder.glob("runs/*/*_*")
    return run


def summary_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "summary.json").read_text("utf-8"), parse_constant=pytest.fail)  # NaN is no JSON


def metrics_of(run: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv, but for the speed."""
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return [{**row, "throughput/samples_per_second": ""} for row in csv.DictReader(file)]


def weights_of(run: Path, name: str = "last.ckpt") -> dict[str, bytes]:
    state = torch.load(run / "checkpoints" / name, weights_only=True, map_location="cpu")["state_dict"]
    return {key: value.cpu().numpy().tobytes() for key, value in state.items()}


# From Python

NAMES = ("loss", "accuracy", "f1", "auroc", "kappa")


def test_a_run_leaves_everything_that_is_promised(compose: Compose, empty_folder: Path) -> None:
    kappa = "+task.metrics.kappa._target_=torchmetrics.classification.MulticlassCohenKappa"
    best = train(compose(*SHORT, kappa, "test=true", "trainer.log_every_n_steps=5"))
    run = only_run(empty_folder)
    files = {"config.yaml", "metrics.csv", "provenance.json", "summary.json", "train.log", "test_evaluations.txt"}
    assert files <= {path.name for path in run.iterdir()}
    assert {"best.ckpt", "last.ckpt"} <= {path.name for path in (run / "checkpoints").iterdir()}
    summary = summary_of(run)
    assert summary["status"] == "finished"
    assert (summary["epochs"], summary["steps"]) == (3, 3 * 18)
    assert summary["best"]["val/loss"] == best
    assert set(summary["test"]) == {f"test/{name}" for name in NAMES}
    assert set(summary["last"]) == {"epoch", "step"} | {f"val/{name}" for name in NAMES}
    assert set(summary["baseline"]) == {f"val/{name}" for name in NAMES}
    promised = {f"{split}/{name}" for split in ("train", "val") for name in NAMES}
    promised |= {"gradient/norm", "gradient/clipped_fraction", "learning_rate", "throughput/samples_per_second"}
    rows = metrics_of(run)
    assert promised <= set(rows[0])
    for name in promised - {"throughput/samples_per_second"}:
        values = [float(row[name]) for row in rows if row[name]]
        assert len(values) == (3 * 18 // 5 if name == "gradient/norm" else 3), name
        assert np.isfinite(values).all(), name
    loaded = load_run(run)
    with torch.no_grad():
        predictions = loaded.task(loaded.data.val.x).argmax(dim=-1)
    kappa_of_best = cohen_kappa_score(loaded.data.val.y, predictions)
    assert summary["best"]["val/kappa"] == pytest.approx(kappa_of_best, rel=1e-5)  # torchmetrics counts in float32


def test_the_same_seed_gives_the_same_weights_bit_for_bit(
    compose: Compose, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = []
    for number, seed in enumerate((0, 0, 1)):
        folder = empty_folder / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        train(compose(*SHORT, f"seed={seed}", "dropout.rate=0.3", "~callbacks.diagnostics"))
        weights.append(weights_of(only_run(folder)))
    assert weights[0] == weights[1] != weights[2]
    assert summary_of(only_run(empty_folder / "2"))["test"] is None  # test samples are evaluated only if asked for


def test_early_stopping_ends_a_run_and_the_best_weights_are_kept(compose: Compose, empty_folder: Path) -> None:
    wild = ("optimizer.lr=0.05", "dropout=none", "callbacks.early_stopping.patience=2")
    train(compose(*SMALL, "trainer=cpu", *wild))
    run = only_run(empty_folder)
    summary = summary_of(run)
    assert summary["status"] == "stopped_early"
    assert summary["last"]["epoch"] == summary["best"]["epoch"] + 2
    assert summary["last"]["val/loss"] > summary["best"]["val/loss"]
    loaded = load_run(run)
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(loaded.task(loaded.data.val.x), loaded.data.val.y)
    assert loss.item() == pytest.approx(summary["best"]["val/loss"], rel=1e-5)  # sums in another order


def test_a_custom_network_is_trained(compose: Compose, empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty_folder / "own_network.py").write_text(
        "from torch import nn\n"
        "def build(in_shape, num_outputs):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(in_shape[0] * in_shape[1], num_outputs))\n"
    )
    monkeypatch.syspath_prepend(empty_folder)
    options = [option for option in SHORT if not option.startswith(("network", "residual"))]
    train(compose(*options, "network=custom", "network.factory=own_network.build", "weight_decay=l2"))
    assert summary_of(only_run(empty_folder))["best"]["val/accuracy"] > 0.5  # chance is 0.1


# The commands


def test_a_killed_run_of_an_experiment_is_resumed_to_the_result_that_it_would_have_had(
    compose: Compose, empty_folder: Path
) -> None:
    options = ["+experiment=baseline", *SHORT, "trainer.max_epochs=15", "callbacks.early_stopping.patience=14"]
    train(compose(*options))
    whole = only_run(empty_folder)
    folder = empty_folder / "killed"
    folder.mkdir()
    process = start_in(folder, "train.py", *QUIET, *options)
    while process.poll() is None and not list(folder.glob("runs/*/*/checkpoints/last.ckpt")):
        time.sleep(0.001)
    process.kill()
    process.communicate()
    run = only_run(folder)
    assert not (run / "summary.json").exists(), "the run has ended before it was killed"

    ended = run_in(folder, "train.py", "resume=latest")
    assert ended.returncode == 0, ended.stderr
    assert "resuming from step" in ended.stdout
    assert metrics_of(run) == metrics_of(whole)
    for name in ("best.ckpt", "last.ckpt"):
        assert weights_of(run, name) == weights_of(whole, name)


def test_runs_are_evaluated_and_compared(compose: Compose, empty_folder: Path) -> None:
    for seed in (0, 1):
        train(compose(*SHORT, f"seed={seed}", "trainer.max_epochs=1", "~callbacks.early_stopping"))
    ended = run_in(empty_folder, "-m", "trainwell", "evaluate", "run=latest", "split=test")
    assert ended.returncode == 0, ended.stderr
    (predictions,) = empty_folder.glob("runs/*/*/evaluation/*/predictions.csv")
    assert len((predictions.parents[2] / "test_evaluations.txt").read_text("utf-8").splitlines()) == 1
    ended = run_in(empty_folder, "-m", "trainwell", "compare", "runs")
    assert ended.returncode == 0, ended.stderr
    assert "2 runs in 1 group" in ended.stdout
    assert (empty_folder / "comparison.csv").exists()


def test_mistakes_get_a_sentence_each_and_status_2_and_leave_nothing(empty_folder: Path) -> None:
    mistakes = ["activation=relo", "dropout.rat=0.1", "optimizer.lr=-1", "data.batch_size=x"]
    ended = run_in(empty_folder, "train.py", *mistakes)
    assert (ended.returncode, ended.stdout) == (2, "")
    for sentence in (
        "did you mean activation=relu?",
        "there is no key dropout.rat; did you mean dropout.rate?",
        "optimizer.lr must be above 0, got -1",
        "data.batch_size must be a whole number, got x",
    ):
        assert sentence in ended.stderr
    assert len(ended.stderr.splitlines()) == len(mistakes)
    assert not any(empty_folder.iterdir())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(["train.py", "--help"], "activation: elu, gelu, leaky_relu"), (["-m", "trainwell", "--help"], "evaluate")],
    ids=["train.py", "trainwell"],
)
def test_help_lists_what_there_is(arguments: list[str], expected: str, empty_folder: Path) -> None:
    ended = run_in(empty_folder, *arguments)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert expected in ended.stdout
