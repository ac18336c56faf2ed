"""Random numbers of samples: those of SplitMix64, uniform, independent, and the same whatever the batches are."""

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency, kstest
from trainwell.data.sample_rng import SampleRandom, splitmix64

MANY = torch.arange(100_000)
LEAST = 1e-4  # probability of what is seen, if the numbers are right; seeds are fixed, so it passes always or never


def test_they_are_the_numbers_of_the_published_generator() -> None:
    """The first ones after the seeds 0 and 1234567, as the authors' C program prints them."""
    known = {
        0: [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F],
        1234567: [6457827717110365317, 3203168211198807973, 9817491932198370423],
    }
    for seed, expected in known.items():
        assert splitmix64(seed, torch.arange(3)).numpy().view(np.uint64).tolist() == expected


@pytest.mark.parametrize("epoch", [0, 1, 1000])
def test_they_are_uniform_from_0_to_below_1(epoch: int) -> None:
    drawn = SampleRandom(3, epoch, MANY).uniform("flip")[0].double().numpy()
    assert 0 <= drawn.min() < drawn.max() < 1
    assert kstest(drawn, "uniform").pvalue > LEAST


def test_every_integer_below_the_count_is_equally_likely() -> None:
    counts = SampleRandom(0, 0, MANY).integers("shift", 9)[0].bincount()
    assert len(counts) == 9
    assert ((counts - len(MANY) / 9).abs() < 5 * (len(MANY) / 9) ** 0.5).all()


OTHERS = {
    "the next sample": lambda random: random._replace(places=random.places + 1),
    "a sample far away": lambda random: random._replace(places=random.places + 2**20),
    "the next epoch": lambda random: random._replace(epoch=1),
    "the next seed": lambda random: random._replace(seed=1),
    "seed and epoch exchanged": lambda random: random._replace(seed=5, epoch=0),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_one_tells_nothing_about_another(other) -> None:
    random = SampleRandom(0, 5, MANY)
    pairs = [random.uniform("flip")[0], other(random).uniform("flip")[0]]
    table = np.histogram2d(*(drawn.numpy() for drawn in pairs), bins=16, range=[[0, 1], [0, 1]])[0]
    assert chi2_contingency(table).pvalue > LEAST


def test_every_purpose_draws_numbers_of_its_own_as_many_as_it_needs() -> None:
    random = SampleRandom(0, 0, MANY)
    drawn = torch.cat([random.uniform("flip"), random.uniform("shift", 2), random.uniform("erase", 5)]).double()
    assert drawn.shape == (8, len(MANY))
    assert (torch.corrcoef(drawn) - torch.eye(8)).abs().max() < 5 / len(MANY) ** 0.5


def test_batches_make_no_difference() -> None:
    whole = SampleRandom(0, 2, MANY).uniform("erase", 5)
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    for size in (1, 7, 1000):
        parts = [SampleRandom(0, 2, places).uniform("erase", 5) for places in order.split(size)]
        assert torch.equal(torch.cat(parts, dim=1), whole[:, order])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_draws_the_same() -> None:
    here, there = (SampleRandom(0, 2, MANY.to(device)) for device in ("cpu", "cuda"))
    assert torch.equal(here.uniform("flip"), there.uniform("flip").cpu())
    assert torch.equal(here.integers("shift", 9), there.integers("shift", 9).cpu())
