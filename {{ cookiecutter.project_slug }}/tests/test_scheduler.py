"""Schedulers: the learning rate of every step that a real fit takes."""

from functools import partial
from math import cos, pi
from typing import Any

import pytest
import torch
from torch import nn

from your_package import scheduler
from your_package.classifier import Classifier
from your_package.data import Rows

from tests.fitting import Spy, classifier_of, fit, linear_classifier, some_rows

LR = 0.1
ROWS = some_rows(24)


def spy_of(classifier: Classifier) -> Spy:
    (optimizer,) = classifier.trainer.optimizers
    assert isinstance(optimizer, Spy)
    return optimizer


def rates(schedule: Any, rows: Rows = ROWS, batch_size: int = 4, **settings: Any) -> list[float]:
    classifier = classifier_of(nn.Linear(4, 3), schedule=schedule)
    fit(classifier, rows, batch_size, **settings)
    return spy_of(classifier).rates


def test_constant_keeps_the_rate() -> None:
    assert rates(scheduler.constant, max_epochs=3) == [LR] * 18


@pytest.mark.parametrize("warmup_steps", [0, 1, 5])
def test_cosine_rises_in_steps_then_falls_along_half_a_cosine(warmup_steps: int) -> None:
    expected = [LR * (step + 1) / warmup_steps for step in range(warmup_steps)]
    falling = 18 - warmup_steps
    expected += [LR * (1 + cos(pi * step / falling)) / 2 for step in range(falling)]
    measured = rates(partial(scheduler.cosine, warmup_steps=warmup_steps), max_epochs=3)
    assert measured == pytest.approx(expected, rel=1e-12)


def test_cosine_reaches_its_peak_after_the_warm_up_and_zero_when_training_ends() -> None:
    classifier = classifier_of(nn.Linear(4, 3), schedule=partial(scheduler.cosine, warmup_steps=5))
    fit(classifier, ROWS, 4, max_epochs=3)
    assert spy_of(classifier).rates.index(max(spy_of(classifier).rates)) == 4
    assert spy_of(classifier).param_groups[0]["lr"] == pytest.approx(0, abs=1e-17)


def between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + cos(pi * share)) / 2


def test_one_cycle_rises_to_the_rate_and_anneals_to_nearly_nothing() -> None:
    measured = rates(partial(scheduler.one_cycle, warmup_fraction=0.3), max_epochs=5)
    total, peak = 30, 0.3 * 30 - 1
    first, last = LR / 25, LR / 25 / 1e4
    expected = [
        between(first, LR, step / peak) if step <= peak else between(LR, last, (step - peak) / (total - 1 - peak))
        for step in range(total)
    ]
    assert measured == pytest.approx(expected, rel=1e-9)
    assert (measured[0], measured[8], measured[-1]) == pytest.approx((first, LR, last), rel=1e-9)


def test_one_cycle_turns_the_momentum_the_other_way_round() -> None:
    classifier = classifier_of(nn.Linear(4, 3), schedule=partial(scheduler.one_cycle, warmup_fraction=0.3))
    fit(classifier, ROWS, 4, max_epochs=5)
    momenta = spy_of(classifier).momenta
    assert (momenta[0], momenta[8], momenta[-1]) == pytest.approx((0.95, 0.85, 0.95))
    assert momenta[:9] == sorted(momenta[:9], reverse=True)
    assert momenta[8:] == sorted(momenta[8:])


UNLEARNABLE = Rows(torch.zeros(24, 4, dtype=torch.float64), torch.arange(24) % 3)  # the loss is log 3 from the start


@pytest.mark.parametrize("every", [1, 2])
def test_plateau_cuts_the_rate_when_validations_are_no_better(every: int) -> None:
    schedule = partial(scheduler.plateau, factor=0.5, patience=2)
    classifier = classifier_of(nn.Linear(4, 3, bias=False), schedule=schedule)
    fit(classifier, UNLEARNABLE, 24, max_epochs=8 * every, check_val_every_n_epoch=every)
    # one best validation and two that are let pass; the next cuts, and then every third
    expected = [LR] * 4 + [LR / 2] * 3 + [LR / 4]
    assert spy_of(classifier).rates[::every] == pytest.approx(expected)


def test_plateau_keeps_the_rate_while_validation_gets_better() -> None:
    assert rates(partial(scheduler.plateau, factor=0.5, patience=1), batch_size=24, max_epochs=8) == [LR] * 8


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"max_epochs": 3}, 18),
        ({"max_epochs": 3, "accumulate_grad_batches": 4}, 6),  # 6 batches an epoch are one step of 4 and one of 2
        ({"max_epochs": 2, "limit_train_batches": 4}, 8),
        ({"max_epochs": 10, "max_steps": 7}, 7),
    ],
)
def test_the_schedule_is_told_how_many_steps_the_trainer_takes(settings: dict[str, int], steps: int) -> None:
    told = []

    def listen(optimizer: Spy, total_steps: int) -> None:
        told.append(total_steps)

    assert len(rates(listen, **settings)) == steps
    assert told == [steps]


def test_a_schedule_scales_the_steps_that_are_taken() -> None:
    classifier = linear_classifier()
    classifier.scheduler = partial(scheduler.cosine, warmup_steps=3)
    before = classifier.network.weight.detach().clone()
    fit(classifier, ROWS, 4)
    spy = spy_of(classifier)
    moved = sum(rate * gradients[0] for rate, gradients in zip(spy.rates, spy.gradients, strict=True))
    torch.testing.assert_close(before - classifier.network.weight.detach(), moved, rtol=1e-10, atol=1e-15)
