"""Each private name that the machinery uses still does what it is used for; these fail when a library changes."""

from importlib.metadata import version
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from trainwell import lightning_internals


@pytest.mark.parametrize("library", lightning_internals.CHECKED_WITH)
def test_the_installed_release_line_is_the_one_that_was_checked(library: str) -> None:
    assert version(library).startswith(f"{lightning_internals.CHECKED_WITH[library]}.")


class Line(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = self.layer(batch[0]).square().mean()
        self.log("loss", loss, on_step=False, on_epoch=True)
        self.log("total", loss, on_step=False, on_epoch=True, reduce_fx="sum")
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.0)


def fit(*callbacks: Callback, epochs: int = 2) -> Trainer:
    loader = DataLoader(TensorDataset(torch.arange(6.0).unsqueeze(1)), batch_size=2)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Line(), loader)
    return trainer


def test_running_means_are_those_of_the_batches_so_far_and_add_up() -> None:
    seen: list[dict[str, dict[str, torch.Tensor]]] = []

    class Read(Callback):
        def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
            seen.append(lightning_internals.running_means(trainer))

    trainer = fit(Read(), epochs=1)
    (key,) = (key for key in seen[1] if key.endswith("loss"))
    assert [int(means[key]["cumulated_batch_size"]) for means in seen] == [2, 4, 6]
    metrics = trainer.fit_loop.epoch_loop._results
    before = float(metrics[key].value) if key in metrics else 0.0
    lightning_internals.add_running_means(trainer, seen[0])
    assert float(metrics[key].value) == pytest.approx(before + float(seen[0][key]["value"]))


def test_the_epoch_that_starts_is_not_counted_while_it_is_saved() -> None:
    seen: list[tuple[int, int, int]] = []

    class Read(Callback):
        def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            progress = trainer.fit_loop.epoch_progress.current
            with lightning_internals.before_the_epoch(trainer):
                inside = progress.ready
            seen.append((inside, progress.ready, progress.completed))

    fit(Read())
    assert seen == [(0, 1, 0), (1, 2, 1)]


def test_batches_are_drawn_again_from_the_restored_random_state() -> None:
    """A shuffled DataLoader draws its order when it is iterated: too early for a callback, but for this."""
    orders: list[list[float]] = []

    class Shuffled(Line):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            orders[-1] += batch[0].flatten().tolist()
            return super().training_step(batch, batch_idx)

    class Restore(Callback):
        def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            orders.append([])
            torch.manual_seed(7)
            if trainer.current_epoch == 0:
                lightning_internals.draw_batches_again(trainer)

    loader = DataLoader(TensorDataset(torch.arange(20.0).unsqueeze(1)), batch_size=5, shuffle=True)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=2,
        callbacks=[Restore()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Shuffled(), loader)
    assert orders[0] == orders[1] != sorted(orders[0])


def test_the_basic_sweeper_lists_every_combination() -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(["a=1,2", "b=x", "c=choice(3,4)"])
    jobs = lightning_internals.jobs_of_the_basic_sweeper(parsed)
    assert jobs == [["a=1", "b=x", "c=3"], ["a=1", "b=x", "c=4"], ["a=2", "b=x", "c=3"], ["a=2", "b=x", "c=4"]]


def test_hydras_own_options_are_parsed() -> None:
    arguments = lightning_internals.hydra_arguments().parse_args(["-m", "--config-dir", "mine", "a=1"])
    assert arguments.multirun
    assert arguments.config_dir == "mine"
    assert arguments.overrides == ["a=1"]
