"""The first steps of a training, on a copy and under observation."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from lightning import LightningModule, Trainer, seed_everything
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.dropout import _DropoutNd
from tqdm import tqdm

from .classifier import Classifier
from .data import Data, Rows, global_random_states_kept
from .loader import Batches
from .record import Record, Scores
from .signals import Numbers
from .watch import Watch

MOST_ROWS = 1000  # scored at a time
BY_HEART = 32  # rows that any network that can learn learns by heart
MOST_NUMBERS = 2**27  # that their copies may hold


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
    with random_states_kept(), parameters_not_told(), warnings.catch_warnings():
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
    copies = max(1, min(-(-len(data.train.y) // len(few.y)), MOST_NUMBERS // few.x.numel()))
    repeated = Rows(few.x.repeat(copies, *[1] * (few.x.ndim - 1)), few.y.repeat(copies))
    record = observed(classifier, replace(data, train=repeated, val=few), **settings)
    return record.scores[max(record.scores)].val_loss if record.scores else None


class Observer(Watch):
    """Keep the record; stop after ``steps``."""

    def __init__(self, record: Record, data: Data, steps: int, bar: tqdm | None) -> None:
        self.record = record
        self.steps = steps
        self.bar = bar
        self.losses: list[Tensor] = []
        self.parts = [some(data.train), some(data.val)]

    def chosen(self, step: int) -> bool:
        return step % 10 == 0 or (step < 20 and step % 2 == 0)

    def measured(self, trainer: Trainer, step: int, numbers: Numbers, norm: float) -> None:
        self.record.add(step, numbers, norm, trainer.optimizers[0])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self.record.begin(pl_module, trainer.optimizers[0], clipped=trainer.gradient_clip_val is not None)
        self.score(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if isinstance(loss, Tensor):
            self.losses.append(loss.detach().float())
        before = self.step
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if self.step == before:
            return
        if self.bar is not None:
            self.bar.update()
        if self.step % 25 == 0:
            self.score(trainer, pl_module)
        if self.step >= self.steps:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.score(trainer, pl_module)
        arriving = self.signals.activations
        arriving.window.clear()
        arriving.watch()
        self.score(trainer, pl_module, parts=self.parts[1:])
        numbers, _ = self.signals.end()
        losses = torch.stack(self.losses).tolist() if self.losses else []
        self.record.end(self.signals, numbers["dead_units"], losses)

    @torch.no_grad()
    def score(self, trainer: Trainer, pl_module: LightningModule, parts: list[Rows] | None = None) -> None:
        plugin, device = trainer.precision_plugin, pl_module.device
        modes = {module: module.training for module in pl_module.modules()}
        pl_module.eval()
        found: list[float] = []
        with plugin.forward_context():
            for rows in parts or self.parts:
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


@contextmanager
def parameters_not_told() -> Iterator[None]:
    """Once is enough: each of many trials would count them."""
    teller = logging.getLogger(Classifier.__module__)
    level = teller.level
    teller.setLevel(logging.WARNING)
    try:
        yield
    finally:
        teller.setLevel(level)


@contextmanager
def random_states_kept() -> Iterator[None]:
    """Undo what the block does to the global random states, of torch on all devices as well."""
    with torch.random.fork_rng(), global_random_states_kept():
        yield
