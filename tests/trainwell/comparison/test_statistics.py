"""Groups and intervals, against scipy."""

from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest
from scipy import stats
from trainwell.comparison import statistics, table

Make = Callable[..., str]


def test_runs_that_differ_only_in_seed_are_one_group(make: Make) -> None:
    runs = [make(seed, dropout=rate) for rate in (0.1, 0.2) for seed in (0, 1, 2)]
    compared = statistics.compare(runs)
    assert [[run.seed for run in group.runs] for group in compared.groups] == [[0, 1, 2], [0, 1, 2]]
    assert [group.label for group in compared.groups] == ["dropout.rate=0.1", "dropout.rate=0.2"]
    assert compared.differing == ["dropout.rate"]


def test_runs_that_differ_only_in_fold_are_one_group(make: Make) -> None:
    for rate in (0.1, 0.2):
        for fold, loss in enumerate((0.5, 0.6, 0.8)):
            make(0, loss + rate, data={"fold": fold}, dropout=rate)
    make(0, 0.9, data={"fold": None}, dropout=0.1)
    first, second, whole = statistics.compare(["runs"]).groups
    assert first.spread("val/loss") == pytest.approx((fmean([0.6, 0.7, 0.9]), stdev([0.6, 0.7, 0.9])))
    difference = statistics.paired_difference(first.values("val/loss"), second.values("val/loss"))
    assert (difference.size, difference.value) == (3, pytest.approx(0.1))
    assert len(whole.runs) == 1


def test_runs_of_different_code_are_different_groups_and_named_by_it(make: Make) -> None:
    for seed in (0, 1):
        make(seed, 0.5, summary={"code": "aaaa"}), make(seed, 0.9, summary={"code": "bbbb"})
    killed = make(2, status=None)
    Path(killed, "provenance.json").write_text('{"code": "bbbb"}')
    compared = statistics.compare(["runs"])
    assert [group.label for group in compared.groups] == ["code=aaaa", "code=bbbb"]
    assert [len(group.runs) for group in compared.groups] == [2, 3]
    assert compared.groups[0].spread("val/loss").mean == pytest.approx(0.5)


def test_mean_deviation_and_interval_are_those_of_scipy(make: Make) -> None:
    first, second = [0.51, 0.62, 0.55, 0.49], [0.48, 0.55, 0.56, 0.41]
    for rate, losses in ((0.1, first), (0.2, second)):
        for seed, loss in enumerate(losses):
            make(seed, loss, dropout=rate)
    baseline, group = statistics.compare(["runs"]).groups
    assert group.spread("val/loss") == pytest.approx((fmean(second), stdev(second)))
    difference = statistics.paired_difference(baseline.values("val/loss"), group.values("val/loss"))
    interval = stats.ttest_rel(second, first).confidence_interval(0.95)
    assert difference == pytest.approx((fmean(second) - fmean(first), interval.low, interval.high, 4))


def test_an_interval_contains_the_true_mean_as_often_as_it_says() -> None:
    draws = stats.norm(loc=0.3).rvs(size=(2000, 5), random_state=0)
    zeros = dict.fromkeys(range(5), 0.0)
    found = [statistics.paired_difference(zeros, dict(enumerate(map(float, row)))) for row in draws]
    share = fmean(one.low < 0.3 < one.high for one in found)
    assert share == pytest.approx(0.95, abs=0.015)  # three standard errors of 2000 draws


def test_only_common_seeds_are_compared(make: Make) -> None:
    for seed, loss in ((0, 0.5), (1, 0.6), (2, 9.0)):
        make(seed, loss, dropout=0.1)
    for seed, loss in ((3, -9.0), (1, 0.7), (0, 0.7)):
        make(seed, loss, dropout=0.2)
    baseline, group = statistics.compare(["runs"]).groups
    difference = statistics.paired_difference(baseline.values("val/loss"), group.values("val/loss"))
    assert (difference.size, difference.value) == (2, pytest.approx(0.15))
    assert np.isnan(statistics.paired_difference({0: 1.0}, {0: 2.0, 1: 3.0}).value)


@pytest.mark.parametrize("status", ["failed", "interrupted", "out_of_time", None])
def test_a_run_that_did_not_end_by_itself_is_reported_and_left_out_of_the_mean(status: str | None, make: Make) -> None:
    make(0, 0.5), make(1, 0.7), make(2, 0.1, status)
    compared = statistics.compare(["runs"])
    assert compared.groups[0].spread("val/loss").mean == pytest.approx(0.6)
    assert table.statuses(compared.groups[0]) == f"2 finished, 1 {(status or 'unfinished').replace('_', ' ')}"
    assert "1 did not end by themselves" in table.headline(compared)


def test_a_run_without_a_finite_loss_has_no_result(make: Make) -> None:
    make(0, None), make(1, 0.7)
    assert list(statistics.compare(["runs"]).groups[0].values("val/loss").values()) == [0.7]


def test_every_metric_of_a_summary_is_compared_those_of_the_test_data_last(make: Make) -> None:
    make(summary={"best": {"epoch": 3, "step": 9, "val/auroc": 0.8}, "test": {"test/auroc": 0.7}})
    make(1, summary={"best": {"val/r2": 0.1}})
    assert list(statistics.compare(["runs"]).metrics) == ["val/auroc", "val/r2", "test/auroc"]


def test_the_baseline_is_the_first_or_the_one_that_is_named(make: Make) -> None:
    runs = [make(seed, dropout=rate) for rate in (0.1, 0.2) for seed in (0, 1)]
    assert statistics.compare(runs).baseline.number == 1
    for name in ("2", "dropout.rate=0.2", runs[3], f"{runs[2]}/"):
        assert statistics.compare(runs, name).baseline.number == 2
    with pytest.raises(ValueError, match="--baseline must be 1 to 2, a group's name or one of the runs, got 3"):
        statistics.compare(runs, "3")


def test_of_many_settings_a_label_has_those_that_differ_from_the_first_run(make: Make) -> None:
    same = {"dropout": 0.1, "activation": {"slope": 1}, "scheduler": {"steps": 5}}
    (
        make(**same),
        make(**same | {"dropout": 0.2}),
        make(**same | {"activation": {"slope": 2}, "scheduler": {"steps": 6}}),
    )
    labels = [group.label for group in statistics.compare(["runs"]).groups]
    assert labels == ["train", "dropout.rate=0.2", "activation.slope=2 scheduler.steps=6"]


def test_the_bootstrap_interval_of_a_mean_is_that_of_resampled_means() -> None:
    losses = np.random.default_rng(1).exponential(size=300)
    found = statistics.bootstrap(lambda index: losses[index].mean(), len(losses))
    generator = np.random.default_rng(0)
    means = [losses[generator.integers(300, size=300)].mean() for _ in range(1000)]
    assert found == pytest.approx((losses.mean(), *np.quantile(means, [0.025, 0.975]), 300))


def test_the_bootstrap_has_random_numbers_of_its_own() -> None:
    values = np.random.default_rng(1).normal(size=50)
    before = np.random.get_state()[1]
    first, second = (statistics.bootstrap(lambda index: values[index].std(), 50) for _ in range(2))
    assert first == second
    assert (np.random.get_state()[1] == before).all()
