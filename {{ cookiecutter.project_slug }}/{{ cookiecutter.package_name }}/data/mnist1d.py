"""MNIST-1D: ten digits drawn as lines of 40 numbers, shifted, sheared and noisy; generated, not downloaded."""

from functools import cache
from importlib.metadata import version

import numpy as np
from trainwell.data.batches import Samples
from trainwell.data.in_memory import InMemoryDataModule
from trainwell.data.on_disk import kept_arrays
from trainwell.data.split import split_samples


class MNIST1D(InMemoryDataModule):
    """3200 train, 800 validation and the 1000 published test samples; standardized by the authors.

    With a ``fold``, the samples that are not test samples are cut into ``folds`` parts, one of which validates.

    Source: Greydanus and Kobak 2024, ICML, arXiv:2011.14439.
    """

    def load(self) -> None:
        made = published()
        x, y = made["x"].astype(np.float32), made["y"]
        train, val, _ = split_samples(y, self.rule, given=["test"])
        self.train = Samples.from_numpy(x[train], y[train])
        self.val = Samples.from_numpy(x[val], y[val])
        self.test = Samples.from_numpy(made["x_test"], made["y_test"])
        self.num_classes = 10


@cache  # once for all runs of a sweep
def published() -> dict[str, np.ndarray]:
    """The dataset as its authors publish it: x, y, x_test, y_test. The global random states are left as they were."""
    from mnist1d.data import get_dataset_args, make_dataset

    names = ("x", "y", "x_test", "y_test")
    return kept_arrays(f"mnist1d-{version('mnist1d')}", names, lambda: make_dataset(get_dataset_args()))
