import numpy as np
import pytest
import torch
from trainwell.data import standardize
from trainwell.data.standardize import fit


def test_statistics_of_blocks_are_those_of_the_whole() -> None:
    x = np.random.default_rng(1).normal(1000, 0.1, (60, 6))
    x[:, 2] = 0.1
    standardizer = fit(torch.from_numpy(x).split(7))
    expected = x.std(axis=0)
    expected[2] = 1
    assert np.allclose(standardizer.mean, x.mean(axis=0), rtol=1e-14)
    assert np.allclose(standardizer.deviation, expected, rtol=1e-9)  # 1e4 deviations from 0: 1e-16 loses that, squared


def test_samples_of_one_block_are_standardized_as_torch_does() -> None:
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    deviation, mean = torch.std_mean(x.double(), dim=0, correction=0)
    assert torch.allclose(fit([x])(x), ((x.double() - mean) / deviation).float(), atol=1e-6)


@pytest.mark.parametrize("value", [0.1, 1.7e9 + 0.1, 1e-300])
def test_a_feature_that_is_constant_is_only_centred(value: float) -> None:
    x = torch.full((1000, 1), value, dtype=torch.float64)
    standardizer = fit(x.split(100))
    assert standardizer.deviation.item() == 1
    assert standardizer(x).abs().max() < 1e-6


def test_seconds_since_1970_keep_their_differences() -> None:
    offsets = np.random.default_rng(0).uniform(-40, 40, (2000, 1))
    x = torch.from_numpy(1.7e9 + offsets)
    expected = (offsets - offsets.mean()) / offsets.std()
    assert np.allclose(fit([x])(x), expected, atol=1e-6)  # float64 has steps of 2.4e-7 there, and 23 to a deviation


def test_a_block_holds_at_least_one_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standardize, "BLOCK", 50)
    assert standardize.samples_per_block((60, 2, 3)) == 8
    assert standardize.samples_per_block((60, 51)) == 1
