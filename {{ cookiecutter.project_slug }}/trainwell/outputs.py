"""What the outputs of a network and their targets mean, as far as shapes and types tell."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy


def kind_of(outputs: Tensor, y: Tensor) -> str | None:
    """What the targets are; None: nothing that is known.

    ``classes`` (N,) with logits (N, C); ``numbers`` (N, K) with numbers (N, K); ``labels`` (N, L), integers 0 or 1,
    with logits (N, L).
    """
    if outputs.ndim != 2 or len(outputs) != len(y) or not len(y):
        return None
    if y.ndim == 1:
        are_classes = y.dtype == torch.int64 and bool(y.min() >= 0) and bool(y.max() < outputs.shape[1])
        return "classes" if are_classes else None
    if y.shape != outputs.shape:
        return None
    if y.is_floating_point():
        return "numbers"
    return "labels" if bool(((y == 0) | (y == 1)).all()) else None


def losses_of(kind: str, outputs: Tensor, y: Tensor) -> Tensor:
    """How wrong the outputs are for each sample, (N,): of numbers, the mean absolute error."""
    if kind == "classes":
        return cross_entropy(outputs, y, reduction="none")
    if kind == "labels":
        return binary_cross_entropy_with_logits(outputs, y.to(outputs.dtype), reduction="none").mean(dim=1)
    return (outputs - y).abs().mean(dim=1)


def names_of(data: Any, count: int) -> list[str] | None:
    """The ``target_names`` of a data module, if it has one for each of the outputs."""
    names: Sequence[str] | None = getattr(data, "target_names", None)
    return [str(name) for name in names] if names is not None and len(names) == count else None


def described(batch: Any) -> str:
    """The keys of a batch, and type and shape of each tensor."""
    if isinstance(batch, Tensor):
        return f"{str(batch.dtype).removeprefix('torch.')} {tuple(batch.shape)}"
    if isinstance(batch, Mapping):
        return "{" + ", ".join(f"{key}: {described(part)}" for key, part in batch.items()) + "}"
    if isinstance(batch, tuple | list):
        return "(" + ", ".join(described(part) for part in batch) + ")"
    return type(batch).__name__
