"""What the outputs of a network and their targets mean, as far as shapes and types tell."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

if TYPE_CHECKING:
    from pandas import DataFrame


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


def predictions(outputs: Tensor, kind: str | None, names: Sequence[str] | None = None) -> "DataFrame":
    """A row for each sample: the likeliest class and its probability, the probability of each label, or the outputs."""
    import pandas

    if kind == "classes":
        confidences, places = outputs.softmax(dim=-1).max(dim=-1)
        return pandas.DataFrame({"prediction": named(places, names), "confidence": confidences.numpy()})
    if kind == "labels":
        return numbered("probability", outputs.sigmoid(), names)
    return numbered("output" if names is None else "prediction", outputs, names)


def targets_and_predictions(outputs: Tensor, y: Tensor, names: Sequence[str] | None = None) -> "DataFrame":
    """A row for each sample: its targets, then its ``predictions``."""
    kind = kind_of(outputs, y)
    table = predictions(outputs, kind, names)
    if kind != "classes":
        return numbered("target", y, names).join(table)
    table.insert(0, "target", named(y, names))
    return table


def named(places: Tensor, names: Sequence[str] | None) -> list[Any]:
    """The name of each class; without names, its number."""
    return [place if names is None else names[place] for place in places.tolist()]


def numbered(word: str, values: Tensor, names: Sequence[str] | None = None) -> "DataFrame":
    """A column for each value of a sample, by its name; without names, by its number."""
    import pandas

    return pandas.DataFrame(values.reshape(len(values), -1).numpy(), columns=names).add_prefix(f"{word}_")


def described(batch: Any) -> str:
    """The keys of a batch, and type and shape of each tensor."""
    if isinstance(batch, Tensor):
        return f"{str(batch.dtype).removeprefix('torch.')} {tuple(batch.shape)}"
    if isinstance(batch, Mapping):
        return "{" + ", ".join(f"{key}: {described(part)}" for key, part in batch.items()) + "}"
    if isinstance(batch, tuple | list):
        return "(" + ", ".join(described(part) for part in batch) + ")"
    return type(batch).__name__
