"""Data and modules that the doctor's tests share."""

from typing import Any

import torch
from lightning import LightningDataModule, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.optim import SGD, Adam
from torch.utils.data import DataLoader
from trainwell.data.batches import Batches, Samples


class InMemory(LightningDataModule):
    """Samples that are trained on as ``Batches``."""

    def __init__(self, train: Samples, val: Samples, num_classes: int, batch_size: int = 64) -> None:
        super().__init__()
        self.train, self.val, self.num_classes, self.batch_size = train, val, num_classes, batch_size

    def train_dataloader(self) -> Batches:
        return Batches(self.train, self.batch_size, seed=0)

    def val_dataloader(self) -> Batches:
        return Batches(self.val, self.batch_size)


class DictBatches(LightningDataModule):
    """Batches ``{"signal": ..., "target": ...}`` from an ordinary DataLoader."""

    def setup(self, stage: str) -> None:
        x = torch.randn(180, 4, generator=torch.Generator().manual_seed(0))
        self.examples = [{"signal": row, "target": row.sum()} for row in x]

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.examples[:120], batch_size=20, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.examples[120:], batch_size=20)


class TwoOptimizersByHand(LightningModule):
    """Two optimizers stepped by hand, one of them in every second batch; returns no loss, has no ``forward``."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.automatic_optimization = False
        self.body, self.top = nn.Linear(4, 8), nn.Linear(8, 1)

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        loss = mse_loss(self.top(self.body(batch["signal"]).relu())[:, 0], batch["target"])
        body, top = self.optimizers()
        body.zero_grad()
        top.zero_grad()
        self.manual_backward(loss)
        body.step()
        if batch_index % 2:
            top.step()
        self.log("train/loss", loss, on_step=False, on_epoch=True)

    def validation_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        loss = mse_loss(self.top(self.body(batch["signal"]).relu())[:, 0], batch["target"])
        self.log("val/loss", loss)

    def configure_optimizers(self) -> Any:
        return Adam(self.body.parameters(), lr=0.01), SGD(self.top.parameters(), lr=0.01)


class Classifier(LightningModule):
    """Cross-entropy and gradient descent; logs loss and accuracy of both splits."""

    def __init__(self, network: nn.Module, optimizer: Any = None) -> None:
        super().__init__()
        self.network = network
        self.optimizer = optimizer or (lambda parameters: SGD(parameters, lr=0.1))

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def training_step(self, batch: Samples, batch_index: int) -> Tensor:
        return self.step(batch, "train")

    def validation_step(self, batch: Samples, batch_index: int) -> None:
        self.step(batch, "val")

    def step(self, batch: Samples, split: str) -> Tensor:
        logits = self(batch.x)
        loss = cross_entropy(logits, batch.y)
        accuracy = (logits.argmax(dim=1) == batch.y).float().mean()
        metrics = {f"{split}/loss": loss, f"{split}/accuracy": accuracy}
        self.log_dict(metrics, on_step=False, on_epoch=True, batch_size=len(batch.y))
        return loss

    def configure_optimizers(self) -> Any:
        return self.optimizer(self.network.parameters())


def some_samples(count: int, features: int = 4, classes: int = 3) -> Samples:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, features, generator=generator, dtype=torch.float64)
    return Samples(x, torch.randint(classes, (count,), generator=generator))


def fit(module: LightningModule, samples: Samples, batch_size: int, **settings: Any) -> Trainer:
    """Train in float64 on the samples in their own order, and validate on the same."""
    trainer = quiet_trainer(**{"precision": "64-true", **settings})
    trainer.fit(module, Batches(samples, batch_size), Batches(samples, batch_size))
    return trainer


def quiet_trainer(**settings: Any) -> Trainer:
    quiet = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": 1,
        "logger": False,
        "log_every_n_steps": 1,
        "num_sanity_val_steps": 0,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return Trainer(**{**quiet, **settings})
