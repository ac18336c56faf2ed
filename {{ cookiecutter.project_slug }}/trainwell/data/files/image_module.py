"""A LightningDataModule of decoded images, whose pixels are standardized a batch at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from torch import Tensor

from ..batches import Samples
from ..in_memory import InMemoryDataModule
from ..standardize import Standardizer, fit, samples_per_block
from .image_cache import new_images
from .image_folder import new_files


class ImageDataModule(InMemoryDataModule):
    """Derive from it and define ``load``, which calls ``keep``.

    A run saves what it has measured, and is not resumed with other images. With ``setup("predict")`` a run that has
    ended needs no images but those to predict on.
    """

    size: int
    channels: int

    def keep(self, splits: Sequence[Samples], classes: list[str], checksum: int = 0) -> None:
        """Train, validation and test images (N, C, size, size), uint8; ``checksum`` is that of their pixels.

        Each channel of a batch will have mean 0 and deviation 1 over all pixels of the train images.
        """
        self.train, self.val, self.test = splits
        self.num_classes, self.target_names = len(classes), classes
        self.standardizer = self.standardizer or standardizer_of_channels(self.train.x)
        self.checksum = crc32(torch.cat([samples.y for samples in splits]).numpy().tobytes(), checksum)
        self.transform = self.standardized

    def standardized(self, batch: Samples, index: Tensor, epoch: int) -> Samples:
        assert self.standardizer is not None
        mean, deviation = (part.to(batch.x.device, torch.float32) for part in self.standardizer)
        return Samples((batch.x - mean) / deviation, batch.y)

    def setup(self, stage: str | None = None) -> None:
        if stage == "predict" and self.standardizer is not None and not self.loaded:
            blank = torch.zeros(self.num_classes, self.channels, self.size, self.size, dtype=torch.uint8)
            self.keep(3 * [Samples(blank, torch.arange(self.num_classes))], list(self.target_names or ()))
            self.loaded = True
        super().setup(stage)

    def state_dict(self) -> dict[str, Any]:
        """Plain data, which Lightning puts into every checkpoint."""
        if self.standardizer is None:
            return {}
        measured = {name: part.flatten().tolist() for name, part in self.standardizer._asdict().items()}
        return {**measured, "classes": list(self.target_names or ()), "checksum": self.checksum}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Raises: ValueError: the images are not those that were trained on."""
        if self.loaded and state_dict["checksum"] != self.checksum:
            raise ValueError("data.path holds other images than when the run began; resume it with the same ones")
        mean, deviation = (torch.tensor(state_dict[name], dtype=torch.float64) for name in Standardizer._fields)
        self.standardizer = Standardizer(mean.view(-1, 1, 1), deviation.view(-1, 1, 1))
        self.num_classes, self.target_names = len(state_dict["classes"]), state_dict["classes"]

    def new_samples(self, path: Path) -> Iterator[Tensor]:
        """Those of a folder of images, of a table with the column ``file``, of an image, or of an ``.npy`` file."""
        if path.suffix == ".npy":
            return super().new_samples(path)
        return map(self.prepared, new_images(path, self.size, self.channels))

    def new_names(self, path: Path) -> list[str] | None:
        return None if path.suffix == ".npy" else [str(file) for file in new_files(path)]


def standardizer_of_channels(x: Tensor) -> Standardizer:
    """Mean and deviation of each channel of images (N, C, H, W): (C, 1, 1)."""
    at_once = samples_per_block(tuple(x.shape))
    blocks = (x[start : start + at_once] for start in range(0, len(x), at_once))
    found = fit(block.movedim(1, -1).flatten(0, -2) for block in blocks)
    return Standardizer(*(part.view(-1, 1, 1) for part in found))
