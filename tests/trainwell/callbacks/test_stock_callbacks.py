"""Lightning's own callbacks work in a run, each added by its address."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

QUICK = (
    "trainer=smoke",
    "network.width=8",
    "residual.depth=2",
    "logger=none",
    "~callbacks.progress_bar",
    "scheduler=constant",  # with one that steps every batch, averaging warns
)
PREFIX = "lightning.pytorch.callbacks"
STOCK: dict[str, dict[str, dict[str, Any]]] = {
    "those that watch": {
        "LearningRateMonitor": {},
        "ModelSummary": {},
        "Timer": {},
        "RichProgressBar": {},
        "DeviceStatsMonitor": {"cpu_stats": False},
        "ModelCheckpoint": {"dirpath": "second", "save_last": True, "monitor": "val/loss", "save_top_k": 2},
        "GradientAccumulationScheduler": {"scheduling": {0: 2}},
    },
    "StochasticWeightAveraging": {"StochasticWeightAveraging": {"swa_lrs": 0.001}},
    "EMAWeightAveraging": {"EMAWeightAveraging": {}},
    "BatchSizeFinder": {"BatchSizeFinder": {"max_trials": 2, "steps_per_trial": 1}},
    "LearningRateFinder": {"LearningRateFinder": {"num_training_steps": 5}},
}


@pytest.fixture
def train(project: Path, compose: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Train in this process and return the summary."""
    import trainwell

    def run(callbacks: dict[str, dict[str, Any]]) -> dict[str, Any]:
        path = project / "configs" / "callbacks" / "stock.yaml"
        stock = {name.lower(): {"_target_": f"{PREFIX}.{name}", **given} for name, given in callbacks.items()}
        path.write_text(OmegaConf.to_yaml({"defaults": ["default"], **stock}))
        trainwell.train([*QUICK, "callbacks=stock"])
        (summary,) = (project / "runs/train").glob("*/summary.json")
        return json.loads(summary.read_text())

    return run


@pytest.mark.parametrize("name", STOCK)
def test_a_run_with_it_ends_with_a_summary(name: str, train: Callable[..., dict[str, Any]]) -> None:
    summary = train(STOCK[name])
    assert summary["status"] in ("finished", "stopped_early")
    assert summary["best"]["val/loss"] > 0
