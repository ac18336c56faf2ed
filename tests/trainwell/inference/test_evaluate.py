"""Evaluation: its numbers against scikit-learn, and what a run folder holds afterwards, whatever happens."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from lightning import LightningModule
from sklearn import metrics
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanSquaredError, MetricCollection
from torchmetrics.classification import MulticlassAUROC
from trainwell.errors import Refused
from trainwell.inference import evaluate, plots, scores
from trainwell.inference.evaluate import evaluate_run
from trainwell.inference.plots import new_figure, write_classes
from trainwell.inference.scores import Outputs
from trainwell.outputs import targets_and_predictions
from trainwell.runs.load import load_run


def logits(samples: int = 400, classes: int = 4) -> Outputs:
    """Random logits of targets that are right more often than by chance."""
    generator = np.random.default_rng(0)
    y = generator.integers(classes, size=samples)
    outputs = generator.normal(size=(samples, classes)) + 1.5 * np.eye(classes)[y]
    return Outputs(torch.from_numpy(outputs).float(), torch.from_numpy(y))


def test_every_metric_of_the_run_is_that_of_scikit_learn(trained: Path) -> None:
    found = evaluate_run(trained, "val")
    run = load_run(trained)
    with torch.no_grad():
        probabilities = run.task(run.data.val.x).double().softmax(dim=-1).numpy()
    targets, predictions = run.data.val.y.numpy(), probabilities.argmax(axis=1)
    assert {name: interval.value for name, interval in found.items()} == pytest.approx(
        {
            "val/loss": metrics.log_loss(targets, probabilities, labels=range(10)),
            "val/accuracy": metrics.accuracy_score(targets, predictions),
            "val/f1": metrics.f1_score(targets, predictions, average="macro"),
            "val/auroc": metrics.roc_auc_score(targets, probabilities, multi_class="ovr"),
        },
        abs=1e-6,
    )
    assert all(interval.low < interval.value < interval.high for interval in found.values())
    summary = json.loads((trained / "summary.json").read_text())
    assert {name: summary["best"][name] for name in found} == pytest.approx({n: i.value for n, i in found.items()})
    table = pandas.read_csv(trained / "evaluation" / "val" / "predictions.csv")
    assert table.columns.tolist() == ["sample", "target", "prediction", "confidence"]
    assert (table["sample"] == range(len(targets))).all()
    assert (table["target"] == targets).all()
    assert (table["prediction"] == predictions).all()
    assert table["confidence"].to_numpy() == pytest.approx(probabilities.max(axis=1), abs=1e-6)


def test_the_interval_of_a_mean_is_nearly_that_of_the_normal_distribution() -> None:
    outputs, y = torch.from_numpy(np.random.default_rng(1).normal(size=(500, 1))), torch.zeros(500)
    found = scores.interval(lambda outputs, y: outputs.mean(), outputs, y)
    mean, margin = outputs.mean().item(), 1.96 * outputs.std().item() / 500**0.5
    assert found.value == pytest.approx(mean)
    # The ends of an interval from 1000 resamples vary by about a tenth of its half width.
    assert (found.low, found.high) == pytest.approx((mean - margin, mean + margin), abs=0.3 * margin)


def test_a_metric_that_keeps_all_samples_starts_anew_for_every_resample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "RESAMPLED", 0)  # as few resamples as of very many samples
    found = logits()
    task = LightningModule()
    task.metrics = MetricCollection({"auroc": MulticlassAUROC(4)})
    (first,), (second,) = (scores.scores(task, found).values() for _ in range(2))
    assert first == second
    probabilities = found.outputs.double().softmax(dim=-1).numpy()
    assert first.value == pytest.approx(metrics.roc_auc_score(found.y.numpy(), probabilities, multi_class="ovr"))
    assert first.high - first.low < 0.1


def test_the_calibration_error_is_what_a_count_by_hand_gives(tmp_path: Path) -> None:
    # 0.95 is in the last of 15 bins, twice, and right once; 0.55 is in another, and right.
    probabilities = torch.tensor([[0.95, 0.05], [0.95, 0.05], [0.45, 0.55]])
    error = write_classes(tmp_path, Outputs(probabilities.log(), torch.tensor([0, 1, 1])), None)["calibration_error"]
    assert error == pytest.approx((2 * abs(0.95 - 0.5) + abs(0.55 - 1)) / 3)


@pytest.mark.parametrize("right", [True, False])
def test_reliability_is_drawn_where_all_predictions_are_right_or_none(right: bool) -> None:
    above, _ = plots.reliability(np.linspace(0.5, 1, 10), np.full(10, right), 0.1).axes
    assert set(above.lines[-1].get_ydata()) == {float(right)}


def test_the_confusion_matrix_is_that_of_scikit_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[np.ndarray] = []
    monkeypatch.setattr(plots, "confusion", lambda counts, _: drawn.append(counts) or new_figure(1, 1))
    found = logits()
    write_classes(tmp_path, found, None)
    expected = metrics.confusion_matrix(found.y, found.outputs.argmax(dim=-1))
    assert (drawn[0] == expected).all()


@pytest.mark.parametrize("classes", [2, 10, 40])
def test_a_confusion_matrix_of_few_classes_has_numbers(classes: int) -> None:
    names = [f"class {number}" for number in range(classes)]
    axes, _ = plots.confusion(np.arange(classes**2).reshape(classes, classes), names).axes
    numbers = [text.get_text() for text in axes.texts]
    assert numbers == ([] if classes == 40 else [str(number) for number in range(classes**2)])


def test_the_most_confident_mistake_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = logits()
    drawn: list[Any] = []
    monkeypatch.setattr(plots, "mistakes", lambda inputs, titles: drawn.append((inputs, titles)) or new_figure(1, 1))
    write_classes(tmp_path, found, torch.arange(400.0).reshape(400, 1))
    ((inputs, titles),) = drawn
    confidences = found.outputs.softmax(dim=-1).max(dim=-1).values.numpy()
    wrong = found.outputs.argmax(dim=-1).numpy() != found.y.numpy()
    assert int(inputs[0].item()) == np.where(wrong, confidences, 0).argmax()
    assert len(titles) == 16
    assert titles[0].startswith(f"sample {int(inputs[0].item())}: ")


@pytest.mark.parametrize("shape", [(40,), (8, 8), (1, 8, 8), (3, 8, 8), (2, 3, 4, 5)])
def test_inputs_of_every_shape_can_be_drawn(shape: tuple[int, ...]) -> None:
    inputs = list(np.random.default_rng(0).normal(size=(5, *shape)))
    figure = plots.mistakes(inputs, list("abcde"))
    figure.canvas.draw()
    assert [bool(axes.lines or axes.images) for axes in figure.axes] == [True] * 5


@pytest.mark.slow
def test_evaluations_of_the_test_split_are_counted(trained: Path) -> None:
    evaluate_run(trained, "val")
    assert not (trained / "test_evaluations.txt").exists()
    for count in (1, 2):
        evaluate_run(trained, "test")
        report = json.loads((trained / "evaluation/test/metrics.json").read_text())
        assert (report["evaluations"], report["samples"]) == (count, 359)
        assert set(report["metrics"]) == {"loss", "accuracy", "f1", "auroc"}
    lines = (trained / "test_evaluations.txt").read_text().splitlines()
    assert [line.split("  ")[1] for line in lines] == [f"trainwell evaluate run={trained} split=test"] * 2
    for split in ("val", "test"):
        for plot in ("confusion.png", "reliability.png", "mistakes.png"):
            assert (trained / "evaluation" / split / plot).read_bytes().startswith(b"\x89PNG")


def test_an_evaluation_that_is_killed_is_counted(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: Any) -> Outputs:
        raise KeyboardInterrupt

    monkeypatch.setattr(scores, "outputs_of", killed)
    with pytest.raises(KeyboardInterrupt):
        evaluate_run(trained, "test")
    assert len((trained / "test_evaluations.txt").read_text().splitlines()) == 1
    assert not (trained / "evaluation").exists()


def test_predictions_are_written_whole_or_not_at_all(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(table: pandas.DataFrame, path: Path, **_: Any) -> None:
        path.write_text("sample,tar")
        raise OSError("no space")

    table = trained / "evaluation" / "val" / "predictions.csv"
    table.parent.mkdir(parents=True)
    table.write_text("old")
    monkeypatch.setattr(pandas.DataFrame, "to_csv", half)
    with pytest.raises(OSError, match="no space"):
        evaluate_run(trained, "val")
    assert table.read_text() == "old"
    assert list(table.parent.iterdir()) == [table]


def test_files_outside_the_run_folder_are_not_replaced(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis/test").mkdir(parents=True)
    (trained / "evaluation").symlink_to(tmp_path / "thesis")
    with pytest.raises(ValueError, match="must not be a link"):
        evaluate_run(trained, "test")
    assert not list((tmp_path / "thesis/test").iterdir())


def test_unreadable_weights_are_answered_with_one_sentence(trained: Path) -> None:
    (trained / "checkpoints/best.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(Refused) as refused:
        evaluate.main([f"run={trained}"])
    assert len(refused.value.mistakes) == 1
    assert "best.ckpt" in refused.value.mistakes[0]


class Regression(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.val_metrics = MetricCollection({"mse": MeanSquaredError()}, prefix="val/")

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(dim=1, keepdim=True)


def test_a_task_that_is_no_classification_is_evaluated_by_its_own_metrics() -> None:
    x, y = torch.randn(50, 3), torch.randn(50, 1)
    found = scores.outputs_of(Regression(), DataLoader(TensorDataset(x, y), batch_size=8), torch.device("cpu"))
    assert torch.equal(found.outputs, x.sum(dim=1, keepdim=True))
    (interval,) = scores.scores(Regression(), found).values()
    assert interval.value == pytest.approx(((x.sum(dim=1) - y[:, 0]) ** 2).mean().item(), rel=1e-5)
    assert found.kind == "numbers"
    assert targets_and_predictions(*found).columns.tolist() == ["target_0", "output_0"]


@pytest.mark.parametrize("batch", [{"x": torch.ones(2, 1), "y": torch.ones(2)}, torch.ones(2, 1), [torch.ones(2, 1)]])
def test_batches_that_are_no_pairs_are_refused(batch: Any) -> None:
    with pytest.raises(ValueError, match=r"evaluate needs batches \(x, y\) of two tensors; the data give a "):
        scores.outputs_of(Regression(), [batch], torch.device("cpu"))


def test_a_task_without_forward_is_refused() -> None:
    with pytest.raises(ValueError, match=r"LightningModule needs a method forward, from x to outputs"):
        scores.outputs_of(LightningModule(), [], torch.device("cpu"))


REFUSED = [
    ("evaluate", ["run=latest"], "run=latest: there is no such run"),
    ("evaluate", [], "run must be given"),
    ("evaluate", ["latest"], "latest: type run=latest\n"),
    ("evaluate", ["run=latest", "split=tset"], "split must be train or val or test, got tset"),
    ("evaluate", ["rum=latest"], "did you mean run=?"),
    ("predict", ["run=latest", "input=none.csv", "output=a.csv"], "input must be a .csv, .npy or .parquet file that"),
    ("predict", ["run=latest"], "input must be given"),
    (
        "predict",
        ["run=latest", "input=samples.csv", "output=no/a.csv"],
        "output must be a file in a folder that exists",
    ),
    ("export", ["run=latest", "output=no/model.onnx"], "output must be a file in a folder that exists"),
    ("predict", ["run=latest", "input=a.csv", "output=a.xlsx"], "output must end in .csv, got a.xlsx"),
    ("export", ["run=latest", "format=onyx"], "format must be onnx or torch, got onyx"),
]


@pytest.mark.parametrize(("name", "arguments", "reason"), REFUSED)
def test_a_wrong_option_is_refused_before_torch_is_imported(
    name: str, arguments: list[str], reason: str, tmp_path: Path
) -> None:
    (tmp_path / "samples.csv").write_text("1,2\n")
    program = f"""
import sys
sys.path.insert(0, {str(Path(evaluate.__file__).parents[2])!r})
from trainwell.errors import Refused
from trainwell.inference import {name}
try:
    {name}.main({arguments!r})
except Refused as refused:
    print(*refused.mistakes)
assert "torch" not in sys.modules and "lightning" not in sys.modules
"""
    ended = subprocess.run([sys.executable, "-B", "-c", program], cwd=tmp_path, text=True, capture_output=True)
    assert not ended.stderr
    assert reason in ended.stdout


@pytest.mark.slow
def test_plots_are_added_to_the_wandb_run(project: Path, command: Callable[..., Any]) -> None:
    short = ("trainer=smoke", "trainer.max_epochs=1", "~callbacks.early_stopping", "scheduler=constant")
    assert command("data=digits", *short).returncode == 0
    ended = command("evaluate", "run=latest", trainwell=True)
    assert ended.returncode == 0, ended.stderr
    (run,) = project.glob("runs/*/*")
    _, added = sorted(project.glob(f"wandb/offline-run-*-{(run / 'wandb_id.txt').read_text()}"))
    assert {path.name.partition("_")[0] for path in added.glob("files/media/images/evaluation/val/*.png")} == {
        "confusion",
        "mistakes",
        "reliability",
    }
    assert "wandb sync" in ended.stdout
