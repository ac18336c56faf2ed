"""MNIST-1D: ten digits drawn as lines of 40 numbers, shifted, sheared and noisy; generated, not downloaded."""

import os
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from typing import Any
from zipfile import BadZipFile

import numpy as np
from platformdirs import user_cache_path
from trainwell.data.batches import Samples
from trainwell.data.in_memory import InMemoryDataModule
from trainwell.data.split import split_samples
from trainwell.rng import preserved_random_states


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
    """The dataset as its authors publish it: x, y, x_test, y_test. The global random states are left as they were.

    It is generated once, which takes a second or two, and kept in the user's folder for caches.
    """
    file = user_cache_path("mnist1d") / f"{version('mnist1d')}.npz"
    absent_or_damaged = suppress(OSError, EOFError, ValueError, BadZipFile)
    with absent_or_damaged, file.open("rb") as opened, np.load(opened) as kept:
        return dict(kept)
    made = generated()
    with suppress(OSError):  # where nothing can be written, it is generated each time
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(f".{os.getpid()}.npz")
        np.savez(unfinished, **made)
        unfinished.replace(file)
    return made


def generated() -> dict[str, Any]:
    from mnist1d.data import get_dataset_args, make_dataset

    with preserved_random_states():
        made = make_dataset(get_dataset_args())
    return {name: made[name] for name in ("x", "y", "x_test", "y_test")}
