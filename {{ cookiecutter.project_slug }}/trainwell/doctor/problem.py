"""The samples of any LightningDataModule, as far as the rules can use them."""

from collections.abc import Callable, Sized
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.nn import functional

from ..data.batches import Batches, Samples
from ..data.in_memory import InMemoryDataModule
from ..data.standardize import Standardizer

CALL_ERRORS = (AttributeError, LookupError, RuntimeError, TypeError, ValueError)  # of methods with other arguments
MOST_COLLECTED = 5_000  # samples taken from a loader that does not hold them in memory
MOST_AT_ONCE = 1_000  # samples evaluated at a time
PADDING = 0  # the usual number of the token that fills texts up
TARGETS = ("y", "target", "targets", "label", "labels")  # keys of targets in batches that are dictionaries

Collate = Callable[[Tensor, Tensor], Any]  # makes a batch of inputs and targets, as the loader does


class Batch(NamedTuple):
    """Inputs, targets, and both as the steps of the module take them."""

    x: Tensor
    y: Tensor
    collated: Any


def collate_pair(x: Tensor, y: Tensor) -> Any:
    return x, y


@dataclass(frozen=True)
class Problem:
    """Samples to train on and to validate on; ``num_classes`` is 0 if the targets are no classes.

    Where batches hold inputs alone, targets are empty, (N, 0). ``share`` is the share of all train samples that
    ``train`` holds. ``in_memory`` problems are trained on ``Batches`` of ``train``, others by the loaders of their
    datamodule. Of a large network, a trial has batches of fewer samples.
    """

    train: Samples
    val: Samples
    num_classes: int
    batch_size: int  # of the training
    trial_batch_size: int  # of a trial
    share: float = 1.0
    in_memory: bool = True
    scored: int = MOST_AT_ONCE  # samples of a split on which a network is evaluated during a trial
    collate: Collate = collate_pair
    standardizer: Standardizer | None = None  # by which the data module has standardized the samples

    def batch(self, samples: Samples, device: torch.device, convert: Callable[[Tensor], Tensor] = lambda x: x) -> Batch:
        x, y = (part.to(device) for part in samples)
        x = convert(x)
        return Batch(x, y, self.collate(x, y))

    def loader(self, samples: Samples, batch_size: int, seed: int | None = None) -> Batches:
        transform: Any = None if self.collate is collate_pair else lambda batch, index, epoch: self.collate(*batch)
        return Batches(samples, batch_size, seed, transform)


def problem_of(data: LightningDataModule) -> Problem | None:
    """The samples of ``Batches`` as they are; of other loaders, and of those that transform, the first that they yield.

    They are not augmented; texts are filled up to the longest.

    None if there is no validation loader or if a batch is neither a tensor nor a pair of them, in a list or dictionary.
    """
    data.prepare_data()
    data.setup("fit")
    has_val = type(data).val_dataloader is not LightningDataModule.val_dataloader
    loader, val_loader = data.train_dataloader(), data.val_dataloader() if has_val else []
    if isinstance(data, InMemoryDataModule) and data.transform is not None:
        loader, val_loader = data.batches("train"), data.batches("val")
    (train, collate), (val, _) = first_batches(loader), first_batches(val_loader)
    if not train or not val:
        return None
    in_memory = are_held(loader)
    width = max(batch.x.shape[1] for batch in (*train, *val))
    batch_size = min(loader.batch_size, len(train[0].y)) if in_memory else len(train[0].y)
    return Problem(
        train=joined(train, width),
        val=joined(val, width),
        num_classes=num_classes_of([batch.y for batch in (*train, *val)], getattr(data, "num_classes", None))
        if getattr(data, "targets", "classes") == "classes"
        else 0,
        batch_size=batch_size,
        trial_batch_size=batch_size,
        share=len(train) / len(loader) if isinstance(loader, Sized) and not in_memory else 1.0,
        in_memory=in_memory,
        collate=collate,
        standardizer=data.standardizer if isinstance(data, InMemoryDataModule) else None,
    )


def are_held(loader: Any) -> bool:
    """Whether the samples lie in memory as the network takes them."""
    return isinstance(loader, Batches) and loader.transform is None and isinstance(loader.samples.x, Tensor)


def first_batches(loader: Any) -> tuple[list[Samples], Collate]:
    """What a loader yields until there are enough samples; nothing if the batches differ in kind or shape."""
    if are_held(loader):
        samples = loader.samples
        return [samples if samples.x.device.type == "cpu" else Samples(samples.x.cpu(), samples.y.cpu())], collate_pair
    if isinstance(loader, Batches) and loader.transform is None:  # on disk in a file, and files are often sorted
        loader = Batches(loader.samples, loader.batch_size, seed=0)
    batches: list[Samples] = []
    collate: Collate = collate_pair
    for batch in loader:
        parts = inputs_and_targets(batch)
        if parts is None or parts[0].ndim < 2 or parts[1].ndim < 1 or len(parts[0]) != len(parts[1]):
            return [], collate
        x, y, collate = parts
        if x.layout != torch.strided or y.layout != torch.strided:  # sparse: no rows can be taken from them
            return [], collate
        batches.append(Samples(x.cpu(), y.cpu()))
        if not are_alike(batches[-1], batches[0]):
            return [], collate
        if sum(len(each.y) for each in batches) >= MOST_COLLECTED:
            break
    return batches, collate


def are_alike(some: Samples, others: Samples) -> bool:
    """Whether shapes are the same; of texts, the lengths may differ."""
    same = [part.shape[1:] == other.shape[1:] for part, other in zip(some, others, strict=True)]
    return same[1] and (same[0] or (are_texts(some.x) and are_texts(others.x)))


def are_texts(x: Tensor) -> bool:
    """Whether inputs are numbers of tokens, (B, T)."""
    return x.ndim == 2 and x.dtype == torch.int64


def inputs_and_targets(batch: Any) -> tuple[Tensor, Tensor, Collate] | None:
    """Inputs and targets of a batch, and how it is made of them; None if it has other parts."""
    match batch:
        case Tensor():
            return batch, no_targets(batch), lambda x, y: x
        case [Tensor() as x]:
            return x, no_targets(x), lambda x, y: [x]
        case [Tensor() as x, Tensor() as y]:
            return x, y, collate_pair
        case dict() if len(batch) <= 2 and all(isinstance(part, Tensor) for part in batch.values()):
            target = target_of(batch)
            others = [key for key in batch if key != target]
            if len(others) == 1 and target is None:
                return batch[others[0]], no_targets(batch[others[0]]), lambda x, y: {others[0]: x}
            if len(others) == 1:
                return batch[others[0]], batch[target], lambda x, y: {others[0]: x, target: y}
    return None


def target_of(batch: dict[Any, Tensor]) -> Any:
    """The key of the targets: by its name, else the one part with a single number for each sample."""
    named = [key for key in batch if str(key).lower() in TARGETS]
    single = [key for key, part in batch.items() if part.ndim == 1]
    return next(iter(named or single), None)


def no_targets(x: Tensor) -> Tensor:
    return torch.zeros(len(x), 0)


def joined(batches: list[Samples], width: int) -> Samples:
    """All samples; texts are filled up to ``width``."""
    filled = [
        Samples(functional.pad(x, (0, width - x.shape[1]), value=PADDING), y) if are_texts(x) else Samples(x, y)
        for x, y in batches
    ]
    return filled[0] if len(batches) == 1 else Samples(*(torch.cat(parts) for parts in zip(*filled, strict=True)))


def num_classes_of(targets: list[Tensor], declared: object) -> int:
    """At least as many classes as occur; 0 if the targets are no class indices."""
    if any(y.ndim != 1 or y.dtype != torch.int64 or y.min() < 0 for y in targets):
        return 0
    found = max(int(y.max()) for y in targets) + 1
    if found > sum(len(y) for y in targets):  # counts or identifiers
        return 0
    return max(found, declared) if isinstance(declared, int) else found


def subsample(samples: Samples, most: int = MOST_AT_ONCE) -> Samples:
    """At most so many of the samples, always the same, from everywhere: files are often sorted."""
    if len(samples.y) <= most:
        return samples
    chosen = torch.randperm(len(samples.y), generator=torch.Generator().manual_seed(0))[:most]
    return samples.at(chosen.sort().values)
