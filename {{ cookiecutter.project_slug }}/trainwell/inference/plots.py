"""The plots of an evaluation, by what the targets are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from .plots_of_classes import write_classes
from .plots_of_labels import write_labels
from .plots_of_numbers import write_numbers
from .scores import Outputs

WRITERS: dict[str, Callable[[Path, Outputs, Tensor | None], dict[str, Any]]] = {
    "classes": write_classes,
    "numbers": write_numbers,
    "labels": write_labels,
}
