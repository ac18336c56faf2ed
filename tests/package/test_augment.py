"""Augmentation in numbers: every offset, every area, every share as often as its distribution has it."""

import pytest
import torch
from my_network.data.augment import erase, shift
from scipy.stats import kstest
from tests.test_augment import MANY, augmented, images, random
from trainwell.data.batches import Samples


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
