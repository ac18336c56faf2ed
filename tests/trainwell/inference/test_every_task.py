"""Runs of every kind of task: trained, evaluated, exported, shown, and examined by the doctor."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
import trainwell
from omegaconf import OmegaConf
from sklearn import metrics
from trainwell.inference.evaluate import evaluate_run
from trainwell.inference.export import export_run
from trainwell.runs.load import load_run

DATA = '''
"""Targets of any kind, by a linear map of ten features and a little noise."""

import numpy as np
import torch
from trainwell.data.batches import Samples
from trainwell.data.in_memory import InMemoryDataModule


class Linear(InMemoryDataModule):
    def __init__(self, *, kind, count, names, batch_size, seed):
        super().__init__(batch_size=batch_size, seed=seed)
        self.targets, self.num_classes, self.target_names = kind, count, list(names) or None

    def load(self):
        generator = np.random.default_rng(0)
        x = generator.normal(size=(1000, 10))
        found = x @ generator.normal(size=(10, self.num_classes)) / 3 + generator.normal(size=(1000, self.num_classes))
        y = {"classes": found.argmax(1), "numbers": 100 + 20 * found, "labels": (found > 0.5).astype(int)}[self.targets]
        samples = Samples.from_numpy(x, y)
        self.train, self.val, self.test = (samples.at(part) for part in torch.arange(1000).split([600, 200, 200]))
'''
KINDS = {  # with the number of outputs, names and plots
    "classification": ("classes", 2, ("no", "yes"), {"confusion", "mistakes", "reliability", "roc"}),
    "regression": ("numbers", 2, ("price", "age"), {"predicted", "residuals"}),
    "multilabel": ("labels", 3, ("cat", "dog", "owl"), {"calibration", "roc"}),
}
SHORT = (
    "trainer=cpu",
    "trainer.max_epochs=12",
    "~callbacks.progress_bar",
    "trainer.enable_progress_bar=false",
    "logger=none",
    "network.width=16",
    "residual.depth=2",
    "optimizer.lr=0.01",
    "data=linear",
)


def train(project: Path, task: str, *overrides: str, names: bool = True) -> Path:
    """Train in a project, and return the run folder."""
    kind, count, of_targets, _ = KINDS[task]
    (project / "linear_data.py").write_text(DATA)
    described = {"_target_": "linear_data.Linear", "kind": kind, "count": count, "names": list(of_targets) * names}
    (project / "configs/data/linear.yaml").write_text(
        OmegaConf.to_yaml({**described, "batch_size": 64, "seed": "${seed}"})
    )
    trainwell.train([*SHORT, f"task={task}", *overrides])
    (run,) = project.glob("runs/*/*_*")
    return run


@pytest.fixture
def here(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(project)
    monkeypatch.delitem(__import__("sys").modules, "linear_data", raising=False)
    return project


@pytest.mark.parametrize("task", KINDS)
def test_a_run_beats_its_baseline_and_is_evaluated_and_exported(
    task: str, here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        run = train(here, task)
    summary = json.loads((run / "summary.json").read_text())
    assert summary["status"] in ("finished", "stopped_early")
    assert summary["findings"] == []
    assert summary["best"]["val/loss"] < 0.9 * summary["baseline"]["val/loss"]
    assert {name for name in summary["best"] if "/" in name} == summary["baseline"].keys()
    assert "a constant guess" in caplog.text

    found = evaluate_run(run, "val")
    assert {name: interval.value for name, interval in found.items()} == pytest.approx(
        {name: summary["best"][name] for name in found}, rel=1e-4
    )
    assert all(interval.low <= interval.value <= interval.high for interval in found.values())
    assert {path.stem for path in (run / "evaluation/val").glob("*.png")} == KINDS[task][3]
    exported = torch.export.load(export_run(run, "torch")).module()
    loaded = load_run(run)
    with torch.no_grad():
        torch.testing.assert_close(exported(loaded.data.val.x), loaded.task(loaded.data.val.x), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("task", "names", "columns"),
    [
        ("classification", True, ["target", "prediction", "confidence"]),
        ("regression", True, ["target_price", "target_age", "prediction_price", "prediction_age"]),
        ("regression", False, ["target_0", "target_1", "output_0", "output_1"]),
        (
            "multilabel",
            True,
            [f"{word}_{name}" for word in ("target", "probability") for name in ("cat", "dog", "owl")],
        ),
    ],
)
def test_predictions_have_the_names_of_the_targets(task: str, names: bool, columns: list[str], here: Path) -> None:
    run = train(here, task, "trainer.max_epochs=1", "~callbacks.early_stopping", "scheduler=constant", names=names)
    evaluate_run(run, "val")
    table = pandas.read_csv(run / "evaluation" / "val" / "predictions.csv")
    assert table.columns.tolist() == ["sample", *columns]
    loaded = load_run(run)
    with torch.no_grad():
        outputs = loaded.task(loaded.data.val.x)
    if task == "classification":
        assert (table["target"] == np.array(["no", "yes"])[loaded.data.val.y]).all()
        assert (table["prediction"] == np.array(["no", "yes"])[outputs.argmax(dim=1)]).all()
    else:
        expected = outputs.sigmoid() if task == "multilabel" else outputs
        half = len(columns) // 2
        np.testing.assert_allclose(table[columns[:half]], loaded.data.val.y, rtol=1e-5)
        np.testing.assert_allclose(table[columns[half:]], expected, rtol=1e-4)


def test_metrics_of_a_regression_are_those_of_scikit_learn(here: Path) -> None:
    run = train(here, "regression", "loss=huber", "loss.delta=0.5")
    found = evaluate_run(run, "test")
    loaded = load_run(run)
    with torch.no_grad():
        y, predicted = loaded.data.test.y.numpy(), loaded.task(loaded.data.test.x).numpy()
    assert found["test/mae"].value == pytest.approx(metrics.mean_absolute_error(y, predicted), rel=1e-4)
    assert found["test/r2"].value == pytest.approx(metrics.r2_score(y, predicted), rel=1e-4)
    of_train = loaded.data.train.y.numpy()
    errors = np.abs(y - predicted) / of_train.std(axis=0)
    huber = np.where(errors < 0.5, errors**2 / 2, 0.5 * (errors - 0.25)).mean()
    assert found["test/loss"].value == pytest.approx(huber, rel=1e-4)


def test_a_weighted_loss_is_evaluated_with_its_weights(here: Path) -> None:
    run = train(here, "classification", "task.class_weights=[1.0,3.0]", "loss=focal")
    found = evaluate_run(run, "val")["val/loss"].value
    loaded = load_run(run)
    with torch.no_grad():
        log_p = loaded.task(loaded.data.val.x).log_softmax(dim=1)
    y = loaded.data.val.y
    of_class, weights = log_p[torch.arange(len(y)), y], torch.tensor([1.0, 3.0])[y]
    assert found == pytest.approx((-weights * (1 - of_class.exp()) ** 2 * of_class).sum().item() / weights.sum().item())


def test_a_run_from_weights_in_a_file_is_loaded_without_that_file(here: Path) -> None:
    first = train(here, "regression", "trainer.max_epochs=2", "~callbacks.early_stopping", "scheduler=constant")
    weights = here / "start.ckpt"
    (first / "checkpoints/best.ckpt").rename(weights)
    options = [f"network.weights={weights}", "network.freeze=[stem.*]", "optimizer.lr_of={head.*: 0.02}"]
    short = ["trainer.max_epochs=2", "~callbacks.early_stopping", "scheduler=constant", "hydra.run.dir=."]
    trainwell.train([*SHORT, "task=regression", *short[:3], *options])
    (run,) = [run for run in here.glob("runs/*/*_*") if run != first]
    start = torch.load(weights, weights_only=True)["state_dict"]
    found = torch.load(run / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    still = {name for name in found if name.startswith("network.") and torch.equal(found[name], start[name])}
    assert still == {"network.stem.1.weight", "network.stem.1.bias"}
    weights.unlink()
    assert load_run(run).task.network.stem[1].weight.equal(start["network.stem.1.weight"])


@pytest.mark.slow
@pytest.mark.parametrize("task", KINDS)
def test_the_doctor_finds_a_healthy_task_healthy(task: str, here: Path, compose: Any) -> None:
    from trainwell.doctor.command import examined

    train(here, task, "trainer.max_epochs=1", "~callbacks.early_stopping", "scheduler=constant")
    usual = [option for option in SHORT if not option.startswith(("network", "residual", "optimizer"))]
    findings, _ = examined(compose(*usual, f"task={task}"))
    assert findings == []
