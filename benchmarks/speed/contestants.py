"""Other ways to train the same network, each in a process of its own that trains an epoch whenever it is its turn:

    python -m benchmarks.speed.contestants bare|bare_graph|usual|sklearn OVERRIDES...

The project itself takes part with its own ``train.py`` and the callback ``TakeTurns``.
"""

import os
import sys
import warnings
from functools import partial
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger
from omegaconf import DictConfig
from torch.nn import ModuleDict
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from .callbacks import TakeTurns, Turn
from .per_sample import PerSampleDataset
from .settings import FOREVER, TABLES


def bare(config: DictConfig, data: Any, task: Any, as_graph: bool = False) -> None:
    """A hand-written loop over tensors: one index a batch, the same optimizer, schedule, precision and clipping."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = task.network.to(device)
    optimizer = task.optimizer([{"params": list(network.parameters()), "weight_decay": 0.0}])
    scheduler = task.scheduler(optimizer, FOREVER)["scheduler"]
    (x, y), (x_val, y_val) = ((samples.x.to(device), samples.y.to(device)) for samples in (data.train, data.val))
    half = torch.autocast(device, torch.bfloat16, config.trainer.precision == "bf16-mixed", cache_enabled=not as_graph)

    def step(x: torch.Tensor, y: torch.Tensor) -> None:
        with half:
            loss = cross_entropy(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(network.parameters(), config.trainer.gradient_clip_val)
        optimizer.step()

    if as_graph and device == "cuda":
        step = captured(step, optimizer, x[: config.data.batch_size].clone(), y[: config.data.batch_size].clone())
    turn = Turn()
    while True:
        turn.take()
        for index in torch.randperm(len(y)).to(device).split(config.data.batch_size):
            step(x[index], y[index])
            scheduler.step()
        network.eval()
        with torch.no_grad(), half:
            batches = zip(x_val.split(config.data.batch_size), y_val.split(config.data.batch_size), strict=True)
            right = sum((network(x).argmax(dim=-1) == y).sum() for x, y in batches)
        network.train()
        turn.end(int(right) / len(y_val))


def captured(step: Any, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor) -> Any:
    """The step as a CUDA graph, which reads the tensors that are given: the limit of what a graph can gain."""
    for group in optimizer.param_groups:
        group["lr"], group["capturable"] = torch.tensor(group["lr"], device=x.device), True
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step(x, y)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(x, y)

    def replay(new_x: torch.Tensor, new_y: torch.Tensor) -> None:
        x.copy_(new_x)
        y.copy_(new_y)
        graph.replay()

    return replay


class UsualTask(LightningModule):
    """As popular templates write it: metrics that are updated and logged in every step."""

    def __init__(self, network: torch.nn.Module, num_classes: int, learning_rate: float) -> None:
        super().__init__()
        self.network = network
        self.learning_rate = learning_rate
        names = ("for_train", "for_val")
        self.losses = ModuleDict({name: MeanMetric() for name in names})
        self.accuracies = ModuleDict({name: MulticlassAccuracy(num_classes, average="micro") for name in names})

    def step(self, batch: Any, split: str) -> Any:
        x, y = batch
        logits = self.network(x)
        loss = cross_entropy(logits, y)
        metrics = {"loss": self.losses[f"for_{split}"], "accuracy": self.accuracies[f"for_{split}"]}
        metrics["loss"](loss)
        metrics["accuracy"](logits.argmax(dim=1), y)
        for name, metric in metrics.items():
            self.log(f"{split}/{name}", metric, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def training_step(self, batch: Any, batch_index: int) -> Any:
        return self.step(batch, "train")

    def validation_step(self, batch: Any, batch_index: int) -> None:
        self.step(batch, "val")

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), lr=self.learning_rate, weight_decay=0.0)


def usual(config: DictConfig, data: Any, task: Any) -> None:
    """As popular templates train: samples one by one, each through its transforms."""
    loaders = [
        DataLoader(PerSampleDataset(samples), config.data.batch_size, shuffle=samples is data.train)
        for samples in (data.train, data.val)
    ]
    stopping = EarlyStopping("val/loss", patience=FOREVER)
    callbacks = [TakeTurns(), ModelCheckpoint(monitor="val/loss", save_last=True), stopping, RichProgressBar()]
    as_here = {name: config.trainer[name] for name in ("gradient_clip_val", "accelerator")}
    fixed = {"max_epochs": FOREVER, "num_sanity_val_steps": 0, "enable_model_summary": False}
    trainer = Trainer(logger=CSVLogger("usual"), callbacks=callbacks, **as_here, **fixed)
    trainer.fit(UsualTask(task.network, data.num_classes, config.optimizer.lr), *loaders)


def sklearn(config: DictConfig, data: Any, task: Any) -> None:
    """Scikit-learn's MLP with Adam, at its best settings for the data."""
    from sklearn.neural_network import MLPClassifier

    name = config.data._target_.rpartition(".")[2].lower()
    (x, y), (x_val, y_val) = ((samples.x.flatten(1).numpy(), samples.y.numpy()) for samples in (data.train, data.val))
    model = MLPClassifier(**TABLES["to_an_accuracy"][name]["sklearn"], random_state=config.seed)
    warnings.simplefilter("ignore")
    turn = Turn()
    while True:
        turn.take()
        model.partial_fit(x, y, classes=np.arange(data.num_classes))
        turn.end(model.score(x_val, y_val))


def built(overrides: list[str]) -> tuple[DictConfig, LightningDataModule, LightningModule]:
    """Configuration, data and task as the project makes them. The working folder may be anywhere."""
    from hydra import compose, initialize_config_dir
    from trainwell.runs.load import build

    with initialize_config_dir(f"{os.environ['PROJECT']}/configs", version_base="1.3"):
        config = compose("train", overrides=overrides)
    return config, *build(config)


if __name__ == "__main__":
    sys.path.insert(0, os.environ["PROJECT"])
    ways = {"bare": bare, "bare_graph": partial(bare, as_graph=True), "usual": usual, "sklearn": sklearn}
    ways[sys.argv[1]](*built(sys.argv[2:]))
