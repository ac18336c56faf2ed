import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency, kstest
from torch.utils.data import DataLoader
from trainwell.data.batches import Batches, SampleRandom, Samples

MANY = torch.arange(100_000)
LEAST = 1e-4  # probability of what is seen, if the numbers are right; seeds are fixed, so it passes always or never


def numbered(count: int) -> Samples:
    return Samples(torch.arange(count).float().unsqueeze(1), torch.arange(count))


def order_of(batches: Batches, epoch: int) -> list[int]:
    batches.set_epoch(epoch)
    return torch.cat([y for _, y in batches]).tolist()


def test_an_epoch_yields_every_sample_once_in_whole_batches() -> None:
    batches = Batches(numbered(103), 10, seed=0)
    assert [len(y) for _, y in batches] == [10] * 10 + [3]
    assert len(batches) == 11
    assert sorted(order_of(batches, 0)) == list(range(103))


def test_inputs_stay_beside_their_targets() -> None:
    assert all(torch.equal(x.squeeze(1).long(), y) for x, y in Batches(numbered(50), 8, seed=3))


def test_the_order_depends_on_seed_and_epoch_and_on_nothing_else() -> None:
    first = order_of(Batches(numbered(100), 10, seed=7), epoch=2)
    torch.manual_seed(123)
    again = Batches(numbered(100), 10, seed=7)
    order_of(again, epoch=0)
    assert order_of(again, epoch=2) == first
    assert order_of(again, epoch=3) != first
    assert order_of(Batches(numbered(100), 10, seed=8), epoch=2) != first


def test_without_a_seed_the_samples_come_in_their_own_order() -> None:
    assert order_of(Batches(numbered(20), 6), epoch=4) == list(range(20))


def test_it_resumes_in_the_middle_of_an_epoch() -> None:
    whole = order_of(Batches(numbered(40), 10, seed=1), epoch=5)
    stopped = Batches(numbered(40), 10, seed=1)
    stopped.set_epoch(5)
    taken = iter(stopped)
    next(taken), next(taken)
    resumed = Batches(numbered(40), 10, seed=1)
    resumed.load_state_dict(stopped.state_dict())
    assert torch.cat([y for _, y in resumed]).tolist() == whole[20:]
    assert order_of(resumed, epoch=6) == order_of(Batches(numbered(40), 10, seed=1), epoch=6)


def test_an_epoch_that_is_left_early_does_not_shorten_the_next() -> None:
    batches = Batches(numbered(40), 10, seed=1)
    next(iter(batches))
    assert len(list(batches)) == 4


def test_two_processes_share_the_samples_of_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = []
    monkeypatch.setattr("trainwell.data.batches.world_size", lambda: 2)
    for rank in (0, 1):
        monkeypatch.setattr("trainwell.data.batches.rank", lambda rank=rank: rank)
        batches = Batches(numbered(101), 10, seed=0)
        shares.append(order_of(batches, 0))
        assert len(batches) == len(list(batches)) == 5
    assert not set(shares[0]) & set(shares[1])
    assert len(shares[0]) == len(shares[1]) == 50


def test_it_yields_what_a_dataloader_would() -> None:
    samples = numbered(30)
    theirs = list(DataLoader(list(zip(*samples, strict=True)), batch_size=7))
    for (x, y), (their_x, their_y) in zip(Batches(samples, 7), theirs, strict=True):
        assert torch.equal(x, their_x)
        assert torch.equal(y, their_y)


@pytest.mark.parametrize("epoch", [0, 1, 1000])
def test_random_numbers_of_samples_are_uniform_from_0_to_below_1(epoch: int) -> None:
    drawn = SampleRandom(3, epoch, MANY, len(MANY)).uniform("flip")[0].double().numpy()
    assert 0 <= drawn.min() < drawn.max() < 1
    assert kstest(drawn, "uniform").pvalue > LEAST


def test_every_integer_below_the_count_is_equally_likely() -> None:
    counts = SampleRandom(0, 0, MANY, len(MANY)).integers("shift", 9)[0].bincount()
    assert len(counts) == 9
    assert ((counts - len(MANY) / 9).abs() < 5 * (len(MANY) / 9) ** 0.5).all()


OTHERS = {
    "the next sample": lambda random: random._replace(places=random.places.roll(1)),
    "the next epoch": lambda random: random._replace(epoch=1),
    "the next seed": lambda random: random._replace(seed=1),
    "seed and epoch exchanged": lambda random: random._replace(seed=5, epoch=0),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_a_random_number_tells_nothing_about_another(other) -> None:
    random = SampleRandom(0, 5, MANY, len(MANY))
    pairs = [random.uniform("flip")[0], other(random).uniform("flip")[0]]
    table = np.histogram2d(*(drawn.numpy() for drawn in pairs), bins=16, range=[[0, 1], [0, 1]])[0]
    assert chi2_contingency(table).pvalue > LEAST


def test_every_purpose_draws_numbers_of_its_own_as_many_as_it_needs() -> None:
    random = SampleRandom(0, 0, MANY, len(MANY))
    drawn = torch.cat([random.uniform("flip"), random.uniform("shift", 2), random.uniform("erase", 5)]).double()
    assert drawn.shape == (8, len(MANY))
    assert (torch.corrcoef(drawn) - torch.eye(8)).abs().max() < 5 / len(MANY) ** 0.5


def test_batches_make_no_difference_to_random_numbers() -> None:
    whole = SampleRandom(0, 2, MANY, len(MANY)).uniform("erase", 5)
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    for size in (1, 7, 1000):
        parts = [SampleRandom(0, 2, places, len(MANY)).uniform("erase", 5) for places in order.split(size)]
        assert torch.equal(torch.cat(parts, dim=1), whole[:, order])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_draws_the_same_random_numbers() -> None:
    here, there = (SampleRandom(0, 2, MANY.to(device), len(MANY)) for device in ("cpu", "cuda"))
    assert torch.equal(here.uniform("flip"), there.uniform("flip").cpu())
    assert torch.equal(here.integers("shift", 9), there.integers("shift", 9).cpu())
