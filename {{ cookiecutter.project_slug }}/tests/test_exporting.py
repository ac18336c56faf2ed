"""Exported networks: the same logits as the network's, from raw rows, in batches of any size, or no file."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from sklearn.datasets import load_digits
from torch import nn

from your_package import exporting
from your_package.loading import load_run

from tests.test_train import SHORT
from train import train

Compose = Callable[..., DictConfig]

RAW = load_digits().images.astype(np.float32)
FORMATS = [
    "torch",
    pytest.param(
        "onnx", marks=pytest.mark.skipif(not importlib.util.find_spec("onnxruntime"), reason="an extra: .[export]")
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("network", ["mlp", "cnn", "transformer"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.export's own code
def test_an_exported_network_gives_its_logits_on_raw_rows(
    network: str, format: str, compose: Compose, empty_folder: Path
) -> None:
    train(compose(*SHORT, f"network={network}", "normalisation=batch", "trainer=smoke", "~callbacks.early_stopping"))
    run = load_run("latest")
    path = exporting.export_run(run.folder, format, None)
    assert path.parent == run.folder
    exported = exporting.READERS[format](path)
    for count in (1, 5, 300):
        with torch.no_grad():
            expected = run.network(run.data.prepared(RAW[:count]))
            torch.testing.assert_close(exported(torch.from_numpy(RAW[:count])), expected, rtol=1e-4, atol=1e-4)


def test_a_file_that_does_not_give_the_same_logits_is_not_kept(
    trained: Path, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = load_run("latest")

    def wrong(whole: nn.Module, example: torch.Tensor, path: Path) -> None:
        torch.export.save(torch.export.export(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), (example,)), path)

    monkeypatch.setitem(exporting.WRITERS, "torch", wrong)
    monkeypatch.setitem(exporting.READERS, "torch", lambda path: lambda x: torch.zeros(len(x), 10))
    with pytest.raises(RuntimeError, match="differs by .* on 1 rows; nothing is written"):
        exporting.export_run(run.folder, "torch", Path("model.pt2"))
    assert not list(empty_folder.glob("*.pt2"))


def test_without_its_packages_onnx_is_refused(monkeypatch: pytest.MonkeyPatch, empty_folder: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install -c constraints.txt"):
        exporting.export_run(empty_folder, "onnx", None)
