"""Your own images: a folder of each class, or an index file."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from trainwell.data.batches import Samples, Transform
from trainwell.data.files.image_cache import cached_pixels
from trainwell.data.files.image_folder import ImageList, list_images
from trainwell.data.files.image_module import ImageDataModule
from trainwell.data.on_disk import MappedRows
from trainwell.data.split import SplitRule, split_samples

from .augment import Augment


class Images(ImageDataModule):
    """Images (C, size, size), decoded once; each channel has mean 0 and deviation 1 over the train images.

    ``path`` is a folder with a folder of each class, or with train, val and test that have these, or a table
    ``index.csv`` with the columns file, label and, optionally, split. Splits that are not given are drawn from the
    train images: ``split["test"]`` of all, ``split["val"]`` of the rest, or a ``fold``, see ``SplitRule``. What is
    decoded is kept in ``PATH.images``, or in the folder ``cache``; with ``memory="map"`` batches are read from there,
    with ``"load"`` all pixels are kept in memory, a byte each.
    """

    def __init__(
        self,
        *,
        path: str,
        size: int,
        channels: int,
        memory: str,
        cache: str | None,
        augment: Augment,
        split: Mapping[str, Any],
        fold: int | None,
        folds: int,
        batch_size: int,
        seed: int,
        label_noise: float,
    ) -> None:
        super().__init__(batch_size=batch_size, seed=seed, label_noise=label_noise)
        self.path, self.size, self.channels = path, size, channels
        self.memory, self.cache, self.augment = memory, cache, augment
        self.rule = SplitRule(**split, fold=fold, folds=folds)

    def load(self) -> None:
        listed = list_images(self.path)
        pixels, checksum = cached_pixels(self.path, listed.files, self.size, self.channels, self.cache)
        y = torch.from_numpy(listed.y)
        splits = [Samples(self.held(pixels, places), y[places]) for places in split_images(listed, self.rule)]
        self.keep(splits, listed.classes, checksum)

    def held(self, pixels: MappedRows, places: Tensor) -> Tensor:
        return cast(Tensor, MappedRows(pixels.array, places)) if self.memory == "map" else pixels[places]

    def train_transform(self, samples: Samples) -> Transform:
        return self.augment.transform(samples, self.standardized, self.seed, self.num_classes)


def split_images(listed: ImageList, rule: SplitRule) -> list[Tensor]:
    """The places of the train, validation and test images; those that are not given are drawn from the train images.

    Raises: ValueError: there are too few images, or a fold is wanted where the validation images are given.
    """
    places = {name: np.flatnonzero(listed.splits == name) for name in ("train", "val", "test")}
    given = [name for name in ("val", "test") if len(places[name])]
    if rule.fold is not None and "val" in given:
        raise ValueError(f"data.fold={rule.fold} chooses the validation images itself, but there are some already")
    masks = split_samples(listed.y[places["train"]], rule, names=listed.classes, given=given)
    train = places["train"]
    places |= {name: train[mask] for name, mask in zip(places, masks, strict=True) if name not in given}
    return [torch.from_numpy(part) for part in places.values()]
