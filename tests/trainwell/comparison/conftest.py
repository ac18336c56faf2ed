"""Run folders made by hand, in an empty working folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Make = Callable[..., str]

# As a run saves it: resolved, so that `task`, `network` and `trainer` repeat what stands in the other blocks.
REALISTIC = """
data: {{_target_: my_network.data.arrays.Arrays, path: my.npz, standardize: {standardize}, seed: {seed}, fold: null,
  source: {{_target_: my_network.data.arrays.load, path: my.npz, standardize: {standardize}}}}}
network: {{_target_: my_network.networks.mlp.MLP, _partial_: true, width: 64,
  layer_factories: {{depth: 3, activation: {{_target_: my_network.techniques.activation.{activation}}}}}}}
activation: {{_target_: my_network.techniques.activation.{activation}, _partial_: true}}
task: {{_target_: my_network.tasks.classification.Classification.from_data, _partial_: true,
  network: {{_target_: my_network.networks.mlp.MLP, _partial_: true, width: 64,
    layer_factories: {{depth: 3, activation: {{_target_: my_network.techniques.activation.{activation}}}}}}},
  metrics: {{accuracy: {{_target_: torchmetrics.Accuracy, task: multiclass}}}}}}
trainer: {{max_epochs: 3, default_root_dir: {folder}/checkpoints, enable_progress_bar: {bar},
  callbacks: [{{_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: {monitor}, mode: {mode}}}]}}
callbacks:
  early_stopping: {{_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: {monitor}, mode: {mode}}}
  checkpoint: {{dirpath: {folder}/checkpoints, monitor: {monitor}, mode: {mode}}}
logger: {{metrics_csv: {{folder: {folder}}}}}
monitor: {monitor}
monitor_mode: {mode}
seed: {seed}
dropout: {{rate: {dropout}}}
run_folder: {folder}
layer_factories: {{depth: 3, activation: {{_target_: my_network.techniques.activation.{activation}}}}}
"""
DEFAULT = {
    "standardize": "true",
    "activation": "relu",
    "monitor": "val/loss",
    "mode": "min",
    "bar": "true",
    "seed": 0,
    "dropout": 0.5,
}


@pytest.fixture
def save_config(empty_folder: Path) -> Callable[..., None]:
    """Make a run folder that holds nothing but a realistic configuration."""

    def save_config(number: int, **values: object) -> None:
        folder = Path(f"runs/train/{number:04}")
        folder.mkdir(parents=True)
        text = REALISTIC.format(folder=folder, **{**DEFAULT, **values})
        (folder / "config.yaml").write_text(text)

    return save_config


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def make(empty_folder: Path) -> Make:
    """Make a run folder and return its name."""
    made: list[str] = []

    def make(
        seed: int = 0,
        loss: float | None = 0.5,
        status: str | None = "finished",
        epochs: int = 3,
        summary: dict[str, Any] | None = None,
        folder: str | None = None,
        **settings: Any,
    ) -> str:
        folder = folder or f"runs/train/{len(made):04}"
        made.append(folder)
        groups = {name: value if isinstance(value, dict) else {"rate": value} for name, value in settings.items()}
        config = {"monitor": "val/loss", "monitor_mode": "min", **groups}
        config |= {"seed": seed, "test": False, "run_folder": folder}
        config["callbacks"] = {"checkpoint": {"dirpath": f"{folder}/checkpoints"}}
        Path(folder).mkdir(parents=True)
        Path(folder, "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        best = {"epoch": 1, "step": 9, "val/loss": loss, "val/accuracy": None if loss is None else 1 - loss}
        if status:
            found = {"status": status, "best": best, "test": None, "experiment": None, **(summary or {})}
            Path(folder, "summary.json").write_text(json.dumps(found))
        rows = [f"{epoch},{10 * epoch + 9},{1 + epoch},{2 - epoch / epochs}" for epoch in range(epochs)]
        Path(folder, "metrics.csv").write_text("\n".join(["epoch,step,gradient/norm,val/loss", *rows, ""]))
        return folder

    return make
