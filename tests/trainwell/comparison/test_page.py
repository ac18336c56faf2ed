"""The page of a comparison, and its picture."""

import io
import os
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib import image
from trainwell.comparison import page, statistics

Make = Callable[..., str]

ESCAPE = "\x1b]0;owned\x07\x1b[31m"


class Page(HTMLParser):
    """What a browser would find in a page: its elements, and the addresses that it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        values = [value or "" for name, value in attributes if name in ("src", "href", "data", "srcset")]
        self.loaded += [value for value in values if not value.startswith("data:")]


def test_the_page_holds_everything_and_loads_nothing(make: Make, empty_folder: Path) -> None:
    for rate in (0.1, 0.2, 0.3):
        make(0, rate, dropout=rate), make(1, rate + 0.1, dropout=rate)
    path = empty_folder / "page.html"
    page.write(statistics.compare(["runs"]), path)
    text = path.read_text("utf-8")
    found = Page(text)
    assert found.loaded == []
    assert found.elements.count("img") == 1
    assert not {"script", "link", "iframe"} & set(found.elements)
    assert "url(" not in text
    for words in ("dropout.rate", "0.1500 ± 0.0707", "+0.1000 [+0.1000, +0.1000] *", "2 finished", "runs/train/0005"):
        assert words in text


@pytest.mark.parametrize("name", ["<script>a & b", "$x$ é 🎉", "{{ 7 * 7 }}", "\\frac $", ESCAPE])
def test_what_a_run_is_called_cannot_break_the_page_or_the_picture(name: str, make: Make) -> None:
    folder = f"runs/train/{name.replace('/', '')}"
    make(network={"name": name}, summary={"experiment": name, "command": name, "status": name}, folder=folder)
    make(network={"name": f"other {name}"}), make(network={name: 1})
    page.write(statistics.compare(["runs"]), Path("page.html"))
    text = Path("page.html").read_text("utf-8")
    assert "script" not in Page(text).elements
    assert "49" not in text.partition("<img")[0].partition("Groups")[2]
    assert "\x1b" not in text


def test_a_picture_has_a_panel_for_each_curve(make: Make) -> None:
    runs = [Path(make(seed)) for seed in (0, 1)]
    width = image.imread(io.BytesIO(page.draw(statistics.compare(["runs"])) or b""), format="png").shape[1]
    assert width == 2 * 4.2 * 120
    for run in runs:
        (run / "metrics.csv").unlink()
    assert page.draw(statistics.compare(["runs"])) is None


@pytest.mark.parametrize(("mode", "best"), [("min", range(10, 21)), ("max", range(2, 13))])
def test_at_most_a_dozen_groups_are_drawn_the_baseline_and_the_best(mode: str, best: range, make: Make) -> None:
    for number in range(20):
        config = Path(make(loss=1 - number / 100, dropout=number), "config.yaml")
        config.write_text(config.read_text().replace("monitor_mode: min", f"monitor_mode: {mode}"))
    assert [group.number for group in page.shown(statistics.compare(["runs"]))] == [1, *best]


def test_curves_are_read_from_any_metrics_csv(make: Make) -> None:
    run = Path(make())
    with (run / "metrics.csv").open("a") as file:
        file.write(",35,7,\nx,y,z,w\n2,29,inf,nan\n3,39,0.25,1e-")  # no epoch, no numbers, not finite, torn by a kill
    found = page.logged(run, ["val/loss", "gradient/norm", "absent"])
    assert found["gradient/norm"] == {9: 1.0, 19: 2.0, 29: 3.0, 35: 7.0}
    assert list(found["val/loss"]) == [0, 1, 2]
    with (run / "metrics.csv").open("a") as file:
        file.write(f"\n4,49,{'1' * 200_000},1\n")  # longer than a field may be
    assert page.logged(run, ["val/loss"]) == {"val/loss": found["val/loss"]}
    (run / "metrics.csv").unlink()
    os.mkfifo(run / "metrics.csv")
    assert page.logged(run, ["val/loss"]) == {}


def test_curves_end_where_more_than_half_of_the_runs_have_stopped() -> None:
    curves = [{float(epoch): float(epoch) for epoch in range(length)} for length in (2, 3, 5)]
    assert page.over_runs(curves) == {0: [0, 0, 0], 1: [1, 1, 1], 2: [2, 2]}
