"""The first steps of a training, on a copy and under observation."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer, seed_everything
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.dropout import _DropoutNd
from torch.optim import Optimizer
from tqdm import tqdm

from .data import Data, Rows, global_random_states_kept
from .loader import Batches
from .record import Record, Scores
from .signals import Signals, weights_of

MOST_ROWS = 1000  # scored at a time
BY_HEART = 32  # rows that any network that can learn learns by heart


def observed(
    classifier: LightningModule,
    data: Data,
    *,
    steps: int,
    batch_size: int,
    seed: int,
    bar: tqdm | None = None,
    **settings: Any,
) -> Record:
    """Train a copy of ``classifier`` for ``steps`` steps and keep the record."""
    record = Record(data.num_classes, batch_size=batch_size)
    with random_states_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice is for long runs
        seed_everything(seed, verbose=False)
        record.start_loss, record.silenced_loss = start_of(deepcopy(classifier), data)
        observer = Observer(record, data, steps, bar)
        trainer = Trainer(
            **{
                "max_epochs": steps,
                "num_sanity_val_steps": 0,
                **settings,
                "logger": False,
                "callbacks": [observer, *deepcopy(settings.get("callbacks", []))],
                "enable_checkpointing": False,
                "enable_progress_bar": False,
                "enable_model_summary": False,
            }
        )
        trainer.fit(deepcopy(classifier), Batches(data.train, batch_size, seed), Batches(data.val, MOST_ROWS))
    return record


def loss_by_heart(classifier: LightningModule, data: Data, **settings: Any) -> float | None:
    """The loss on a few rows after training on them alone, nothing silenced."""
    classifier = deepcopy(classifier)
    silence_nothing(classifier)
    settings = {**settings, "callbacks": []}  # nothing stops early
    few = Rows(*(part[:BY_HEART] for part in data.train))
    copies = -(-len(data.train.y) // len(few.y))
    repeated = Rows(few.x.repeat(copies, *[1] * (few.x.ndim - 1)), few.y.repeat(copies))
    record = observed(classifier, replace(data, train=repeated, val=few), **settings)
    return record.scores[max(record.scores)].val_loss if record.scores else None


class Observer(Callback):
    """Measure the first steps closely and later ones now and then; stop after ``steps``."""

    def __init__(self, record: Record, data: Data, steps: int, bar: tqdm | None) -> None:
        self.record = record
        self.steps = steps
        self.bar = bar
        self.step = 0
        self.measuring = self.stepped = False
        self.losses: list[Tensor] = []
        self.parts = [some(data.train), some(data.val)]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.signals = Signals(pl_module)
        group = trainer.optimizers[0].param_groups[0]
        self.record.learning_rate = float(group.get("max_lr", group.get("initial_lr", group["lr"])))
        self.record.momentum = float(group.get("momentum", 0.0))
        self.record.clipped = trainer.gradient_clip_val is not None
        self.record.dropout = {n: part.p for n, part in pl_module.named_modules() if isinstance(part, _DropoutNd)}
        self.record.shapes = {name: tuple(weights_of(layer)[0].shape) for name, layer in self.signals.layers.items()}
        self.score(trainer, pl_module)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if not self.measuring and (self.step % 10 == 0 or self.step < 20 and self.step % 2 == 0):
            self.measuring = True
            self.signals.begin()

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        self.stepped = True
        if self.measuring:
            self.signals.before_step(optimizer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if isinstance(loss, Tensor):
            self.losses.append(loss.detach().float())
        if not self.stepped:  # gradients are being accumulated
            return
        if self.measuring:
            self.record.measured[self.step], self.record.gradient[self.step] = self.signals.end()
            self.record.rates[self.step] = float(trainer.optimizers[0].param_groups[0]["lr"])
        self.measuring = self.stepped = False
        self.step += 1
        if self.bar is not None:
            self.bar.update()
        if self.step % 25 == 0:
            self.score(trainer, pl_module)
        if self.step >= self.steps:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.signals.activations.watch()
        self.score(trainer, pl_module, only_val=True)
        self.record.on_validation = self.signals.end()[0]
        self.score(trainer, pl_module)
        self.record.order = self.signals.activations.order
        self.record.losses = torch.stack(self.losses).tolist() if self.losses else []
        self.record.alike = {
            name: twins(weights_of(layer)[0].detach()) for name, layer in self.signals.layers.items()
        }

    @torch.no_grad()
    def score(self, trainer: Trainer, pl_module: LightningModule, only_val: bool = False) -> None:
        plugin, device = trainer.precision_plugin, pl_module.device
        modes = {module: module.training for module in pl_module.modules()}
        pl_module.eval()
        found: list[float] = []
        with plugin.forward_context():
            for rows in self.parts[1:] if only_val else self.parts:
                logits = logits_of(pl_module, plugin.convert_input(rows.x.to(device)), self.record.num_classes)
                if logits is None:
                    break
                y = rows.y.to(device)
                found += [cross_entropy(logits, y).item(), (logits.argmax(dim=1) == y).double().mean().item()]
        for module, mode in modes.items():
            module.training = mode
        if len(found) == 4:
            self.record.scores[self.step] = Scores(*found)


def some(rows: Rows) -> Rows:
    return Rows(*(part[:MOST_ROWS] for part in rows))


def logits_of(module: LightningModule, x: Tensor, num_classes: int) -> Tensor | None:
    """What ``forward`` makes of rows, if that is a row of logits for each."""
    try:
        logits = module(x)
    except (NotImplementedError, TypeError, RuntimeError, ValueError):  # a forward for something else
        return None
    fits = isinstance(logits, Tensor) and logits.shape == (len(x), num_classes)
    return logits.float() if fits else None


@torch.no_grad()
def start_of(classifier: LightningModule, data: Data) -> tuple[float | None, float | None]:
    """The loss of the first step, by the statistics of its batch: nothing silenced, and as training silences."""
    rows = some(data.train)
    classifier.train()
    losses: list[float | None] = []
    silenced = logits_of(classifier, rows.x.to(classifier.device), data.num_classes)
    silence_nothing(classifier)
    whole = logits_of(classifier, rows.x.to(classifier.device), data.num_classes)
    for logits in (whole, silenced):
        losses.append(None if logits is None else cross_entropy(logits, rows.y.to(logits.device)).item())
    return losses[0], losses[1]


def silence_nothing(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, _DropoutNd):
            part.p = 0.0


def twins(weight: Tensor) -> float:
    """Share of the units whose incoming weights another unit has as well."""
    units = weight.flatten(1)
    if len(units) < 2:
        return 0.0
    return 1 - len(units.unique(dim=0)) / len(units)


@contextmanager
def random_states_kept() -> Iterator[None]:
    """Undo what the block does to the global random states, of torch on all devices as well."""
    with torch.random.fork_rng(), global_random_states_kept():
        yield
