"""A short training of a copy of the module, measured on the way."""

import warnings
from copy import deepcopy
from typing import Any

import torch
from lightning import LightningDataModule, LightningModule, Trainer, seed_everything
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from ..data.batches import Batches, Samples
from .history import DROPOUTS, History, Scores
from .layer_statistics import Numbers
from .probe import Probe
from .problem import MOST_AT_ONCE, Problem, some

QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


def trial(
    module: LightningModule,
    data: LightningDataModule,
    problem: Problem | None,
    *,
    steps: int,
    seed: int,
    bar: tqdm | None = None,
    **settings: Any,
) -> History:
    """Train a copy of ``module`` for ``steps`` steps, and change the global random state.

    ``settings`` are arguments of ``lightning.Trainer``.
    """
    history = History(problem.num_classes, batch_size=problem.batch_size) if problem else History(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice is for long runs
        seed_everything(seed, verbose=False)
        if problem and problem.num_classes:
            history.start_loss, history.dropout_loss = losses_before(deepcopy(module), problem)
        callbacks = [Recorder(history, problem, steps, bar), *deepcopy(settings.get("callbacks", []))]
        limits = {"max_epochs": steps, "num_sanity_val_steps": 0}
        trainer = Trainer(**{**limits, **settings, **QUIET, "callbacks": callbacks})
        if problem and problem.in_memory:
            train = Batches(problem.train, problem.batch_size, seed)
            trainer.fit(deepcopy(module), train, Batches(problem.val, MOST_AT_ONCE))
        else:
            attached = data.trainer
            trainer.fit(deepcopy(module), datamodule=data)
            data.trainer = attached
    return history


class Recorder(Probe):
    """Fill in the history; stop after ``steps``."""

    def __init__(self, history: History, problem: Problem | None, steps: int, bar: tqdm | None) -> None:
        self.history, self.steps, self.bar = history, steps, bar
        self.losses: list[Tensor] = []
        self.splits = [some(problem.train), some(problem.val)] if problem and problem.num_classes else []

    def chosen(self, step: int) -> bool:
        return step % 10 == 0 or (step < 20 and step % 2 == 0)

    def measured(self, trainer: Trainer, step: int, numbers: Numbers, norm: float) -> None:
        self.history.add(step, numbers, norm, trainer.optimizers)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self.history.begin(pl_module, trainer.optimizers, clipped=trainer.gradient_clip_val is not None)
        self.score(trainer, pl_module, self.splits)

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
            self.score(trainer, pl_module, self.splits)
        if self.step >= self.steps:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.score(trainer, pl_module, self.splits)
        dead = self.history.last_dead
        if self.history.scores:  # then dead units are judged on the validation samples
            self.statistics.activations.window.clear()
            self.statistics.activations.start()
            self.score(trainer, pl_module, self.splits[1:])
            dead = self.statistics.end()[0]["dead_units"]
        losses = torch.stack(self.losses).tolist() if self.losses else []
        self.history.end(self.statistics, dead, losses)

    @torch.no_grad()
    def score(self, trainer: Trainer, pl_module: LightningModule, splits: list[Samples]) -> None:
        """Evaluate the splits, if ``forward`` returns logits."""
        plugin, device = trainer.precision_plugin, pl_module.device
        modes = {module: module.training for module in pl_module.modules()}
        pl_module.eval()
        found: list[float] = []
        with plugin.forward_context():
            for x, y in splits:
                logits = logits_of(pl_module, plugin.convert_input(x.to(device)), self.history.num_classes)
                if logits is None:
                    break
                target = y.to(device)
                found += [cross_entropy(logits, target).item(), (logits.argmax(1) == target).double().mean().item()]
        for module, mode in modes.items():
            module.training = mode
        if len(found) == 4:
            self.history.scores[self.step] = Scores(*found)


def logits_of(module: LightningModule, x: Tensor, num_classes: int) -> Tensor | None:
    """What ``forward`` returns for samples, if that is a row of logits for each."""
    try:
        logits = module(x)
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError):  # a forward with another purpose
        return None
    fits = isinstance(logits, Tensor) and logits.ndim == 2 and len(logits) == len(x) and logits.shape[1] >= num_classes
    return logits.float() if fits else None


@torch.no_grad()
def losses_before(module: LightningModule, problem: Problem) -> tuple[float | None, float | None]:
    """The loss before the first step, in training mode: without and with dropout."""
    module.train()
    x, y = (part.to(module.device) for part in some(problem.train))
    with_dropout = logits_of(module, x, problem.num_classes)
    disable_dropout(module)
    without = logits_of(module, x, problem.num_classes)
    losses = [None if logits is None else cross_entropy(logits, y).item() for logits in (without, with_dropout)]
    return losses[0], losses[1]


def disable_dropout(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, DROPOUTS):
            part.p = 0.0
