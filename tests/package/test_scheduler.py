"""Schedulers: the momentum of one cycle, and a plateau that is none."""

from functools import partial

import pytest
from my_network.techniques import scheduler
from tests.fitting import classification_of, fit, recorded
from tests.test_scheduler import LR, SAMPLES, rates
from torch import nn


def test_one_cycle_moves_the_momentum_inversely() -> None:
    task = classification_of(nn.Linear(4, 3), schedule=partial(scheduler.one_cycle, warmup_fraction=0.3))
    fit(task, SAMPLES, 4, max_epochs=5)
    momenta = recorded(task).momenta
    assert (momenta[0], momenta[8], momenta[-1]) == pytest.approx((0.95, 0.85, 0.95))
    assert momenta[:9] == sorted(momenta[:9], reverse=True)
    assert momenta[8:] == sorted(momenta[8:])


def test_plateau_keeps_the_rate_while_validation_improves() -> None:
    assert rates(partial(scheduler.plateau, factor=0.5, patience=1), batch_size=24, max_epochs=8) == [LR] * 8
