"""Schedulers: the learning rate of every step that a real fit takes."""

from functools import partial
from math import cos, pi
from typing import Any

import pytest
import torch
from torch import nn
from trainwell.data.batches import Samples

from your_package.techniques import scheduler

from tests.fitting import RecordingSGD, classification_of, fit, recorded, some_samples

LR = 0.1
SAMPLES = some_samples(24)


def rates(schedule: Any, batch_size: int = 4, **settings: Any) -> list[float]:
    task = classification_of(nn.Linear(4, 3), schedule=schedule)
    fit(task, SAMPLES, batch_size, **settings)
    return recorded(task).rates


def test_constant_keeps_the_rate() -> None:
    assert rates(scheduler.constant, max_epochs=3) == [LR] * 18


@pytest.mark.parametrize("warmup_steps", [0, 1, 5])
def test_cosine_rises_linearly_then_falls_along_half_a_cosine(warmup_steps: int) -> None:
    expected = [LR * (step + 1) / warmup_steps for step in range(warmup_steps)]
    falling = 18 - warmup_steps
    expected += [LR * (1 + cos(pi * step / falling)) / 2 for step in range(falling)]
    measured = rates(partial(scheduler.cosine, warmup_steps=warmup_steps), max_epochs=3)
    assert measured == pytest.approx(expected, rel=1e-12)


def between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + cos(pi * share)) / 2


def test_one_cycle_rises_to_the_rate_and_anneals_to_almost_zero() -> None:
    measured = rates(partial(scheduler.one_cycle, warmup_fraction=0.3), max_epochs=5)
    total, peak = 30, 0.3 * 30 - 1
    first, last = LR / 25, LR / 25 / 1e4
    expected = [
        between(first, LR, step / peak) if step <= peak else between(LR, last, (step - peak) / (total - 1 - peak))
        for step in range(total)
    ]
    assert measured == pytest.approx(expected, rel=1e-9)
    assert (measured[0], measured[8], measured[-1]) == pytest.approx((first, LR, last), rel=1e-9)


UNLEARNABLE = Samples(torch.zeros(24, 4, dtype=torch.float64), torch.arange(24) % 3)  # the loss is log 3 from the start


@pytest.mark.parametrize("every", [1, 2])
def test_plateau_cuts_the_rate_when_validation_stops_improving(every: int) -> None:
    schedule = partial(scheduler.plateau, factor=0.5, patience=2)
    task = classification_of(nn.Linear(4, 3, bias=False), schedule=schedule)
    fit(task, UNLEARNABLE, 24, max_epochs=8 * every, check_val_every_n_epoch=every)
    # one best validation and two that are tolerated; the next one cuts, and then every third
    expected = [LR] * 4 + [LR / 2] * 3 + [LR / 4]
    assert recorded(task).rates[::every] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"max_epochs": 3}, 18),
        ({"max_epochs": 3, "accumulate_grad_batches": 4}, 6),  # 6 batches an epoch are one step of 4 and one of 2
        ({"max_epochs": 2, "limit_train_batches": 4}, 8),
        ({"max_epochs": 10, "max_steps": 7}, 7),
    ],
)
def test_a_scheduler_is_called_with_the_number_of_steps_that_the_trainer_takes(
    settings: dict[str, int], steps: int
) -> None:
    given = []

    def listen(optimizer: RecordingSGD, total_steps: int) -> None:
        given.append(total_steps)

    assert len(rates(listen, **settings)) == steps
    assert given == [steps]


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (
            partial(scheduler.cosine, warmup_steps=18),
            "scheduler.warmup_steps must be below the number of steps, 18, got 18",
        ),
        (
            partial(scheduler.one_cycle, warmup_fraction=0.05),
            "scheduler.warmup_fraction must give more than one of the 18 steps, got 0.9",
        ),
    ],
    ids=["cosine", "one cycle"],
)
def test_a_warm_up_that_does_not_fit_the_training_is_refused_by_its_key(schedule: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rates(schedule, max_epochs=3)
