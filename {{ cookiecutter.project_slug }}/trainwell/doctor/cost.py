"""How much a network computes, and how few samples and how small batches that leaves for a trial."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from lightning import LightningModule
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ..lightning_internals import is_compiled
from .inspection import is_known
from .problem import CALL_ERRORS, Collate, Problem, inputs_and_targets

STEP = 1e10  # operations of a step that one core does in a fraction of a second
SCORING = 1e11  # of an evaluation of both splits
BACKWARD = 3  # times the operations of a forward pass, which a step has
FEWEST_SCORED, SMALLEST_BATCH = 100, 8  # samples
TRIED = 2  # samples


def affordable(module: LightningModule, problem: Problem) -> Problem:
    """The problem with fewer samples to evaluate and smaller batches, as far as the network needs it."""
    operations = max(operations_per_sample(module, problem), 1.0)
    scored = int(max(FEWEST_SCORED, min(problem.scored, SCORING / (2 * operations))))
    batch = int(max(SMALLEST_BATCH, STEP / (BACKWARD * operations)))
    if batch >= problem.batch_size:
        return replace(problem, scored=scored)
    batch += len(problem.train.y) % batch == 1  # batch normalisation needs two samples in the last one as well
    return replace(problem, scored=scored, trial_batch_size=batch)


@dataclass
class FirstOfBatches:
    """The first ``count`` samples of every batch of a loader."""

    loader: Any
    count: int

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        for batch in self.loader:
            x, y, collate = cast(tuple[Tensor, Tensor, Collate], inputs_and_targets(batch))
            yield collate(x[: self.count], y[: self.count])


def operations_per_sample(module: LightningModule, problem: Problem) -> float:
    """Of a forward pass; at least one for each weight, because a step updates all. Recurrent layers count only so."""
    alone = deepcopy(module).eval()
    weights = float(sum(parameter.numel() for parameter in alone.parameters() if is_known(parameter)))
    if any(map(is_compiled, alone.modules())):
        return weights
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), counter:
            alone(problem.train.x[:TRIED].to(alone.device))
    except (*CALL_ERRORS, AssertionError):  # of operations in shapes that the counter does not know
        return weights
    return max(weights, counter.get_total_flops() / TRIED)
