"""Your own data from an ``.npz`` file, in memory or, where they are larger than memory, mapped from disk."""

from collections.abc import Mapping
from typing import Any

from trainwell.data.files.npz import load_npz, map_npz
from trainwell.data.in_memory import InMemoryDataModule
from trainwell.data.split import SplitRule


class Arrays(InMemoryDataModule):
    """``x`` (N, anything) and ``y``, optionally ``x_test`` and ``y_test``.

    By ``targets``, ``y`` holds "classes" (N,), 0, 1, ...; "numbers" (N,) or (N, K); or "labels" (N, L), each 0 or 1.
    Without ``x_test``, ``split["test"]`` of the samples are the test set; ``split["val"]`` of the others validate,
    equally of every class; ``split`` and ``fold`` also offer other ways, see ``SplitRule``.
    With ``standardize`` each feature gets mean 0 and deviation 1 over the train samples, and one that is
    constant there is only centred; without it floats become float32 and integers (such as token ids) stay integers.
    With ``memory="map"`` the prepared samples lie in a folder beside the file, ``FILE.npz.mapped``, which is written
    once and again when the file changes, and batches are read from there; with ``"load"`` they are kept in memory.
    """

    def __init__(
        self,
        *,
        path: str,
        targets: str,
        standardize: bool,
        memory: str,
        split: Mapping[str, Any],
        fold: int | None,
        folds: int,
        batch_size: int,
        seed: int,
        label_noise: float,
    ) -> None:
        super().__init__(batch_size=batch_size, seed=seed, label_noise=label_noise)
        self.path, self.targets, self.standardize = path, targets, standardize
        self.read = {"load": load_npz, "map": map_npz}[memory]
        self.rule = SplitRule(**split, fold=fold, folds=folds)

    def load(self) -> None:
        splits, self.standardizer = self.read(self.path, self.standardize, self.targets, self.rule)
        self.train, self.val, self.test = splits
        if self.targets == "classes":
            self.num_classes = int(self.train.y.max()) + 1
