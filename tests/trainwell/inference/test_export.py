"""Exported networks: the network's outputs, from raw samples, in batches of any size, or no file."""

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from trainwell.errors import RunFailed
from trainwell.inference import export, formats
from trainwell.runs.load import build, load_run

RAW = load_digits().images.astype(np.float32)
FORMATS = [
    "torch",
    pytest.param(
        "onnx", marks=pytest.mark.skipif(not importlib.util.find_spec("onnxruntime"), reason="an extra: .[export]")
    ),
]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "network", ["mlp", *(pytest.param(name, marks=pytest.mark.slow) for name in ("cnn", "transformer"))]
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.export's own code
def test_an_exported_network_gives_its_outputs_of_raw_samples(
    network: str, format: str, compose: Callable[..., Any], tmp_path: Path
) -> None:
    data, task = build(compose("data=digits", f"network={network}", "network.width=16", "normalisation=batch"))
    task.eval()
    path = tmp_path / f"model{export.SUFFIXES[format]}"
    whole = formats.StandardizedNetwork(task, data.standardizer).eval()
    formats.write(format, whole, torch.from_numpy(RAW[:2]), path)
    exported = formats.READERS[format](path)
    for count in (1, 5, 300):
        with torch.no_grad():
            expected = task(data.prepared(RAW[:count]))
            torch.testing.assert_close(exported(torch.from_numpy(RAW[:count])), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_run_is_exported_into_its_folder(trained: Path) -> None:
    path = export.export_run(trained, "torch")
    assert path == trained / "model.pt2"
    run = load_run(trained)
    raw = formats.raw_samples(run.data)
    # Standardized values are float32, so that pixels come back with an error of a few units in the last place.
    assert {tuple(x.round().flatten().tolist()) for x in raw} <= {tuple(x.flatten().tolist()) for x in RAW}
    with torch.no_grad():
        torch.testing.assert_close(
            torch.export.load(path).module()(raw), run.task(run.data.val.x), rtol=1e-4, atol=1e-4
        )


def test_a_file_that_does_not_give_the_same_outputs_is_not_kept(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def write_wrong(network: nn.Module, example: Tensor, path: Path) -> None:
        path.write_bytes(b"other weights")

    monkeypatch.setitem(formats.WRITERS, "torch", write_wrong)
    monkeypatch.setitem(formats.READERS, "torch", lambda path: lambda x: torch.zeros(len(x), 10))
    before = {path.name for path in trained.iterdir()}
    assert export.main([f"run={trained}", "format=torch"]) == 1
    assert "differs by" in capsys.readouterr().err
    assert {path.name for path in trained.iterdir()} == before


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_network_that_cannot_be_exported_is_reported_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"^the network cannot be exported: .*$"):
        formats.write("torch", Branching(), torch.ones(2, 3), tmp_path / "model.pt2")


def test_without_its_packages_onnx_is_refused(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(trained / "checkpoints")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install -c constraints.txt"):
        export.export_run(trained, "onnx")
