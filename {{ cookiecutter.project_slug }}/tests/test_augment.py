"""Augmentation: what each part does to an image, and that it depends on (seed, epoch, sample) and on nothing else."""

from typing import Any

import pytest
import torch
from scipy.stats import kstest
from torch import Tensor
from trainwell.data.batches import Batches, SampleRandom, Samples, Transform

from your_package.data.augment import Augment, erase, flip, shift

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


def test_a_shift_moves_by_every_offset_equally_often_and_fills_up_with_the_mean() -> None:
    x = torch.zeros(MANY, 1, 9, 9)
    x[:, :, 4, 4] = 1
    moved = shift(x, random(MANY), pixels=2).flatten(1)
    offsets = moved.argmax(dim=1)
    rows, columns = (part - 4 for part in (offsets // 9, offsets % 9))
    counts = ((rows + 2) * 5 + columns + 2).bincount(minlength=25)
    assert (rows.abs().max(), columns.abs().max()) == (2, 2)
    assert ((counts - MANY / 25).abs() < 5 * (MANY / 25) ** 0.5).all()
    made = shift(images(50), random(50), pixels=2)
    kept = (made != 0).all(dim=1).flatten(1).sum(dim=1)
    assert torch.equal(kept, ((8 - rows[:50].abs()) * (8 - columns[:50].abs())))


def test_an_erased_rectangle_has_the_mean_its_area_and_any_place() -> None:
    x = images(MANY, size=32)
    erased = (erase(x, random(MANY), probability=0.6, area=0.2) == 0).all(dim=1)
    share = erased.flatten(1).double().mean(dim=1)
    assert (share > 0).double().mean() == pytest.approx(0.6, abs=0.03)
    assert share[share > 0].min() > 0.01
    assert share.max() < 0.23  # sides are whole pixels
    assert share[share > 0].mean() == pytest.approx(0.11, abs=0.005)
    heights, widths = (erased.any(dim=axis).sum(dim=1) for axis in (2, 1))
    assert torch.equal(heights * widths, erased.flatten(1).sum(dim=1))
    assert erased.any(dim=0).all()


def test_mixup_blends_images_and_targets_by_the_same_share_of_a_beta_distribution() -> None:
    x = torch.nn.functional.one_hot(torch.arange(MANY) % 3, 3).float().view(MANY, 3, 1, 1)
    samples = Samples(x, torch.arange(MANY) % 3)
    batch = augmented(samples, mixup=0.4)(samples, torch.arange(MANY), 0)
    assert torch.allclose(batch.x.flatten(1), batch.y)
    assert torch.allclose(batch.y.sum(dim=1), torch.ones(MANY))
    pure = (batch.y == 1).any(dim=1)  # the partner has the same class
    assert pure.double().mean() == pytest.approx(1 / 3, abs=0.05)
    shares = batch.y[~pure][torch.arange(MANY)[~pure] % 3 == 0, 0].double().numpy()
    assert kstest(shares, "beta", (0.4, 0.4)).pvalue > 1e-4


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
