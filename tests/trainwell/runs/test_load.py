"""Build what a configuration describes, and load it again with its best weights."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from trainwell.runs.checkpoint_io import AtomicCheckpointIO
from trainwell.runs.load import build, load_run

STRANGER = """
import torch
from lightning import LightningDataModule, LightningModule

class Data(LightningDataModule):
    def __init__(self, path=None):
        super().__init__()
        self.calls = []
        if path is not None:
            open(path)

    def prepare_data(self):
        self.calls.append("prepare")

    def setup(self, stage):
        self.calls.append(stage)
        torch.rand(3)

class Task(LightningModule):
    def __init__(self, *, width):
        super().__init__()
        if width < 1:
            raise ValueError(f"task.width must be 1 or more, got {width}")
        self.linear = torch.nn.Linear(width, 1)

def from_data(data, *, width):
    assert data.calls == ["prepare", "fit"]
    return Task(width=width)
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "stranger.py").write_text(STRANGER)
    (tmp_path / "pyproject.toml").write_text('[tool.trainwell]\ntargets = ["stranger"]\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("stranger", None)


def config(task: str = "Task", *, data: dict[str, Any] | None = None, **changed: Any) -> DictConfig:
    described = {"_target_": f"stranger.{task}", "width": 3} | ({"_partial_": True} if task == "from_data" else {})
    return OmegaConf.create(
        {"seed": 7, "data": {"_target_": "stranger.Data"} | (data or {}), "task": described | changed}
    )


@pytest.mark.parametrize("task", ["Task", "from_data"])
def test_initial_weights_depend_on_the_seed_alone(task: str) -> None:
    data, first = build(config(task))
    torch.rand(5)
    _, second = build(config(task))
    assert torch.equal(first.linear.weight, second.linear.weight)
    assert data.calls == (["prepare", "fit"] if task == "from_data" else [])


@pytest.mark.parametrize(
    ("mistaken", "said"),
    [
        (config(width=0), "^task.width must be 1 or more, got 0$"),
        (config("from_data", width=0), "^task.width must be 1 or more, got 0$"),
        (config(depth=2), "unexpected keyword argument 'depth'"),
        (config("from_data", depth=2), "^task: from_data: got an unexpected keyword argument 'depth'"),
        (config("Tusk"), r"^task\._target_: stranger has no Tusk; did you mean Task\?$"),
        (config(data={"path": "gone.npz"}), r"^gone\.npz: No such file or directory$"),
    ],
)
def test_a_part_that_cannot_be_built_is_answered_with_its_own_sentence(mistaken: DictConfig, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refusal:
        build(mistaken)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("task", ["Task", "from_data"])
def test_a_run_is_loaded_with_its_best_weights_and_its_data(task: str) -> None:
    run = Path("runs/train/2026-01-31_12-00-00_1234e567")
    run.mkdir(parents=True)
    OmegaConf.save(config(task), run / "config.yaml")
    with pytest.raises(ValueError, match="has no weights yet"):
        load_run("latest")
    weights = {"linear.weight": torch.full((1, 3), 2.0), "linear.bias": torch.ones(1)}
    AtomicCheckpointIO().save_checkpoint({"state_dict": weights}, run / "checkpoints" / "best.ckpt")
    loaded = load_run("1234e567")
    assert loaded.folder == run
    assert loaded.task.linear.weight.tolist() == [[2.0, 2.0, 2.0]]
    assert not loaded.task.training
    assert loaded.data.calls == ["prepare", "fit", "test"]
    (run / "checkpoints" / "best.ckpt").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"best\.ckpt cannot be read") as refusal:
        load_run(run)
    assert "\n" not in str(refusal.value)
