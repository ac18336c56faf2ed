"""A LightningDataModule whose samples are tensors: whole batches by one index, on the trainer's device if they fit."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from lightning import LightningDataModule
from torch import Tensor

from .batches import Batches, Samples, Transform
from .split import SPLIT_SEED, SplitRule
from .standardize import Standardizer, network_input


class InMemoryDataModule(LightningDataModule):
    """Derive from it and define ``load``, which sets ``train``, ``val``, ``test`` and, for classes, ``num_classes``.

    ``load`` may also set ``standardizer``, by which its samples were standardized: new samples then are, too; and
    ``target_names``: of every class, number or label; and ``transform``, which makes a batch of its samples, such as
    pixels, what the network takes. ``label_noise`` is the share of the train samples that are given a wrong class,
    always the same samples. ``rule`` says how to split; with a ``fold``, one of ``folds`` parts of all samples that are
    not test samples validates.
    """

    targets = "classes"  # or "numbers", "labels": what the targets are
    train: Samples
    val: Samples
    test: Samples
    num_classes: int
    target_names: Sequence[str] | None = None
    standardizer: Standardizer | None = None
    transform: Transform | None = None

    def __init__(
        self, *, batch_size: int, seed: int, label_noise: float = 0.0, fold: int | None = None, folds: int = 5
    ) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.seed = seed
        self.label_noise = label_noise
        self.rule = SplitRule(fold=fold, folds=folds)
        self.loaded = False

    def load(self) -> None:
        """Raises: ValueError: the data cannot be loaded, or cannot be trained on."""
        raise NotImplementedError(f"{type(self).__name__} must define load")

    def setup(self, stage: str | None = None) -> None:
        """Load, the first time that it is called."""
        if not self.loaded:
            if self.label_noise and self.targets != "classes":
                raise ValueError(f"data.label_noise must be 0 where the targets are {self.targets}: it changes classes")
            self.load()
            if self.label_noise:
                self.train = with_label_noise(self.train, self.num_classes, self.label_noise)
            self.loaded = True

    def __str__(self) -> str:  # Lightning's takes every loader for a DataLoader, and breaks
        counts = [f"{len(getattr(self, split).y):,} {split}" for split in ("train", "val", "test") if self.loaded]
        return f"{type(self).__name__}: {', '.join(counts) or 'not loaded'}"

    @property
    def in_shape(self) -> tuple[int, ...]:
        """The shape of one input, without the batch."""
        return tuple(self.train.x.shape[1:])

    @property
    def num_outputs(self) -> int:
        """How many outputs a network needs: one for each class, number or label."""
        return self.num_classes if self.targets == "classes" else self.train.y.shape[1]

    def train_dataloader(self) -> Batches:
        same_batches = self.trainer is not None and self.trainer.overfit_batches > 0  # type: ignore[attr-defined]
        samples = self.on_device(self.train)
        seed = None if same_batches else self.seed
        return Batches(samples, self.batch_size, seed, self.train_transform(samples))

    def val_dataloader(self) -> Batches:
        return Batches(self.on_device(self.val), self.batch_size, transform=self.transform)

    def test_dataloader(self) -> Batches:
        return Batches(self.on_device(self.test), self.batch_size, transform=self.transform)

    def train_transform(self, samples: Samples) -> Transform | None:
        """What is done to batches of the train ``samples`` in training, such as an augmentation."""
        return self.transform

    def batches(self, split: str) -> Batches:
        """Of a split as the network is evaluated on it: in the order of its samples, without augmentation."""
        return Batches(getattr(self, split), self.batch_size, transform=self.transform)

    def on_device(self, samples: Samples) -> Samples:
        """Move samples to the trainer's device if all splits fill at most half of the memory available there."""
        device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        size = sum(tensor.nbytes for split in (self.train, self.val, self.test) for tensor in split)
        if device.type == "cpu" or (device.type == "cuda" and 2 * size > available_memory(device)):
            return samples
        return Samples(*(tensor.to(device) for tensor in samples))

    def prepared(self, x: np.ndarray) -> Tensor:
        """New samples (N, *in_shape) as the network takes them: standardized or only cast, as the train samples were.

        Raises: ValueError: float32 cannot hold a value, or the network takes integers and a value is none.
        """
        integers = self.standardizer is None and not self.train.x.is_floating_point()
        made, bad = network_input(x, self.standardizer, integers)
        if bad.any():
            rule = "an integer" if integers else "within the range of float32"
            raise ValueError(f"every value must be {rule}, as the network takes it, got {x[bad][0]}")
        return torch.from_numpy(made)

    def new_samples(self, path: Path) -> Iterator[Tensor]:
        """The samples of a file, to predict on, as the network takes them: some (N, *in_shape) at a time.

        Raises: ValueError: the file does not fit the data that the network was trained on.
        """
        from .files.readers import chunks  # which read files for these modules

        return map(self.prepared, chunks(path, self.in_shape))

    def new_names(self, path: Path) -> Sequence[str] | None:
        """The files that the samples at ``path`` come from; None: they are rows of one."""
        return None


def available_memory(device: torch.device) -> int:
    """What is free on the device and what this process has reserved there before."""
    return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)


def with_label_noise(samples: Samples, num_classes: int, share: float) -> Samples:
    """Give a ``share`` of the samples another class than their own, always the same samples; the others stay right."""
    generator = np.random.default_rng(SPLIT_SEED)
    y = samples.y.numpy().copy()
    wrong = generator.permutation(len(y))[: round(share * len(y))]
    y[wrong] = (y[wrong] + generator.integers(1, num_classes, len(wrong))) % num_classes
    return samples._replace(y=torch.from_numpy(y))
