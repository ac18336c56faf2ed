import pytest
import torch
from torch.utils.data import DataLoader
from trainwell.data.batches import Batches, Samples


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
