"""Progress: a line an epoch without a terminal, one bar in a terminal."""

import logging
import sys
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from trainwell.callbacks.progress import Progress

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


def fit(progress: Progress, **settings: Any) -> None:
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=2,
        callbacks=[progress],
        logger=False,
        enable_checkpointing=False,
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


def test_in_a_terminal_one_bar_runs_over_all_steps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    bars: list[tuple[int, int]] = []

    class Watched(Progress):
        def on_train_end(self, *arguments: Any) -> None:
            bars.append((self.bar.n, self.bar.total))
            super().on_train_end(*arguments)

    with caplog.at_level(logging.INFO, logger="trainwell"):
        fit(Watched())
    assert bars == [(6, 6)]
    assert "steps" in capsys.readouterr().err
    assert lines(caplog) == []


def test_a_run_that_fails_leaves_no_bar_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(Line, "validation_step", lambda *arguments: 1 / 0)
    progress = Progress()
    with pytest.raises(ZeroDivisionError):
        fit(progress)
    assert progress.bar.disable
