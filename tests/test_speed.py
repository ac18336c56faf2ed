"""The speed benchmark: all contestants really train, and the page says what was measured."""

from pathlib import Path

import pytest
import torch

from benchmarks.project import Project
from benchmarks.speed import gpu, page, settings
from benchmarks.speed.augmentation import PerImage
from benchmarks.speed.per_sample import PerSampleDataset
from benchmarks.speed.race import race
from benchmarks.speed.settings import Setting, races


@pytest.mark.slow
def test_every_contestant_of_a_race_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.TABLES, "rounds", 3)
    monkeypatch.setitem(settings.TABLES, "warm_up", 0)
    others = ("bare", "usual", "undiagnosed", "mapped")
    setting = Setting("tiny", 16, ("network.width=8", "residual.depth=1"), steps=4, against=others)
    found = race(setting, Project(tmp_path), tmp_path)
    assert set(found["seconds"]) == {"project", *others}
    assert all(len(turns) == 3 and min(turns) > 0 for turns in found["seconds"].values())
    assert all(2**27 < held < 2**33 for held in found["memory"].values())
    assert page.race_row(setting, found).startswith("| tiny | 16 | 1 | ")
    logged = [path.read_text() for path in tmp_path.glob("runs/train/*/metrics.csv")]
    assert sorted("diagnostics/gradient_norm" in text for text in logged) == [False, True, True]


@pytest.mark.slow
def test_the_gpu_script_runs_where_there_is_no_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gpu, "TEMPLATE", tmp_path)
    monkeypatch.setitem(settings.TABLES, "gpu", {"rounds": 3, "warm_up": 0})
    monkeypatch.setitem(settings.TABLES["networks"], "tiny", "network.width=8 residual.depth=1")
    against = ["bare", "graph", "bare_graph"]
    tiny = {"network": "tiny", "batch_size": 16, "steps": 4, "against": against}
    monkeypatch.setitem(settings.TABLES, "gpu_races", [tiny])
    gpu.main()
    lines = (tmp_path / "build" / "bench" / "gpu.md").read_text().splitlines()
    assert lines[-1].startswith("| tiny | 16 | ")
    assert lines[-1].count(" to ") == 3
    if not torch.cuda.is_available():
        assert lines[0].startswith("no GPU")
        assert "one by one: 0" in lines[2]


def test_the_races_are_those_of_the_published_table() -> None:
    published = Path(__file__).parents[1].joinpath("docs", "speed.md").read_text("utf-8")
    for setting in races("races"):
        assert f"| {setting.network} | {setting.batch_size} | {setting.cores} | " in published
    assert all(setting.against == ("undiagnosed", "mapped") for setting in races("against_itself"))


def test_a_page_is_written_from_what_was_measured(tmp_path: Path) -> None:
    seconds = {kind: [1.0, 1.1, 1.2] for kind in ("project", "bare", "usual", "undiagnosed", "mapped")}
    found = dict.fromkeys([races("races")[0], races("against_itself")[0]], None)
    found = {setting: {"seconds": seconds, "memory": dict.fromkeys(seconds, 2**29)} for setting in found}
    curves = {"digits": {name: [[(1.0, 0.96), (2.0, 0.98)]] for name in ("default", "quick", "sklearn")}}
    commands = {"import hydra": [0.1, 0.2, 0.3], "--help": [0.3, 0.4, 0.5]}
    waits = {"commands": commands, "one": 10, "many": 40, "job": 0.5, "fit": 0.25}
    page.write_page(tmp_path / "speed.md", found, curves, {**waits, "memory": {"a hundred jobs": [500.0] * 8}})
    text = (tmp_path / "speed.md").read_text("utf-8")
    assert "| small MLP | 64 | 1 | 5.5 ms | 1.00 (1.00 to 1.00) | 1.00 (1.00 to 1.00) | 512 MB, 512 MB |" in text
    assert "| default MLP | 64 | 1.000 (1.000 to 1.000) | 1.000 (1.000 to 1.000) |" in text
    assert "| digits | 97.0% | 2.00 s | 2.00 s | 2.00 s |" in text
    assert "| --help | 0.40 (0.30 to 0.50) | 2.0 |" in text
    assert "10 s as one sweep in one process, and 40 s as sixteen processes: 4.0" in text
    assert (tmp_path / "speed.png").exists()


def test_a_ratio_is_the_median_of_the_rounds_not_of_the_turns() -> None:
    low, middle, high = page.ratio([10.0, 2.0, 3.0], [20.0, 2.0, 2.0])
    assert middle == 1.0
    assert low < 1.0 < high


def test_an_accuracy_is_reached_when_most_seeds_have_reached_it() -> None:
    curves = [[(1.0, 0.5), (2.0, 0.9)], [(3.0, 0.8), (4.0, 0.9)], [(5.0, 0.5), (6.0, 0.6)]]
    assert page.reached(curves, 0.5) == "3.00 s"
    assert page.reached(curves, 0.9) == "4.00 s"
    assert page.reached(curves, 0.95) == "not in 2 epochs"


def test_the_usual_dataset_standardizes_images() -> None:
    class Images:
        x, y = torch.zeros(5, 28, 28), torch.arange(5)

    images = torch.stack([PerSampleDataset(Images)[number][0] for number in range(5)])
    assert images.shape == (5, 1, 28, 28)
    noise = torch.tensor(0.5 - 0.13) / 0.31  # uniform pixels have mean a half; 3920 of them, to within 0.02
    assert (images.mean() - noise).abs() < 0.1


def test_single_images_are_augmented_as_whole_batches_are() -> None:
    images = PerImage([(torch.full((3, 32, 32), 255, dtype=torch.uint8), 7)] * 300)
    made = torch.stack([images[number][0] for number in range(300)])
    erased = (made[:, :, 4:-4, 4:-4] == 0).flatten(1).any(dim=1).double().mean()
    assert made.shape == (300, 3, 32, 32)
    assert made.unique().tolist() == pytest.approx([0, (255 - 127.5) / 73.9])
    assert 0.1 < erased < 0.35  # a quarter, and a few of those within the border
