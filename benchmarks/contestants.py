"""Ways to train the same network, each in a process of its own that trains an epoch whenever it is handed the turn:

    python contestants.py bare|usual|sklearn OVERRIDES...     in a folder where the project's package can be imported

The project itself takes part by its real ``train.py``, with ``Baton`` among its callbacks.
"""

import os
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from lightning import Callback, LightningModule, Trainer

FOREVER = 1_000_000


class Turn:
    """A pair of pipes: a byte comes in when it is one's turn, a line goes out when it ends."""

    def __init__(self) -> None:
        self.incoming, self.outgoing = (int(os.environ[name]) for name in ("TURN_IN", "TURN_OUT"))

    def take(self) -> None:
        if not os.read(self.incoming, 1):
            os._exit(0)  # the race is over
        self.since = perf_counter()

    def end(self, accuracy: float) -> None:
        """Say how long the turn took, and the accuracy on the validation rows after it."""
        os.write(self.outgoing, f"{perf_counter() - self.since} {accuracy}\n".encode())


class Baton(Callback):
    """Train by turns of one epoch, with all that belongs to it: validation, metrics, checkpoints."""

    def __init__(self) -> None:
        self.turn = Turn()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch > 0:
            self.turn.end(float(trainer.callback_metrics["val/accuracy"]))
        self.turn.take()


class FitSeconds(Callback):
    """Add a line to ``fit_seconds.txt`` for each run: how long ``fit`` took."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.since = perf_counter()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        with Path("fit_seconds.txt").open("a") as file:
            file.write(f"{perf_counter() - self.since}\n")


class EndAtFirstStep(Callback):
    """End the process when the first step of training is done."""

    def on_train_batch_end(self, *arguments: Any) -> None:
        os._exit(0)


def bare(project: Any, overrides: list[str]) -> None:
    """The loop that one writes by hand: tensors, one index a batch, the same optimizer, schedule and clipping."""
    import torch
    from torch.nn.functional import cross_entropy
    from torch.nn.utils import clip_grad_norm_

    config, data, classifier = project(overrides)
    network, optimizer, scheduler = on_device(classifier, config)
    device = next(network.parameters()).device
    (x, y), (x_val, y_val) = ((rows.x.to(device), rows.y.to(device)) for rows in (data.train, data.val))
    turn = Turn()
    while True:
        turn.take()
        for index in torch.randperm(len(y)).to(device).split(config.data.batch_size):
            loss = cross_entropy(network(x[index]), y[index])
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(network.parameters(), config.trainer.gradient_clip_val)
            optimizer.step()
            scheduler.step()
        network.eval()
        with torch.no_grad():
            batches = zip(x_val.split(config.data.batch_size), y_val.split(config.data.batch_size), strict=True)
            right = sum((network(x).argmax(dim=-1) == y).sum() for x, y in batches)
        network.train()
        turn.end(int(right) / len(y_val))


def on_device(classifier: Any, config: Any) -> tuple[Any, Any, Any]:
    """Network, optimizer and scheduler as the project makes them."""
    import torch

    network = classifier.network.to("cuda" if torch.cuda.is_available() else "cpu")
    optimizer = classifier.optimizer([{"params": list(network.parameters()), "weight_decay": 0.0}])
    return network, optimizer, classifier.scheduler(optimizer, FOREVER)["scheduler"]


def usual(project: Any, overrides: list[str]) -> None:
    """As popular templates do it: samples one by one, each through its transforms, and metrics fed in every step."""
    import torch
    from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, RichProgressBar
    from lightning.pytorch.loggers import CSVLogger
    from samples import Samples
    from torch.nn import ModuleDict
    from torch.nn.functional import cross_entropy
    from torch.utils.data import DataLoader
    from torchmetrics import MeanMetric
    from torchmetrics.classification import MulticlassAccuracy

    config, data, classifier = project(overrides)

    class Usual(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = classifier.network
            names = ("for_train", "for_val")
            self.losses = ModuleDict({name: MeanMetric() for name in names})
            self.accuracies = ModuleDict(
                {name: MulticlassAccuracy(data.num_classes, average="micro") for name in names}
            )

        def step(self, batch: Any, name: str) -> Any:
            x, y = batch
            logits = self.network(x)
            loss = cross_entropy(logits, y)
            metrics = {"loss": self.losses[f"for_{name}"], "accuracy": self.accuracies[f"for_{name}"]}
            metrics["loss"](loss)
            metrics["accuracy"](logits.argmax(dim=1), y)
            for what, metric in metrics.items():
                self.log(f"{name}/{what}", metric, on_step=False, on_epoch=True, prog_bar=True)
            return loss

        def training_step(self, batch: Any, batch_index: int) -> Any:
            return self.step(batch, "train")

        def validation_step(self, batch: Any, batch_index: int) -> None:
            self.step(batch, "val")

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), lr=config.optimizer.lr, weight_decay=0.0)

    loaders = [
        DataLoader(Samples(rows), config.data.batch_size, shuffle=rows is data.train) for rows in (data.train, data.val)
    ]
    trainer = Trainer(
        max_epochs=FOREVER,
        gradient_clip_val=config.trainer.gradient_clip_val,
        logger=CSVLogger("usual"),
        callbacks=[
            Baton(),
            ModelCheckpoint(monitor="val/loss", save_last=True),
            EarlyStopping("val/loss", patience=FOREVER),
            RichProgressBar(),
        ],
        num_sanity_val_steps=0,
        enable_model_summary=False,
        accelerator=config.trainer.accelerator,
    )
    trainer.fit(Usual(), *loaders)


# The best on the validation rows of 27: three sizes, three learning rates, three batch sizes, one seed.
BEST_OF_SKLEARN = {
    "mnist1d": {"hidden_layer_sizes": (256, 256), "learning_rate_init": 0.005, "batch_size": 32},
    "digits": {"hidden_layer_sizes": (512,), "learning_rate_init": 0.005, "batch_size": 32},
}


def sklearn(project: Any, overrides: list[str]) -> None:
    """Scikit-learn's MLP with Adam, at its best settings for the data."""
    import warnings

    import numpy as np
    from sklearn.neural_network import MLPClassifier

    config, data, _ = project(overrides)
    (name,) = (word.partition("=")[2] for word in overrides if word.startswith("data="))
    (x, y), (x_val, y_val) = ((rows.x.flatten(1).numpy(), rows.y.numpy()) for rows in (data.train, data.val))
    model = MLPClassifier(**BEST_OF_SKLEARN[name], random_state=config.seed)
    warnings.simplefilter("ignore")
    turn = Turn()
    while True:
        turn.take()
        model.partial_fit(x, y, classes=np.arange(data.num_classes))
        turn.end(model.score(x_val, y_val))


if __name__ == "__main__":
    package, name, *rest = sys.argv[1:]
    sys.path.insert(0, os.environ["PROJECT"])
    from importlib import import_module

    import_module(f"{package}.command_line").register_resolvers()
    composition, build = import_module(f"{package}.composition"), import_module(f"{package}.build").build

    def project(overrides: list[str]) -> Any:
        from hydra.core.hydra_config import HydraConfig

        with composition.hydra_here():
            config = composition.composed("train", overrides)
            HydraConfig.instance().set_config(config)
            config = composition.without_hydra(config)
            return config, *build(config)

    {"bare": bare, "usual": usual, "sklearn": sklearn}[name](project, rest)
