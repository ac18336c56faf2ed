"""Augmentation: what each part does to an image, and that it depends on (seed, epoch, sample) and on nothing else."""

from typing import Any

import pytest
import torch
from torch import Tensor
from trainwell.data.batches import Batches, SampleRandom, Samples, Transform

from your_package.data.augment import Augment, flip

OFF: dict[str, Any] = {"flip": 0.0, "shift": 0, "erase": 0.0, "erase_area": 0.33, "mixup": 0.0}
ALL = {"flip": 0.5, "shift": 2, "erase": 0.5, "mixup": 0.4}
MANY = 4000


def images(count: int, size: int = 8) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0)) + 1  # never 0, the mean


def random(count: int, epoch: int = 0) -> SampleRandom:
    return SampleRandom(0, epoch, torch.arange(count), MANY)


def unchanged(batch: Samples, index: Tensor, epoch: int) -> Samples:
    return batch


def augmented(samples: Samples, seed: int = 0, **keys: float) -> Transform:
    return Augment(**{**OFF, **keys}).transform(samples, unchanged, seed, num_classes=3)


def samples_of(count: int) -> Samples:
    return Samples(images(count), torch.arange(count) % 3)


def test_a_flip_mirrors_its_share_of_the_images_and_leaves_the_others() -> None:
    x = images(MANY)
    made = flip(x, random(MANY), probability=0.3)
    mirrored = (made == x.flip(-1)).flatten(1).all(dim=1)
    assert torch.equal(made[~mirrored], x[~mirrored])
    assert mirrored.double().mean() == pytest.approx(0.3, abs=0.03)  # 4 standard deviations


@pytest.mark.parametrize("keys", [{key: value} for key, value in ALL.items()] + [ALL], ids=[*ALL, "all"])
def test_a_sample_is_the_same_whatever_the_batch_and_another_in_every_epoch(keys: dict[str, float]) -> None:
    samples = samples_of(60)
    transform = augmented(samples, **keys)
    whole = transform(samples, torch.arange(60), 3)
    assert torch.equal(whole.x, augmented(samples, **keys)(samples, torch.arange(60), 3).x)
    for size in (1, 7, 64):
        batches = Batches(
            samples, size, seed=5, transform=lambda batch, index, epoch: (index, transform(batch, index, 3))
        )
        for index, batch in batches:
            assert torch.equal(batch.x, whole.x[index])
            assert torch.equal(batch.y, whole.y[index])
    others = [transform(samples, torch.arange(60), 4), augmented(samples, seed=1, **keys)(samples, torch.arange(60), 3)]
    assert all((other.x != whole.x).flatten(1).any(dim=1).sum() > 10 for other in others)


def test_without_augmentation_nothing_is_changed() -> None:
    samples = samples_of(10)
    batch = augmented(samples)(samples, torch.arange(10), 0)
    assert torch.equal(batch.x, samples.x)
    assert torch.equal(batch.y, samples.y)
