"""Three small public datasets: a small network against the best of 27 of scikit-learn's, on the same splits.

``pytest -m weekly -s tests/trainwell/test_scikit_learn.py`` prints the scores.
"""

import itertools
import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trainwell
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SEEDS = range(5)  # of the split, of the weights and of the order of the samples
SETTINGS = [
    {"hidden_layer_sizes": layers, "alpha": alpha, "learning_rate_init": rate}
    for layers, alpha, rate in itertools.product([(50,), (100,), (100, 100)], [1e-4, 1e-2, 1.0], [1e-3, 3e-3, 1e-2])
]
SMALL = ["residual.depth=1", "network.width=64", "dropout=none", "weight_decay=sklearn", "weight_decay.alpha=1"]
TASKS = {
    "diabetes": ["task=regression"],
    "breast_cancer": ["task=classification"],
    "wine": ["task=classification"],
}


def split(table: Any, seed: int, stratify: bool) -> np.ndarray:
    """For each row train, val or test: 60, 20 and 20 percent."""
    part = np.full(len(table), "train", dtype=object)
    classes = table["target"] if stratify else None
    rest, test = train_test_split(np.arange(len(table)), test_size=0.2, random_state=seed, stratify=classes)
    _, val = train_test_split(
        rest, test_size=0.25, random_state=seed, stratify=classes.iloc[rest] if stratify else None
    )
    part[val], part[test] = "val", "test"
    return part


def of_scikit_learn(table: Any, parts: list[np.ndarray], classes: bool) -> list[float]:
    """Accuracy or R² on each test split, of the setting that is best on the validation splits."""
    x, y = table.drop(columns="target").to_numpy(), table["target"].to_numpy()
    scores = np.empty((len(SETTINGS), len(SEEDS), 2))
    for (row, setting), (seed, part) in itertools.product(enumerate(SETTINGS), enumerate(parts)):
        kind = MLPClassifier if classes else MLPRegressor
        network = make_pipeline(StandardScaler(), kind(random_state=seed, **setting))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # its score after 200 epochs counts
            network.fit(x[part == "train"], y[part == "train"])
        scores[row, seed] = [network.score(x[part == name], y[part == name]) for name in ("val", "test")]
    return scores[scores[:, :, 0].mean(axis=1).argmax(), :, 1].tolist()


@pytest.mark.weekly
@pytest.mark.parametrize("name", TASKS)
def test_scores_are_those_of_scikit_learn_or_better(name: str, project: Path) -> None:
    table = getattr(datasets, f"load_{name}")(as_frame=True).frame
    classes = "task=classification" in TASKS[name]
    parts = [split(table, seed, classes) for seed in SEEDS]
    ours, theirs = [], of_scikit_learn(table, parts, classes)
    for seed, part in zip(SEEDS, parts, strict=True):
        table.assign(part=part).to_csv("own.csv", index=False)
        keys = ["data=table", "data.path=own.csv", "data.target=target", "data.split.column=part", *SMALL, *TASKS[name]]
        trainwell.train([*keys, f"seed={seed}", "test=true", "logger=none", "trainer.accelerator=cpu"])
        summary = json.loads(max(Path("runs/train").glob("*/summary.json"), key=os.path.getmtime).read_text())
        assert summary["seed"] == seed
        ours.append(summary["test"]["test/accuracy" if classes else "test/r2"])
    differences = np.array(ours) - theirs
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    means = f"{np.mean(ours):.3f} against {np.mean(theirs):.3f}"
    print(f"{name}: {means}, difference {differences.mean():+.3f}, standard error {error:.3f}")
    assert differences.mean() > -0.02
    assert differences.mean() + 2.776 * error >= 0  # Student's t, 4 degrees of freedom: not significantly worse
