"""The monitor in whole trainings: it changes nothing, reports once, and is resumed exactly."""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from doctor_examples import Classifier, DictBatches, InMemory, TwoOptimizersByHand, quiet_trainer
from lightning import LightningModule, Trainer
from torch import Tensor, nn
from trainwell.data.batches import Samples
from trainwell.doctor.monitor import Monitor
from trainwell.doctor.plots import draw
from trainwell.runs.metrics_csv import MetricsCsv, rows_of


def data(batch_size: int = 16) -> InMemory:
    generator = torch.Generator().manual_seed(0)

    def samples(count: int) -> Samples:
        y = torch.randint(3, (count,), generator=generator)
        return Samples(torch.randn(count, 4, generator=generator) + y[:, None], y)

    return InMemory(samples(160), samples(60), 3, batch_size)


def network(depth: int = 2, activation: type[nn.Module] = nn.ReLU) -> nn.Module:
    torch.manual_seed(0)
    layers = [part for _ in range(depth) for part in (nn.Linear(4, 4), activation())]
    return nn.Sequential(*layers, nn.Linear(4, 3))


def monitor_of(folder: Path, every_n_steps: int, score: str | None = "accuracy") -> Monitor:
    return Monitor(every_n_steps=every_n_steps, folder=str(folder), score=score)


def train(folder: Path, monitor: Monitor | None, module: LightningModule, **settings: Any) -> Trainer:
    folder.mkdir(exist_ok=True)
    callbacks = [] if monitor is None else [monitor]
    fitted, checkpoint = settings.pop("data", data()), settings.pop("ckpt_path", None)
    trainer = quiet_trainer(**{"max_epochs": 3, "logger": MetricsCsv(str(folder)), "callbacks": callbacks, **settings})
    torch.manual_seed(1)
    trainer.fit(module, datamodule=fitted, ckpt_path=checkpoint)
    return trainer


def test_training_gives_the_same_weights_bit_for_bit_with_and_without(tmp_path: Path) -> None:
    modules, metrics = [], []
    for name, monitor in (("with", monitor_of(tmp_path / "with", 1)), ("without", None)):
        modules.append(Classifier(nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.1), network())))
        train(tmp_path / name, monitor, modules[-1])
        rows = rows_of(tmp_path / name / "metrics.csv")
        metrics.append([row for row in rows if not any(key.startswith("diagnostics/") for key in row)])
    one, other = (module.state_dict() for module in modules)
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert metrics[0] == metrics[1]


@pytest.fixture
def found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Monitor:
    """A training through eight sigmoids."""
    caplog.set_level(logging.INFO)
    monitor = monitor_of(tmp_path, 2)
    train(tmp_path, monitor, Classifier(network(8, nn.Sigmoid)))
    return monitor


def test_a_finding_is_reported_once_and_is_part_of_the_summary(
    found: Monitor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (finding,) = found.summary(quiet_trainer())["findings"]
    assert finding["code"] == "vanishing_gradient"
    messages = [record.getMessage() for record in caplog.get_records("setup")]
    (reported,) = [message for message in messages if message.startswith("found: ")]
    assert reported.startswith("found: vanishing_gradient at 0 to 14: the gradient of 0 is 10^-")
    assert reported.endswith(". See trainwell doctor")


def test_statistics_are_logged_by_layer_and_plotted(found: Monitor, tmp_path: Path) -> None:
    logged = {name for row in rows_of(tmp_path / "metrics.csv") for name in row}
    assert {"diagnostics/gradient_norm/0", "diagnostics/dead_units/2"} <= logged
    assert {"gradient_flow.png", "diagnostics.png"} <= {path.name for path in tmp_path.iterdir()}


def test_units_that_start_equal_are_not_judged_before_they_could_differ(tmp_path: Path) -> None:
    module = Classifier(network())
    nn.init.zeros_(module.network[-1].weight)
    monitor = monitor_of(tmp_path, 50)
    train(tmp_path, monitor, module, max_epochs=1, limit_train_batches=3)
    assert monitor.findings == []


def test_a_healthy_training_has_no_finding(tmp_path: Path) -> None:
    monitor = monitor_of(tmp_path, 5)
    train(tmp_path, monitor, Classifier(network()))
    assert monitor.summary(quiet_trainer()) == {"findings": []}


@pytest.mark.parametrize(("shuffled", "codes"), [(False, []), (True, ["learning_rate_too_high"])])
def test_weights_that_grow_are_reported_where_nothing_is_learned(
    shuffled: bool, codes: list[str], tmp_path: Path
) -> None:
    """From a small start they have to."""
    module = Classifier(network(), partial(torch.optim.Adam, lr=0.02))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(0.1)
    samples = data()
    if shuffled:
        samples.train.y.copy_(samples.train.y[torch.randperm(160, generator=torch.Generator().manual_seed(0))])
    monitor = monitor_of(tmp_path, 10)
    train(tmp_path, monitor, module, data=samples, max_epochs=12)
    assert [finding.code for finding in monitor.findings if finding.code != "overfitting"] == codes


def test_a_resumed_monitor_logs_what_one_without_a_break_does(tmp_path: Path) -> None:
    """Dead units over a window of steps as well: in batches of two, most units change in some steps only."""
    settings = {"data": data(batch_size=2), "limit_train_batches": 15}

    def monitor() -> Monitor:
        return monitor_of(tmp_path / "no plots", 1)

    train(tmp_path / "whole", monitor(), Classifier(network()), max_epochs=2, **settings)
    first = train(tmp_path / "halves", monitor(), Classifier(network()), max_epochs=1, **settings)
    first.save_checkpoint(tmp_path / "half.ckpt")
    assert torch.load(tmp_path / "half.ckpt", weights_only=True)["callbacks"]
    train(
        tmp_path / "halves",
        monitor(),
        Classifier(network()),
        max_epochs=2,
        ckpt_path=tmp_path / "half.ckpt",
        **settings,
    )
    whole, halves = (
        [row for row in rows_of(tmp_path / name / "metrics.csv") if "diagnostics/dead_units/2" in row]
        for name in ("whole", "halves")
    )
    assert len(whole) == 30
    assert len({row["diagnostics/dead_units/2"] for row in whole}) > 1
    assert whole == halves


class Memorizes(LightningModule):
    """Logs a score of its own name, which is perfect on train samples and low on validation samples."""

    def __init__(self, score: str) -> None:
        super().__init__()
        self.layer, self.score = nn.Linear(4, 3), score

    def training_step(self, batch: Samples, batch_index: int) -> Tensor:
        loss = nn.functional.cross_entropy(self.layer(batch.x), batch.y)
        values = {"train/loss": loss, f"train/{self.score}": torch.tensor(1.0)}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=len(batch.y))
        return loss

    def validation_step(self, batch: Samples, batch_index: int) -> None:
        values = {"val/loss": torch.tensor(1.0), f"val/{self.score}": torch.tensor(0.4)}
        self.log_dict(values, batch_size=len(batch.y))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.001)


@pytest.mark.parametrize(("score", "codes"), [("f1", ["overfitting"]), ("auroc", [])])
def test_overfitting_is_judged_by_the_score_that_is_named(score: str, codes: list[str], tmp_path: Path) -> None:
    monitor = monitor_of(tmp_path, 50, score)
    train(tmp_path, monitor, Memorizes("f1"), max_epochs=2)
    assert [finding.code for finding in monitor.findings] == codes


class LossAlone(Memorizes):
    """Logs no score, a train loss that falls, and validation losses that are given, one an epoch."""

    def __init__(self, train_losses: tuple[float, ...], val_losses: tuple[float, ...]) -> None:
        super().__init__("none")
        self.train_losses, self.val_losses = train_losses, val_losses

    def training_step(self, batch: Samples, batch_index: int) -> Tensor:
        loss = torch.tensor(self.train_losses[self.current_epoch])
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(batch.y))
        return nn.functional.cross_entropy(self.layer(batch.x), batch.y)

    def validation_step(self, batch: Samples, batch_index: int) -> None:
        self.log("val/loss", torch.tensor(self.val_losses[self.current_epoch]), batch_size=len(batch.y))


LOSSES = {  # with the validation loss of a constant guess, if that is known, and the evidence
    "rises after a minimum": ((0.9, 0.6, 0.5), (0.8, 0.5, 0.8), None, "the validation loss rose from 0.5 to 0.8"),
    "rises, with a guess": ((0.9, 0.6, 0.5), (0.8, 0.5, 0.8), 1.0, "while the train loss fell from 0.6 to 0.5"),
    "rises and falls again": ((0.9, 0.6, 0.5), (0.8, 1.1, 0.7), 1.0, None),
    "much better on train samples": ((0.5, 0.1, 0.01), (0.5, 0.5, 0.5), 1.0, "99.0% on training samples, 50.0% on"),
    "falls": ((0.9, 0.6, 0.5), (0.8, 0.7, 0.6), 1.0, None),
    "falls, without a guess": ((0.9, 0.6, 0.5), (0.8, 0.7, 0.6), None, None),
    "rises for an epoch": ((0.9, 0.6, 0.5, 0.4), (0.5, 0.9, 0.4, 0.4), 1.0, None),
    "rises for three": ((0.9, 0.6, 0.5, 0.4, 0.3), (0.5, 0.9, 0.9, 0.9, 0.4), 1.0, "the validation loss rose from 0.5"),
    "falls below zero": ((0.9, 0.1, -0.9), (0.8, 0.5, 0.4), 1.0, None),
    "below zero": ((-0.9, -1.6, -2.5), (-0.8, -0.5, -0.1), None, None),
}


@pytest.mark.parametrize("score", ["accuracy", None])
@pytest.mark.parametrize(("train_losses", "val_losses", "guess", "evidence"), LOSSES.values(), ids=LOSSES.keys())
def test_without_a_score_overfitting_is_judged_by_the_loss_alone(
    train_losses: tuple[float, ...],
    val_losses: tuple[float, ...],
    guess: float | None,
    evidence: str | None,
    score: str | None,
    tmp_path: Path,
) -> None:
    monitor = monitor_of(tmp_path, 50, score)
    monitor.baseline = None if guess is None else {"val/loss": guess}
    train(tmp_path, monitor, LossAlone(train_losses, val_losses), max_epochs=len(val_losses))
    assert [finding.code for finding in monitor.findings] == ["overfitting"] * (evidence is not None)
    assert evidence is None or evidence in monitor.findings[0].evidence


class Underscored(LossAlone):
    """Names its metrics as Lightning's own pages do."""

    def log(self, name: str, *arguments: Any, **settings: Any) -> None:
        super().log(name.replace("/", "_"), *arguments, **settings)


def test_train_loss_and_val_loss_are_known_as_well(tmp_path: Path) -> None:
    monitor = monitor_of(tmp_path, 50)
    train(tmp_path, monitor, Underscored((0.9, 0.6, 0.5), (0.8, 0.5, 0.8)), max_epochs=3)
    assert [finding.code for finding in monitor.findings] == ["overfitting"]


def test_two_optimizers_and_dict_batches_are_monitored(tmp_path: Path) -> None:
    monitor = monitor_of(tmp_path, 2)
    train(tmp_path, monitor, TwoOptimizersByHand(), data=DictBatches(), max_epochs=4)
    assert monitor.step == 24
    logged = {name for row in rows_of(tmp_path / "metrics.csv") for name in row}
    assert {"diagnostics/gradient_norm/body", "diagnostics/update_ratio/top", "diagnostics/dead_units/top"} <= logged


@pytest.mark.parametrize(("norm", "order"), [("0.0", ["b", "a"]), ("nan", []), ("inf", [])])  # []: a compiled network
def test_plots_can_be_made_of_whatever_was_measured(norm: str, order: list[str], tmp_path: Path) -> None:
    names = [f"diagnostics/{what}/{layer}" for what in ("gradient_norm", "update_ratio") for layer in "ab"]
    lines = [",".join(["epoch", "step", *names]), *(",".join(["0", str(step), *[norm] * 4]) for step in range(10))]
    (tmp_path / "metrics.csv").write_text("".join(f"{line}\n" for line in lines))
    assert [path.name for path in draw(tmp_path, order)] == ["gradient_flow.png", "diagnostics.png"]


def test_nothing_is_plotted_of_a_run_without_measurements(tmp_path: Path) -> None:
    assert draw(tmp_path, []) == []
