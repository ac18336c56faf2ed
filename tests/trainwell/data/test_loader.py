import random
from typing import Any

import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer
from torch.utils.data import Dataset
from trainwell.data.loader import ResumableLoader
from trainwell.rng import random_states

WORKERS = pytest.mark.parametrize("workers", [0, 2])


class Noisy(Dataset[Any]):
    """23 numbers, each with noise from all three global generators."""

    def __len__(self) -> int:
        return 23

    def __getitem__(self, index: int) -> tuple[int, torch.Tensor]:
        return index, torch.tensor([torch.rand(1).item(), np.random.rand(), random.random()])


def loader(**kw: Any) -> ResumableLoader:
    return ResumableLoader(Noisy(), 5, **{"seed": 3, **kw})


def epoch_of(batches: ResumableLoader, epoch: int) -> list[list[Any]]:
    iterator = iter(batches)
    batches.sampler.set_epoch(epoch)  # after iter, as Lightning does
    return [[index.tolist(), noise.tolist()] for index, noise in iterator]


def test_an_epoch_yields_every_sample_once_in_an_order_of_its_own() -> None:
    first, second = ([number for numbers, _ in epoch_of(loader(), epoch) for number in numbers] for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(23))
    assert first != second
    unshuffled = [number for numbers, _ in epoch_of(loader(shuffle=False), 4) for number in numbers]
    assert unshuffled == list(range(23))


@WORKERS
def test_an_interrupted_epoch_is_resumed_with_the_same_batches(workers: int) -> None:
    whole = epoch_of(loader(), 2)
    stopped = loader(num_workers=workers)
    stopped.set_epoch(2)
    taken = iter(stopped)
    next(taken), next(taken)
    resumed = loader(num_workers=workers)
    resumed.load_state_dict(stopped.state_dict())
    assert epoch_of(resumed, 2) == whole[2:]
    assert len(resumed) == 5
    assert epoch_of(resumed, 3) == epoch_of(loader(), 3)


@WORKERS
def test_iterating_leaves_the_global_random_states_alone(workers: int) -> None:
    before = random_states()
    epoch_of(loader(num_workers=workers), 0)
    after = random_states()
    assert torch.equal(before.pop("torch"), after.pop("torch"))
    assert before == after


def test_two_processes_share_the_samples_of_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainwell.data.batches.world_size", lambda: 2)
    monkeypatch.setattr("trainwell.data.loader.world_size", lambda: 2)
    shares, noises = [], []
    for rank in (0, 1):
        monkeypatch.setattr("trainwell.data.batches.rank", lambda rank=rank: rank)
        monkeypatch.setattr("trainwell.data.loader.rank", lambda rank=rank: rank)
        batches = epoch_of(loader(), 0)
        shares.append({number for numbers, _ in batches for number in numbers})
        noises.append([noise for _, noise in batches])
        assert len(loader()) == len(batches) == 3
    assert not shares[0] & shares[1]
    assert len(shares[0]) == len(shares[1]) == 11
    assert noises[0] != noises[1]


class Listener(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[list[int]] = []

    def training_step(self, batch: Any, batch_index: int) -> None:
        self.seen.append(batch[0].tolist())

    def configure_optimizers(self) -> None:
        return None


@pytest.mark.filterwarnings("ignore")  # Lightning's advice
@pytest.mark.parametrize("overfit_batches", [0, 2])
def test_lightning_trains_on_it_and_may_overfit_batches(overfit_batches: int) -> None:
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    listener = Listener()
    trainer = Trainer(accelerator="cpu", max_epochs=2, overfit_batches=overfit_batches, **quiet)
    trainer.fit(listener, loader())
    if overfit_batches:
        assert listener.seen == 2 * [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    else:
        assert listener.seen == [numbers for epoch in (0, 1) for numbers, _ in epoch_of(loader(), epoch)]
