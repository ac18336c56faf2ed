"""A short training of a copy of the module, measured on the way."""

import warnings
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from copy import deepcopy
from functools import partial
from itertools import islice
from time import thread_time
from types import MethodType
from typing import Any

import torch
from lightning import LightningDataModule, LightningModule, Trainer, seed_everything
from lightning.fabric.utilities.apply_func import move_data_to_device
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer
from tqdm import tqdm

from ..callbacks.training_stats import tensors_in
from ..console import QUIET
from ..data.batches import Samples
from ..lightning_internals import is_compiled
from ..rng import preserved_random_states
from .cost import FirstOfBatches
from .forward_checks import (
    FEW,
    curvature,
    influential,
    inspect_fading,
    inspect_forward,
    inspect_future,
    inspect_rank,
    saturated_gates,
)
from .history import DROPOUTS, History
from .inspection import GRAPHS, Inspector
from .layer_statistics import Numbers
from .loss_calls import LossCalls
from .probe import Probe
from .problem import MOST_AT_ONCE, Batch, Problem, subsample
from .scoring import (
    VALIDATION_FIRST,
    Scorer,
    batch_statistics_loss,
    calls_of_step,
    inspect_evaluation,
    losses_before,
    objective_of,
    only_call,
    outputs_of_step,
    recorded_step,
    with_forward,
)
from .step_checks import inspect_samples, inspect_targets, raw_parts
from .treatments import NOTHING, Treatment, copied

UNSTEPPED = 50  # batches without a step, beyond those that are accumulated, after which a trial ends
FEWEST_STEPS = 60  # however long they take
INSPECTED = 64  # validation samples that forward passes of the trained network are compared on
EVALUATED_EVERY = 25  # steps


def trial(
    module: LightningModule,
    data: LightningDataModule,
    problem: Problem | None,
    *,
    steps: int,
    seed: int,
    bar: tqdm,
    treatment: Treatment = NOTHING,
    seconds: float | None = None,
    **settings: Any,
) -> History:
    """Train a copy of ``module`` for ``steps`` steps, and change the global random state.

    ``settings`` are arguments of ``lightning.Trainer``. After ``seconds`` of computing it ends early.
    """
    if treatment.problem and problem:
        problem = treatment.problem(problem)
    sizes = (problem.batch_size, problem.trial_batch_size) if problem else (0, 0)
    history = History(problem.num_classes if problem else 0, batch_size=sizes[0], trial_batch_size=sizes[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice is for long runs
        seed_everything(seed, verbose=False)
        copy = copied(module, treatment)
        if problem and problem.num_classes:
            history.start_loss, history.dropout_loss = losses_before(deepcopy(copy), problem)
        recorder = Recorder(history, problem, steps, bar, seconds)
        own = [treatment.callback()] if treatment.callback else []
        callbacks = [*own, recorder, *deepcopy(settings.get("callbacks", []))]
        limits = {"max_epochs": steps, "num_sanity_val_steps": 0}
        trainer = Trainer(**{**limits, **settings, **treatment.settings, **QUIET, "callbacks": callbacks})
        with recorder.calls_noted:
            if problem and problem.in_memory:
                train = problem.loader(problem.train, problem.trial_batch_size, seed)
                trainer.fit(copy, train, problem.loader(problem.val, MOST_AT_ONCE))
            elif sizes[1] < sizes[0]:
                trainer.fit(copy, FirstOfBatches(data.train_dataloader(), sizes[1]), data.val_dataloader())
            else:
                attached = data.trainer
                trainer.fit(copy, datamodule=data)
                data.trainer = attached
    return history


class Recorder(Probe):
    """Fill in the history; stop after ``steps``."""

    def __init__(self, history: History, problem: Problem | None, steps: int, bar: tqdm, seconds: float | None) -> None:
        self.history, self.problem, self.steps, self.bar = history, problem, steps, bar
        self.losses: list[Tensor] = []
        self.scorer = Scorer(problem) if problem else None
        self.inspector, self.calls, self.calls_noted = Inspector(), LossCalls(), ExitStack()
        self.seconds, self.begun = seconds, thread_time()
        self.compiled = False
        self.start_curvature: float | None = None

    def chosen(self, step: int) -> bool:
        return step % 10 == 0 or (step < 20 and step % 2 == 0)

    def measured(self, trainer: Trainer, step: int, numbers: Numbers, norm: float) -> None:
        self.history.add(step, numbers, norm, trainer.optimizers)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self.history.begin(pl_module, trainer.optimizers, clipped=trainer.gradient_clip_val is not None)
        self.history.planned = float(trainer.estimated_stepping_batches)
        self.history.val_count = min(len(self.problem.val.y), self.problem.scored) if self.problem else 0
        if self.scorer and self.scorer.measure:
            self.history.score = self.scorer.measure.name
        self.inspector.start(pl_module, trainer.optimizers)
        self.compiled = any(map(is_compiled, pl_module.modules()))  # compiled code would have to note calls as well
        if self.problem:  # a network that training has killed would pass for a linear one
            with trainer.precision_plugin.forward_context(), preserved_random_states():
                few = prepared_batch(self.problem, subsample(self.problem.val, FEW), trainer, pl_module)
                alone = with_forward(pl_module, few)
                self.start_curvature = curvature(alone, few.x)
                run = partial(recorded_step, alone, few.collated)
                self.inspector.found.gates = saturated_gates(alone, run)
                if few.y.numel():  # before training, which may teach a network to ignore what others mix in
                    inspect_samples(self.inspector.found, partial(calls_of_step, alone), few.collated)
        self.score(trainer, pl_module)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        if not self.compiled and (self.inspector.found.batches < GRAPHS or self.step == self.steps - 1):
            self.calls_noted.enter_context(self.calls)

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        alone = len(self.calls.results) == 1 and trainer.accumulate_grad_batches == 1
        if alone and not self.inspector.found.batches and loss.shape == self.calls.results[0].shape:
            self.inspector.before_first_backward(pl_module, loss, self.calls.results[0])
        self.inspector.note_results(self.calls.results)
        self.calls.results.clear()
        self.inspector.before_backward(pl_module, trainer.optimizers, loss)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        super().on_before_optimizer_step(trainer, pl_module, optimizer)
        self.inspector.before_step(trainer.optimizers, optimizer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.calls_noted.close()
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if isinstance(loss, Tensor):
            self.losses.append(loss.detach().float())
        before = self.step
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        self.inspector.after_batch(self.step > before, self.statistics.activations.order)
        if self.step == before:
            if not self.step and self.inspector.found.batches > UNSTEPPED + trainer.accumulate_grad_batches:
                trainer.should_stop = True
            return
        self.bar.update()
        if self.step % EVALUATED_EVERY == 0:
            self.score(trainer, pl_module)
        late = self.seconds is not None and self.step >= FEWEST_STEPS and thread_time() - self.begun > self.seconds
        if self.step >= self.steps or late:
            trainer.should_stop = True

    def on_validation_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        found, active = self.inspector.found, [part for part in pl_module.modules() if part.training]
        found.dropped = max([found.dropped, *(part.p for part in active if isinstance(part, DROPOUTS))])
        found.normalises_batches |= any(isinstance(part, _BatchNorm) for part in active)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.score(trainer, pl_module)
        last = self.history.last
        again = self.scorer.scores(trainer, pl_module) if self.scorer and last else None
        if again and last:  # equal, unless evaluation is random
            self.history.noise = (abs(again.val_accuracy - last.val_accuracy), abs(again.val_loss - last.val_loss))
        dead = self.history.last_dead
        if self.scorer and self.history.scores:  # then dead units are judged on the validation samples
            self.statistics.activations.window.clear()
            self.statistics.activations.start()
            self.scorer.scores(trainer, pl_module, only_val=True)
            dead = self.statistics.end()[0]["dead_units"] or dead  # none are seen of a module that is copied for it
        losses = torch.stack(self.losses).tolist() if self.losses else []
        self.history.end(self.statistics, dead, losses)
        if self.calls.dropped > max(self.history.dropout.values(), default=0.0):  # by a function, not by a layer
            self.history.dropout["forward"] = self.calls.dropped
        self.history.inspection = self.inspector.end(pl_module, trainer.optimizers, self.calls.found)
        self.history.inspection.log_probability = self.calls.log_probability
        self.inspect(trainer, pl_module)
        if not self.history.scores and pl_module.automatic_optimization:
            with preserved_random_states():
                batches = self.some_batches(trainer)
                differ = len(batches) == 2 and not are_same(*batches)  # else both hold one graph, say, with masks
                of_splits = [objective_of(pl_module, of_split) for of_split in batches if differ]
            known = [loss for loss in of_splits if loss is not None]
            self.history.objective = (known[0], known[1]) if len(known) == 2 else None

    def inspect_validation(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks that need batches, but no inputs and targets."""
        batches = self.some_batches(trainer)
        if batches and batches[1]:
            with preserved_random_states(), suppress(RuntimeError):  # a module that cannot be copied
                first = move_data_to_device(batches[1][0], pl_module.device)
                found = self.history.inspection
                inspect_evaluation(found, pl_module, first)
                found.raw = list(raw_parts(batches[0], found.calls))
                if not are_same(*batches):
                    inspect_samples(found, partial(calls_of_step, deepcopy(pl_module).eval()), first)

    def some_batches(self, trainer: Trainer) -> list[Any]:
        """A few batches of either split."""
        if self.problem:
            splits = [subsample(part, self.problem.scored) for part in (self.problem.train, self.problem.val)]
            return [[self.problem.batch(split, torch.device("cpu")).collated] for split in splits]
        data = trainer.datamodule  # type: ignore[attr-defined]
        if type(data).val_dataloader is LightningDataModule.val_dataloader:
            return []
        return [list(islice(loader, GRAPHS)) for loader in (data.train_dataloader(), data.val_dataloader())]

    def score(self, trainer: Trainer, pl_module: LightningModule) -> None:
        scores = self.scorer.scores(trainer, pl_module) if self.scorer else None
        if scores is not None:
            self.history.scores[self.step] = scores

    def inspect(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """What needs a forward pass of the trained network."""
        found, problem, last = self.history.inspection, self.problem, self.history.last
        if problem is None:
            self.inspect_validation(trainer, pl_module)
            return
        with trainer.precision_plugin.forward_context():
            few = prepared_batch(problem, subsample(problem.val, INSPECTED), trainer, pl_module)
            x = few.x
            try:
                alone = with_forward(pl_module, few)
            except RuntimeError:  # it keeps a tensor with a graph
                return
            inspect_evaluation(found, alone, few.collated)
            by_step = type(pl_module).forward is LightningModule.forward and "forward" not in vars(alone)
            if by_step:  # bound, so that a copy calls its own step
                alone.forward = MethodType(partial(outputs_of_step, problem, few.y), alone)  # type: ignore[method-assign]
            inspect_forward(found, alone, x, reorder=not (by_step and few.y.numel()))
            if by_step and found.randomness:  # as the samples of a variational autoencoder are, and must be
                found.randomness = found.mixing = None
            if found.unreached:
                found.cut = influential(deepcopy(alone), x, found.unreached, found.called)
            if found.aside:
                found.aside = influential(deepcopy(alone), x, found.aside, found.called) or []
            if found.frozen:  # the teacher of a distillation, say, is no part of the network
                depended_on = influential(deepcopy(alone), x, found.frozen, found.called)
                found.frozen = found.frozen if depended_on is None else depended_on
            if found.curvature is not None:
                found.curvature = max(found.curvature, self.start_curvature or 0.0)
            with torch.enable_grad():
                inspect_rank(found, alone, x)
                inspect_fading(found, alone, x)
            inspect_future(found, lambda x: only_call(alone, problem.collate(x, few.y), VALIDATION_FIRST), x)
            if few.y.numel():
                calls, y = partial(calls_of_step, alone), few.y[:FEW]
                inspect_samples(found, calls, problem.collate(x[:FEW], y))
                inspect_targets(found, calls, lambda y: problem.collate(x[:FEW], y), y)
            many = prepared_batch(problem, subsample(problem.train, problem.scored), trainer, pl_module)
            loss = batch_statistics_loss(alone, many, problem.num_classes)
        if loss is not None and last is not None:
            found.batch_norm = (last.train_loss, loss)


def are_same(some: Sequence[Any], others: Sequence[Any]) -> bool:
    """Whether the first batches are equal, apart from tensors that are sparse."""
    first, second = (
        [part for part in tensors_in(batches[:1]) if part.layout == torch.strided] for batches in (some, others)
    )
    return len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def prepared_batch(problem: Problem, samples: Samples, trainer: Trainer, module: LightningModule) -> Batch:
    """A batch on the device and in the precision of the module."""
    return problem.batch(samples, module.device, trainer.precision_plugin.convert_input)
