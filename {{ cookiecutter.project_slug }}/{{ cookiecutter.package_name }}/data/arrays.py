"""Your own data from an ``.npz`` file, in memory or, where they are larger than memory, mapped from disk."""

from trainwell.data.in_memory import InMemoryDataModule
from trainwell.data.mapped import map_npz
from trainwell.data.prepare import load_npz


class Arrays(InMemoryDataModule):
    """``x`` (N, anything) and ``y`` (N,), classes 0, 1, ..., optionally ``x_test`` and ``y_test``.

    A fifth of the samples, equally of every class, becomes the validation set; without ``x_test`` another fifth becomes
    the test set. With ``standardize`` each feature gets mean 0 and deviation 1 over the train samples, and one that is
    constant there is only centred; without it floats become float32 and integers (such as token ids) stay integers.
    With ``memory="map"`` the prepared samples lie in a folder beside the file, ``FILE.npz.mapped``, which is written
    once and again when the file changes, and batches are read from there; with ``"load"`` they are kept in memory.
    """

    def __init__(
        self, *, path: str, standardize: bool, memory: str, batch_size: int, seed: int, label_noise: float
    ) -> None:
        super().__init__(batch_size=batch_size, seed=seed, label_noise=label_noise)
        self.path = path
        self.standardize = standardize
        self.read = {"load": load_npz, "map": map_npz}[memory]

    def load(self) -> None:
        (self.train, self.val, self.test), self.standardizer = self.read(self.path, self.standardize)
        self.num_classes = int(self.train.y.max()) + 1
