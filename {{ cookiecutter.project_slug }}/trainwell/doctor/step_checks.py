"""Steps with a batch that is changed in one place: which outputs, and which targets, of their losses change."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from ..callbacks.training_stats import tensors_in
from ..data import standardize
from .forward_checks import DIFFERS, FEW
from .inspection import Inspection, RawPart
from .loss_calls import LossCall
from .rules.data import unscaled

FEWEST, SHORTEST = 4, 4  # samples; steps of a sequence of targets
MOST = 0.5  # share of the changed targets whose outputs change as well, if these do not see them

Calls = Callable[[Any], Sequence[LossCall] | None]  # what the losses of a step get for a batch


def inspect_samples(found: Inspection, calls: Calls, batch: Any) -> None:
    """Put another sample in the place of the first one. A batch whose parts have other lengths may be one graph."""
    parts = [part for part in tensors_in(batch) if part.ndim]
    count = len(parts[0]) if parts else 0
    if count < FEWEST or any(len(part) != count or part.shape[1:2] == (count,) for part in parts):
        return
    if any(part.layout != torch.strided for part in parts):
        return
    differ = [sum(not torch.equal(part[number], part[0]) for part in parts) for number in range(count)]
    other = max(range(count), key=differ.__getitem__)

    def changed(part: Tensor) -> Tensor:
        return torch.cat([part[other : other + 1], part[1:]]) if part.ndim else part

    for before, after in compared(calls, batch, apply_to_collection(batch, Tensor, changed)):
        moved, of_targets = (
            (first != second).reshape(len(first), -1).any(dim=1)
            for first, second in ((before.outputs, after.outputs), (before.targets, after.targets))
        )
        if len(moved) != len(of_targets) or not moved.any() or not of_targets.any():
            continue
        found.apart = max(found.apart, 1 - moved[of_targets].double().mean().item())
        rows, odd = divmod(len(moved), count)
        # Similarities of each with each are those of a contrastive loss.
        each_with_each = before.outputs.shape[1:] in {(count * n - left,) for n in (1, 2) for left in (0, 1, 2)}
        if found.mixing is None and not each_with_each and not odd and of_targets.sum() <= rows:
            apart = (before.outputs - after.outputs).abs().reshape(len(moved), -1).amax(dim=1) / before.outputs.std()
            further = apart.sort(descending=True).values[rows]  # the largest change of another sample's outputs
            found.mixing = max(found.mixing or 0.0, further.item()) if further > DIFFERS else found.mixing


def inspect_targets(found: Inspection, calls: Calls, batch: Callable[[Tensor], Any], y: Tensor) -> None:
    """Change the targets (B, T) at one position, for which outputs may not change. ``batch`` makes one with targets."""
    if y.ndim != 2 or y.dtype != torch.int64 or y.shape[1] < SHORTEST or found.sees_targets:
        return
    other, place = y.clone(), y.shape[1] // 2
    other[:, place] = y[:, place].roll(1)
    for before, after in compared(calls, batch(y), batch(other)):
        moved, of_targets = before.outputs != after.outputs, before.targets != after.targets
        if moved.ndim == of_targets.ndim + 1:
            moved = moved.any(dim=1)  # over classes
        if moved.shape == of_targets.shape and of_targets.any() and moved[of_targets].double().mean() > MOST:
            found.sees_targets = "t itself"


def compared(calls: Calls, batch: Any, changed: Any) -> Iterator[tuple[LossCall, LossCall]]:
    """What each loss gets for both batches, unless shapes differ or something is random, as with mixed samples."""
    first, second, third = calls(batch), calls(batch), calls(changed)
    if not first or not second or not third or not len(first) == len(second) == len(third):
        return
    for before, again, after in zip(first, second, third, strict=True):
        shapes = {(each.outputs.shape, each.targets.shape) for each in (before, again, after)}
        if len(shapes) == 1 and torch.equal(before.outputs, again.outputs):
            yield before, after


def raw_parts(batches: Sequence[Any], calls: Sequence[LossCall]) -> Iterator[RawPart]:
    """Inputs (B, F, ...) that are not scaled. What has the shape of targets is taken for targets."""
    of_targets = {call.targets.shape[1:] for call in calls}
    of_batches = [list(tensors_in(batch)) for batch in batches]
    if len({len(parts) for parts in of_batches}) != 1:
        return
    first = batches[0]
    names = list(first) if isinstance(first, dict) and len(first) == len(of_batches[0]) else range(len(of_batches[0]))
    for place, parts in enumerate(zip(*of_batches, strict=True)):
        shapes = {part.shape[1:] for part in parts}
        numbers = parts[0].is_floating_point() and parts[0].layout == torch.strided and parts[0].ndim > 1
        if len(shapes) > 1 or shapes & of_targets or not numbers:
            continue
        x = torch.cat(parts).float().cpu()
        if len(x) >= FEW and x.isfinite().all() and any(unscaled(x.flatten(1))):
            yield RawPart(place, str(names[place]), standardize.fit([x]))
