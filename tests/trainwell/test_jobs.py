"""Jobs as users have them: every command of ``docs/your_own_task.md``, as it is typed, on small files."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import preloaded
import pytest
import torch
from PIL import Image

PAGE = (Path(__file__).parents[2] / "docs" / "your_own_task.md").read_text(encoding="utf-8")
SECTIONS = dict(section.split("\n", 1) for section in re.split(r"^###? ", PAGE, flags=re.MULTILINE)[1:])
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
SHORT = ["trainer.max_epochs=2", "~callbacks.early_stopping", "scheduler=constant", "residual.depth=2"]
WIDTH = {"mlp": ["network.width=16"], "cnn": ["network.width=8"]}


def photos() -> None:
    generator = np.random.default_rng(0)
    for name, colour in (("cat", 60), ("dog", 190)):
        Path("photos", name).mkdir(parents=True)
        for number in range(60):
            pixels = np.clip(generator.normal(colour, 40, size=(20 + number % 20, 24, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(f"photos/{name}/{number}.{'png' if number % 2 else 'jpg'}")


def houses() -> None:
    generator = np.random.default_rng(1)
    area, town = generator.uniform(40, 200, 300), generator.choice(["north", "south"], 300)
    price = 2000.0 * area + 50_000 * (town == "south") + generator.normal(0, 5000, 300)
    area[::17] = np.nan
    pandas.DataFrame({"area": area, "town": town, "price": price}).to_csv("houses.csv", index=False)


def churn() -> None:
    generator = np.random.default_rng(2)
    months, plan = generator.integers(1, 60, 600), generator.choice(["basic", "plus", "pro"], 600)
    chance = 0.02 + 0.3 * (months < 12)
    left = np.where(generator.uniform(size=600) < chance, "yes", "no")
    pandas.DataFrame({"months": months, "plan": plan, "churned": left}).to_csv("churn.csv", index=False)
    pandas.DataFrame({"months": [3, 50], "plan": ["basic", "enterprise"]}).to_csv("new_customers.csv", index=False)


def posts() -> None:
    generator = np.random.default_rng(3)
    x = generator.normal(size=(300, 4))
    labels = {"funny": x[:, 0] > 0, "sad": x[:, 1] > 0.5, "long": x[:, 0] + x[:, 2] > 0}
    pandas.DataFrame({**{f"word{i}": x[:, i] for i in range(4)}, **labels}).to_csv("posts.csv", index=False)


def series() -> None:
    start = np.random.default_rng(4).uniform(0, 6, size=(300, 1))
    hours = np.sin(start + np.arange(30) / 4)
    np.savez("series.npz", x=hours[:, :24], y=hours[:, 24:])


def reviews() -> None:
    generator = np.random.default_rng(5)
    words = (["bad", "dull", "awful"], ["good", "great", "fun"])
    labels = generator.integers(0, 2, 200)
    lines = [f"{label}\t{' '.join(generator.choice(words[label], generator.integers(1, 9)))}" for label in labels]
    Path("reviews.tsv").write_text("\n".join(lines) + "\n")


def backbone() -> None:
    layer = torch.nn.Linear(64, 32)
    torch.save({"body.1.weight": layer.weight.data, "body.1.bias": layer.bias.data}, "backbone.pt")


NEEDS: dict[str, list[Callable[[], None]]] = {
    "Photos in folders": [photos],
    "House prices from a table": [houses],
    "Customers who leave, nine to one": [churn],
    "Several tags for each text": [posts],
    "A sequence from a sequence": [series],
    "Texts of different lengths, and an LSTM": [reviews],
    "Fine-tuning with a frozen backbone": [backbone],
}
BEFORE = {
    "New rows with a category that was not seen": "Customers who leave, nine to one",
    "A sampler of your own": "A LightningDataModule that you have",
}
OWN_MODULES = ("An autoencoder", "A GAN, with two optimizers")
KINDS = ("House prices from a table", "Photos in folders", "A GAN, with two optimizers")  # one of each kind of data
JOBS = [title for title, text in SECTIONS.items() if "```bash" in text]
ROW = re.compile(r"^\| ([^|]+) \|([ \d+|]+)\|$", re.MULTILINE)  # the title and eight numbers


def typed(command: str, title: str) -> list[str]:
    """A command of the page with what makes it short."""
    words = shlex.split(command.replace("runs/sweeps/*", next(iter(map(str, Path("runs").glob("sweeps/*"))), "")))
    program = {"python": [], "trainwell": ["-m", "trainwell"]}[words[0]]
    if "train.py" not in words:
        return [*program, *words[1:]]
    own_parts = title in OWN_MODULES or "network=custom" in words
    network = [] if own_parts else WIDTH["cnn" if "network=cnn" in words else "mlp"]
    short = SHORT[:2] if title in OWN_MODULES else SHORT[:3] if own_parts else SHORT
    return [*program, *words[1:], *short, *network]


def do(title: str) -> list[str]:
    """Write the files of a section and run its commands; returns what they print."""
    for make in NEEDS.get(title, []):
        make()
    outputs = []
    for language, block in BLOCK.findall(SECTIONS[title]):
        if language != "bash":
            Path(block.partition("\n")[0].removeprefix("# ")).write_text(block)
            continue
        for command in block.splitlines():
            environment = {**os.environ, "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"}
            ended = preloaded.run(typed(command, title), Path.cwd(), environment)
            assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
            outputs.append(ended.stdout)
    return outputs


def the_run() -> Path:
    return max(Path("runs").glob("train/*"), key=lambda run: run.name)


def summary() -> dict[str, Any]:
    return json.loads((the_run() / "summary.json").read_text())


def test_the_page_has_fifteen_jobs() -> None:
    assert len(JOBS) == 15


def lines_written(title: str) -> list[int]:
    """How many commands, lines of YAML and lines of Python a job takes: lines neither blank nor only a comment."""
    blocks = BLOCK.findall(SECTIONS[title])
    lines = [(language, line.strip()) for language, block in blocks for line in block.splitlines()]
    counted = [language for language, line in lines if line and not line.startswith("#")]
    assert set(counted) <= {"bash", "yaml", "python"}
    return [counted.count(language) for language in ("bash", "yaml", "python")]


def test_the_table_has_the_number_of_lines_of_each_job() -> None:
    found = ROW.findall(SECTIONS["How many lines"])
    rows = {title: [*map(int, re.findall(r"\d+", numbers))] for title, numbers in found}
    total = rows.pop("All fifteen")
    assert {title: numbers[:3] for title, numbers in rows.items()} == {title: lines_written(title) for title in JOBS}
    columns = np.array(list(rows.values()))
    assert columns.sum(axis=0).tolist() == total
    for parts in np.split(columns, 2, axis=1):
        assert np.array_equal(parts[:, :3].sum(axis=1), parts[:, 3])


@pytest.mark.parametrize(
    "title", [pytest.param(title, marks=() if title in KINDS else pytest.mark.slow) for title in JOBS]
)
def test_a_job_runs_as_it_is_typed(title: str, project: Path) -> None:
    if title in BEFORE:
        do(BEFORE[title])
    outputs = do(title)
    assert summary()["status"] == "finished"
    if title in CLAIMS:
        CLAIMS[title](outputs)


def of_prices(outputs: list[str]) -> None:
    assert {"val/loss", "val/mae", "val/rmse", "val/r2"} <= summary()["best"].keys()
    assert summary()["baseline"]["val/mae"] > 10_000  # in the unit of the column


def of_churn(outputs: list[str]) -> None:
    assert summary()["best"]["val/auroc"] > 0.5


def of_unseen(outputs: list[str]) -> None:
    table = pandas.read_csv("predictions.csv")
    assert len(table) == 2
    assert set(table["prediction"]) <= {"yes", "no"}


def of_tags(outputs: list[str]) -> None:
    assert any("precision" in name or name == "val/map" for name in summary()["best"])


def of_folds(outputs: list[str]) -> None:
    assert "5 runs in 1 group" in outputs[1]
    assert "±" in outputs[1]


def of_metric(outputs: list[str]) -> None:
    """In the six places where metrics are shown; W&B is the sixth."""
    run = the_run()
    assert "recall" in outputs[0]
    assert "val/recall" in (run / "metrics.csv").read_text().splitlines()[0]
    assert "val/recall" in summary()["best"]
    for command in (["evaluate", f"run={run}"], ["compare", str(run)]):
        shown = subprocess.run([sys.executable, "-m", "trainwell", *command], text=True, capture_output=True)
        assert "recall" in shown.stdout, shown.stderr
    piece = min(Path("wandb").glob("offline-run-*"))  # the evaluation adds another
    inspected = subprocess.run(
        [Path(sys.executable).with_name("wandb"), "leet", "inspect", "--summary", "--json", piece],
        text=True,
        capture_output=True,
    )
    assert "val/recall" in inspected.stdout, inspected.stderr


def of_frozen(outputs: list[str]) -> None:
    saved = torch.load("backbone.pt", weights_only=True)
    state = torch.load(the_run() / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(state["network.body.1.weight"], saved["body.1.weight"])


CLAIMS: dict[str, Callable[[list[str]], None]] = {
    "House prices from a table": of_prices,
    "Customers who leave, nine to one": of_churn,
    "New rows with a category that was not seen": of_unseen,
    "Several tags for each text": of_tags,
    "Five folds": of_folds,
    "Another metric": of_metric,
    "Fine-tuning with a frozen backbone": of_frozen,
}
