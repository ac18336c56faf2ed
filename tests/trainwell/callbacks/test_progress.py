"""Progress: a line an epoch without a terminal, four lines that are kept up to date in a terminal."""

import io
import logging
import sys
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm
from trainwell.callbacks.best_weights import BestWeights
from trainwell.callbacks.progress import Progress
from trainwell.console import Terminal, quiet_terminal, terminal_is_quiet

LOADER = DataLoader(TensorDataset(torch.ones(6, 1)), batch_size=2)


class Line(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.layer(batch[0]).square().mean()

    def on_validation_epoch_end(self) -> None:
        self.log_dict({"val/a": 0.25, "val/b": 0.5, "val/loss": 2.0 + self.current_epoch, "val/c": 1.0})

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(progress: Progress, *others: Callback, **settings: Any) -> None:
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=2,
        callbacks=[progress, *others],
        logger=False,
        enable_checkpointing=bool(others),
        enable_model_summary=False,
        **settings,
    )
    trainer.fit(Line(), LOADER, LOADER)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "trainwell.callbacks.progress"]


def test_without_a_terminal_an_epoch_is_a_line_with_the_loss_first(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="trainwell"):
        fit(Progress())
    assert lines(caplog) == [
        f"epoch   {epoch}  step      {3 * epoch + 3}  val/loss {2 + epoch}.000  val/a 0.250  val/b 0.500"
        for epoch in (0, 1)
    ]


def test_in_a_terminal_a_bar_runs_over_all_steps_and_the_log_file_has_the_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    bars: list[tuple[int, int]] = []

    class Watched(Progress):
        def on_train_end(self, *arguments: Any) -> None:
            bars.append((self.bar.n, self.bar.total))
            super().on_train_end(*arguments)

    terminal, log_file = io.StringIO(), io.StringIO()
    shown, kept = Terminal(terminal), logging.StreamHandler(log_file)
    logger = logging.getLogger()
    for handler in (shown, kept):
        logger.addHandler(handler)
    try:
        with caplog.at_level(logging.INFO, logger="trainwell"):
            fit(Watched())
    finally:
        for handler in (shown, kept):
            logger.removeHandler(handler)
    assert bars == [(6, 6)]
    assert "epoch 0/2" in capsys.readouterr().err
    assert "epoch   1" in log_file.getvalue()
    assert "epoch   1" not in terminal.getvalue()


@pytest.mark.parametrize(("settings", "total"), [({}, 6), ({"max_steps": 4}, 4), ({"max_steps": 9}, 6)])
def test_the_bar_ends_where_the_training_does(
    settings: dict[str, int], total: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress = Progress()
    fit(progress, **settings)
    assert (progress.bar.n, progress.bar.total) == (total, total)


class Texts(Progress):
    """Remembers what each row says."""

    def __init__(self) -> None:
        super().__init__()
        self.said: dict[str, list[str]] = {"train": [], "val": [], "best": []}

    def show(self, name: str, metrics: Mapping[str, float], note: str = "") -> None:
        super().show(name, metrics, note)
        if name in self.rows:
            self.said[name].append(self.rows[name].desc)


def test_the_rows_say_the_last_and_the_best_validation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The loss of ``Line`` rises, so the first epoch stays the best."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress = Texts()
    fit(progress, BestWeights(dirpath=str(tmp_path), monitor="val/loss", mode="min"))
    assert progress.said["val"] == [f"val    loss {loss}.000  a 0.250  b 0.500" for loss in (2, 3)]
    assert progress.said["best"][-1] == "best   loss 2.000  a 0.250  b 0.500  epoch 0"


def test_after_a_loss_that_is_no_number_the_first_number_is_the_best(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def validated(module: Line) -> None:
        module.log("val/loss", 2.0 if module.current_epoch else float("nan"))

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(Line, "on_validation_epoch_end", validated)
    progress = Texts()
    fit(progress, BestWeights(dirpath=str(tmp_path), monitor="val/loss", mode="min"))
    assert progress.said["best"][-1] == "best   loss 2.000  epoch 1"


def test_a_row_is_a_line_in_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")
    progress = Texts()
    fit(progress)
    assert progress.said["val"][-1] == "val    loss 3.000  "


def test_the_loss_is_read_no_more_often_than_the_terminal_is_updated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr("trainwell.callbacks.progress.SECONDS", 1000.0)
    progress = Texts()
    fit(progress)
    assert len(progress.said["train"]) <= 1


def test_one_of_several_jobs_at_once_has_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    handler = Terminal(io.StringIO())
    logging.getLogger().addHandler(handler)
    progress = Texts()
    try:
        with quiet_terminal():
            fit(progress)
    finally:
        logging.getLogger().removeHandler(handler)
    assert progress.said == {"train": [], "val": [], "best": []}


def test_a_block_that_is_quiet_stays_quiet_after_one_inside_it() -> None:
    handler = Terminal(io.StringIO())
    logging.getLogger().addHandler(handler)
    try:
        with quiet_terminal():
            with quiet_terminal():
                pass
            assert handler.level == logging.WARNING
            assert terminal_is_quiet()
        assert handler.level == logging.NOTSET
    finally:
        logging.getLogger().removeHandler(handler)


def test_a_line_is_printed_above_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """A carriage return goes back to the start of the line, and what is written there replaces what it meets."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    handler = Terminal(stream)
    with tqdm(desc="epoch", total=9, file=stream, leave=False):
        handler.emit(logging.makeLogRecord({"msg": "found"}))
    shown = [
        reduce(lambda line, new: new + line[len(new) :], line.split("\r"), "") for line in stream.getvalue().split("\n")
    ]
    assert [line.rstrip() for line in shown] == ["found", ""]


def test_a_run_that_fails_leaves_no_bar_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(Line, "validation_step", lambda *arguments: 1 / 0)
    progress = Progress()
    with pytest.raises(ZeroDivisionError):
        fit(progress)
    assert progress.bar.disable
