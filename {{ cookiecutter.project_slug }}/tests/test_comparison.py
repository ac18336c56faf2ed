"""Comparing runs: against scipy, and on run folders made by hand and by real commands."""

import csv
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf
from scipy import stats

from your_package import (
    comparison,
    comparison_page,
    comparison_pictures,
    comparison_table,
    composition,
    records,
)

from tests.conftest import PROJECT

Command = Callable[..., subprocess.CompletedProcess[str]]
Make = Callable[..., str]


@pytest.fixture
def make(empty_folder: Path) -> Make:
    """Make a run folder by hand and return its name."""
    made: list[str] = []

    def make(
        seed: int = 0, loss: float | None = 0.5, status: str | None = "finished", epochs: int = 3, **settings: Any
    ) -> str:
        folder = f"runs/train/{len(made):04}"
        made.append(folder)
        groups = {name: value if isinstance(value, dict) else {"rate": value} for name, value in settings.items()}
        config = {**groups, "seed": seed, "test": False, "run_folder": folder}
        config["callbacks"] = {"checkpoint": {"dirpath": f"{folder}/checkpoints"}}
        Path(folder).mkdir(parents=True)
        OmegaConf.save(OmegaConf.create(config), Path(folder, "config.yaml"))
        best = {"epoch": 1, "step": 9, "val/loss": loss, "val/accuracy": None if loss is None else 1 - loss}
        norms = {"median": 1.0, "p90": 2.0, "max": 3.0, "clipped_fraction": 0.25}
        summary = {"status": status, "best": best, "test": None, "seed": seed, "gradient": norms, "experiment": None}
        if status:
            Path(folder, "summary.json").write_text(json.dumps(summary))
        rows = [f"{epoch},{10 * epoch + 9},{1 + epoch},{2 - epoch / epochs}" for epoch in range(epochs)]
        Path(folder, "metrics.csv").write_text("\n".join(["epoch,step,gradient/norm,val/loss", *rows, ""]))
        return folder

    return make


def test_runs_that_differ_only_in_seed_are_one_group(make: Make) -> None:
    runs = [make(seed, dropout=rate) for rate in (0.1, 0.2) for seed in (0, 1, 2)]
    compared = comparison.compare(runs)
    assert [[run.seed for run in group.runs] for group in compared.groups] == [[0, 1, 2], [0, 1, 2]]
    assert [group.label for group in compared.groups] == ["dropout.rate=0.1", "dropout.rate=0.2"]
    assert compared.differing == ["dropout.rate"]


def test_real_configurations_differ_in_what_was_typed_and_nothing_that_repeats_it(
    compose: Callable[..., DictConfig], empty_folder: Path
) -> None:
    profiled, other = ["activation=gelu", "trainer.profiler=simple"], ["activation=leaky_relu", "monitor=val/accuracy"]
    for number, overrides in enumerate((profiled, other)):
        config = compose(*overrides)
        config.run_folder = f"runs/train/{number}"
        Path(config.run_folder).mkdir(parents=True)
        OmegaConf.save(config, Path(config.run_folder, "config.yaml"), resolve=True)
    compared = comparison.compare(["runs"])
    told = {key: [compared.setting(group, key) for group in compared.groups] for key in compared.differing}
    assert told.pop("activation") == ["gelu", "leaky_relu"]
    assert told.pop("activation.slope") == ["-", 0.01]
    assert told.pop("monitor") == ["val/loss", "val/accuracy"]
    assert set(told) <= {"callbacks.early_stopping.mode", "callbacks.checkpoint.mode"}


def test_mean_deviation_and_interval_are_those_of_scipy(make: Make) -> None:
    first, second = [0.51, 0.62, 0.55, 0.49], [0.48, 0.55, 0.56, 0.41]
    for rate, losses in ((0.1, first), (0.2, second)):
        for seed, loss in enumerate(losses):
            make(seed, loss, dropout=rate)
    compared = comparison.compare(["runs"])
    group = compared.groups[1]
    assert group.mean("val/loss") == pytest.approx(fmean(second))
    assert group.deviation("val/loss") == pytest.approx(stdev(second))
    difference = compared.difference(group, "val/loss")
    assert difference is not None
    interval = stats.ttest_rel(second, first).confidence_interval(0.95)
    assert difference == pytest.approx((4, fmean(second) - fmean(first), interval.low, interval.high))


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    draws = stats.norm(loc=0.3).rvs(size=(2000, 5), random_state=0)
    found = [comparison.difference(dict.fromkeys(range(5), 0.0), dict(enumerate(map(float, row)))) for row in draws]
    share = fmean(one.low < 0.3 < one.high for one in found if one is not None)
    assert share == pytest.approx(0.95, abs=0.015)  # three standard errors of 2000 draws


def test_only_common_seeds_are_compared(make: Make) -> None:
    for seed, loss in ((0, 0.5), (1, 0.6), (2, 9.0)):
        make(seed, loss, dropout=0.1)
    for seed, loss in ((3, -9.0), (1, 0.7), (0, 0.7)):
        make(seed, loss, dropout=0.2)
    compared = comparison.compare(["runs"])
    difference = compared.difference(compared.groups[1], "val/loss")
    assert difference is not None
    assert (difference.seeds, difference.mean) == (2, pytest.approx(0.15))
    assert comparison.difference({0: 1.0}, {0: 2.0, 1: 3.0}) is None


@pytest.mark.parametrize("status", ["failed", "interrupted", None])
def test_a_run_that_did_not_end_by_itself_is_told_and_left_out_of_the_mean(status: str | None, make: Make) -> None:
    make(0, 0.5), make(1, 0.7), make(2, 0.1, status)
    compared = comparison.compare(["runs"])
    assert compared.groups[0].endings == {"finished": 2, status or "unfinished": 1}
    assert compared.groups[0].mean("val/loss") == pytest.approx(0.6)
    assert "1 did not end by themselves" in comparison_table.headline(compared)


def test_a_run_without_a_finite_loss_has_no_result(make: Make) -> None:
    make(0, None), make(1, 0.7)
    assert comparison.compare(["runs"]).groups[0].by_seed("val/loss") == {1: 0.7}


def test_the_baseline_is_the_first_or_the_one_that_is_named(make: Make) -> None:
    runs = [make(seed, dropout=rate) for rate in (0.1, 0.2) for seed in (0, 1)]
    assert comparison.compare(runs).baseline.number == 1
    for name in ("2", "dropout.rate=0.2", runs[3], f"{runs[2]}/"):
        assert comparison.compare(runs, name).baseline.number == 2
    with pytest.raises(ValueError, match="--baseline must be 1 to 2, a group's name or one of the runs, got 3"):
        comparison.compare(runs, "3")


def test_many_settings_are_told_as_what_differs_from_the_first(make: Make) -> None:
    same = {"dropout": 0.1, "activation": {"slope": 1}, "scheduler": {"steps": 5}}
    (
        make(**same),
        make(**same | {"dropout": 0.2}),
        make(**same | {"activation": {"slope": 2}, "scheduler": {"steps": 6}}),
    )
    labels = [group.label for group in comparison.compare(["runs"]).groups]
    assert labels == ["train", "dropout.rate=0.2", "activation.slope=2 scheduler.steps=6"]


def test_runs_are_found_by_folder_by_sweep_and_below_a_folder(make: Make, empty_folder: Path) -> None:
    runs = [make(seed) for seed in range(4)]
    sweep = Path("runs/sweeps/one")
    sweep.mkdir(parents=True)
    (sweep / "multirun.yaml").touch()
    (sweep / "runs.txt").write_text("../../train/0001\n../../train/0003\n../../train/deleted\n")

    def found(*places: str) -> Sequence[str]:
        return [str(run.folder) for group in comparison.compare(places).groups for run in group.runs]

    assert found(runs[2], f"./{runs[0]}/") == [runs[2], runs[0]]
    assert found(str(sweep)) == [runs[1], runs[3]]
    assert sorted(found("runs/train", "runs/sweeps")) == runs  # what the shell makes of runs/*
    assert sorted(found("runs")) == runs


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "there is no such run in runs/"),
        (["empty"], "empty is no run folder, and none lies in it (a run folder has a config.yaml)"),
        (["runs", "empty"], "empty is no run folder"),
        (["runs", "--baseline", "7"], "--baseline must be 1 to 1"),
        (["broken"], "broken cannot be read"),
    ],
)
def test_what_is_no_run_is_refused_in_one_sentence(
    arguments: list[str], said: str, make: Make, command: Command, empty_folder: Path
) -> None:
    make()
    Path("empty").mkdir()
    Path("broken").mkdir()
    Path("broken/config.yaml").write_text("seed: [0\nrun_folder: x\n")
    ended = command("compare.py", *arguments)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not list(empty_folder.glob("comparison.*"))


class Page(HTMLParser):
    """What a browser would find in a page: its elements, and the addresses that it would ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.asked: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        values = [value or "" for name, value in attributes if name in ("src", "href", "xlink:href", "data", "srcset")]
        self.asked += [value for value in values if not value.startswith(("#", "data:"))]


@pytest.mark.slow
def test_the_page_holds_everything_and_asks_for_nothing(make: Make, empty_folder: Path) -> None:
    for rate in (0.1, 0.2, 0.3):
        make(0, rate, dropout=rate), make(1, rate + 0.1, dropout=rate)
    path = empty_folder / "page.html"
    comparison_page.write(comparison.compare(["runs"]), path)
    text = path.read_text("utf-8")
    page = Page(text)
    assert page.asked == []
    assert not {"script", "link", "img", "iframe"} & set(page.elements)
    assert "@import" not in text
    assert "url(http" not in text
    assert page.elements.count("svg") == 3  # curves, the swept parameter, gradients
    for words in ("dropout.rate", "0.1500 ± 0.0707", "+0.1000 [+0.1000, +0.1000] *", "2 finished", "runs/train/0005"):
        assert words in text
    assert comparison_pictures.INK not in text


@pytest.mark.slow
def test_what_a_run_is_called_cannot_break_the_page(make: Make, empty_folder: Path) -> None:
    make(network={"name": "<script>a & b"}), make(network={"name": "$x$ é 🎉"})
    path = empty_folder / "page.html"
    comparison_page.write(comparison.compare(["runs"]), path)
    assert "script" not in Page(path.read_text("utf-8")).elements


def test_a_plot_over_a_parameter_is_drawn_when_exactly_one_number_was_swept(make: Make) -> None:
    make(dropout=0.1), make(dropout=0.2)
    assert comparison.compare(["runs"]).swept == "dropout.rate"
    make(dropout=0.2, activation=0.5)
    assert comparison.compare(["runs"]).swept is None


def test_a_word_that_was_swept_is_no_number(make: Make) -> None:
    make(dropout={"_target_": "package.dropout.none"}), make(dropout={"_target_": "package.dropout.standard"})
    compared = comparison.compare(["runs"])
    assert [group.label for group in compared.groups] == ["dropout=none", "dropout=standard"]
    assert compared.swept is None


@pytest.mark.slow
def test_at_most_a_dozen_groups_are_drawn_the_baseline_among_them(make: Make) -> None:
    for number in range(20):
        make(loss=1 - number / 100, dropout=number)
    compared = comparison.compare(["runs"])
    drawn = [group.number for group in comparison_pictures.shown(compared)]
    assert drawn == [1, *range(10, 21)]
    said = [caption for caption, _ in comparison_pictures.pictures(compared)]
    assert "8 more are in the tables" in said[0]


def test_a_run_killed_while_writing_leaves_its_whole_lines(make: Make) -> None:
    folder = Path(make(status=None))
    with (folder / "metrics.csv").open("a") as file:
        file.write("3,39,0.25,1e-")
    values = comparison_pictures.logged(records.read_run(folder), ("val/loss", "gradient/norm"))
    assert values["gradient/norm"] == [(0, 9, 1.0), (1, 19, 2.0), (2, 29, 3.0)]
    assert len(values["val/loss"]) == 3


def test_curves_end_where_more_than_half_of_the_runs_have_stopped() -> None:
    curves = [[(epoch, 0, float(epoch)) for epoch in range(length)] for length in (2, 3, 5)]
    assert comparison_pictures.by_epoch(curves) == {0: [0, 0, 0], 1: [1, 1, 1], 2: [2, 2]}


@pytest.mark.slow
def test_the_csv_file_has_a_row_a_group(make: Make, command: Command, empty_folder: Path) -> None:
    for rate in (0.1, 0.2):
        make(0, rate, dropout=rate), make(1, rate + 0.1, dropout=rate)
    ended = command("compare.py", "runs", "--baseline", "2", "--output", "seen")
    assert ended.returncode == 0, ended.stderr
    with (empty_folder / "seen/comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["dropout.rate"] for row in rows] == ["0.1", "0.2"]
    assert [float(row["val/loss mean"]) for row in rows] == pytest.approx([0.15, 0.25])
    assert float(rows[0]["val/loss difference"]) == pytest.approx(-0.1)
    assert rows[1]["val/loss difference"] == ""
    assert rows[0]["folders"].split() == ["runs/train/0000", "runs/train/0001"]
    assert "val/loss" in ended.stdout
    assert str(Path("seen/comparison.html")) in ended.stdout


@pytest.mark.slow
def test_nothing_of_the_training_is_imported(make: Make) -> None:
    make()
    program = f"""
import atexit, runpy, sys
atexit.register(lambda: print("imported:", sorted({{"torch", "lightning", "wandb", "hydra"}} & set(sys.modules))))
sys.argv = ["compare.py", "runs"]
sys.path.insert(0, {str(PROJECT)!r})
runpy.run_path({str(PROJECT / "compare.py")!r}, run_name="__main__")
"""
    ended = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, timeout=60)
    assert ended.stdout.endswith("imported: []\n"), ended.stdout + ended.stderr


@pytest.mark.slow
def test_a_thousand_runs_take_less_than_ten_seconds(
    compose: Callable[..., DictConfig], command: Command, empty_folder: Path
) -> None:
    config = OmegaConf.to_yaml(compose("dropout.rate=0.123"), resolve=True)
    for number in range(1000):
        folder = Path(f"runs/train/{number:04}")
        folder.mkdir(parents=True)
        own = config.replace("rate: 0.123", f"rate: {number // 5 / 1000}").replace("seed: 0", f"seed: {number % 5}")
        (folder / "config.yaml").write_text(own.replace("run_folder: null", f"run_folder: {folder}"))
        best = {"val/loss": number % 7, "val/accuracy": number % 5}
        (folder / "summary.json").write_text(json.dumps({"status": "finished", "best": best, "test": None}))
        rows = [f"{step // 5},{step},{step % 11},{step % 13}" for step in range(300)]
        (folder / "metrics.csv").write_text("\n".join(["epoch,step,gradient/norm,val/loss", *rows, ""]))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = command("compare.py", "runs")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ended.returncode == 0, ended.stderr
    assert "1000 runs in 200 groups" in ended.stdout
    # Of the processor: other tests run beside this one.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 10


@pytest.mark.slow
def test_an_ablation_is_the_default_and_five_times_the_default_without_one_technique(
    compose: Callable[..., DictConfig], empty_folder: Path
) -> None:
    for number, job in enumerate(composition.jobs("train", ["+sweep=ablation", "seed=0,1"])):
        config = compose(*job)
        config.run_folder = f"runs/train/{number:02}"
        Path(config.run_folder).mkdir(parents=True)
        OmegaConf.save(config, Path(config.run_folder, "config.yaml"), resolve=True)
    compared = comparison.compare(["runs"])
    assert [[run.seed for run in group.runs] for group in compared.groups] == [[0, 1]] * 6
    told = [[str(compared.setting(group, key)) for group in compared.groups] for key in compared.differing]
    for values in told:
        assert len(set(values[1:])) == 2  # one of the five differs from the default in it
        assert values.count(values[0]) == 5


@pytest.mark.slow
def test_a_mistake_in_a_job_of_a_sweep_file_is_refused_before_the_first_starts(command: Command) -> None:
    ended = command("train.py", "-m", "+sweep=ablation", "scheduler=constant", "scheduler.warmup_steps=5")
    assert ended.returncode == 2
    assert not Path("runs").exists()
