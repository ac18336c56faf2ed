"""Predictions for new samples: the network's own, alike from every kind of file, in a file that is whole or absent."""

from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from sklearn.datasets import load_digits
from trainwell.inference.predict import predict_file
from trainwell.runs.load import load_run

DIGITS = load_digits().images.astype(np.float32)[:1500]  # more than a chunk


def test_new_samples_are_predicted_as_the_network_predicts_them(trained: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "new.npy", DIGITS)
    pandas.DataFrame(DIGITS.reshape(1500, -1)).add_prefix("pixel_").to_csv(tmp_path / "new.csv", index=False)
    for kind in ("npy", "csv"):
        predict_file(trained, str(tmp_path / f"new.{kind}"), str(tmp_path / f"{kind}.out"))
    assert (tmp_path / "npy.out").read_text() == (tmp_path / "csv.out").read_text()
    found = pandas.read_csv(tmp_path / "npy.out")
    run = load_run(trained)
    with torch.no_grad():
        expected = run.task(run.data.prepared(DIGITS)).softmax(dim=-1).numpy()
    probabilities = [f"probability_{number}" for number in range(10)]
    assert found.columns.tolist() == ["sample", "prediction", "confidence", *probabilities]
    assert (found["sample"] == range(1500)).all()
    assert (found["prediction"] == expected.argmax(axis=1)).all()
    assert found["confidence"].to_numpy() == pytest.approx(expected.max(axis=1), abs=1e-6)
    assert found[probabilities].to_numpy() == pytest.approx(expected, abs=1e-6)


def test_samples_are_not_overwritten_by_their_predictions(trained: Path) -> None:
    with pytest.raises(ValueError, match="output must be another file than input"):
        predict_file(trained, "samples.csv", "samples.csv")


def test_a_file_with_a_fault_leaves_the_old_predictions(trained: Path, tmp_path: Path) -> None:
    samples = DIGITS.reshape(1500, -1).copy()
    samples[1490, 5] = np.nan  # in the second chunk
    np.save(tmp_path / "new.npy", samples)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/found.csv").write_text("old")
    with pytest.raises(ValueError, match=r"new.npy: row 1490, number 5: the value is missing or not finite$"):
        predict_file(trained, str(tmp_path / "new.npy"), str(tmp_path / "out/found.csv"))
    assert [path.read_text() for path in (tmp_path / "out").iterdir()] == ["old"]
