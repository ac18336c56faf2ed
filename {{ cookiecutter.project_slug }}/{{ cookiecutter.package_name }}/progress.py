"""One progress bar for the whole training, instead of one for every epoch."""

from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm


class TrainingBar(ProgressBar):
    """A bar over all steps, with the epoch and the last validation beside it. Not drawn where there is no terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.bar: tqdm | None = None
        self.enabled = True

    def disable(self) -> None:
        self.enabled = False

    def enable(self) -> None:
        self.enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        steps = trainer.num_training_batches * (trainer.max_epochs or 0)
        known = 0 < steps < float("inf")
        self.bar = tqdm(
            total=int(steps) if known else None,
            initial=trainer.fit_loop.epoch_loop.total_batch_idx + 1,
            unit=" steps",
            disable=None if self.enabled else True,
            leave=False,
            dynamic_ncols=True,
        )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.bar is not None:
            self.bar.update()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.bar is not None:
            self.bar.set_description(f"epoch {trainer.current_epoch}", refresh=False)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.bar is not None:
            seen = {name: f"{float(trainer.callback_metrics[name]):.3f}" for name in ("val/loss", "val/accuracy")}
            self.bar.set_postfix(seen, refresh=False)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.close()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
