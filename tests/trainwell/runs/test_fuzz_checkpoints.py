"""Damaged checkpoints and hostile run folders: nothing damaged is used silently, nothing foreign is called."""

import random
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from trainwell.callbacks.resumable_checkpoint import LAST
from trainwell.runs.checkpoint_io import LABEL, LENGTH, AtomicCheckpointIO, read_checkpoint
from trainwell.runs.load import load_run

OWN_PACKAGE = """
import torch
from lightning import LightningDataModule, LightningModule

class Data(LightningDataModule):
    def __init__(self, *, width):
        super().__init__()
        self.width = width

class Task(LightningModule):
    def __init__(self, width, network=None):
        super().__init__()
        self.linear = torch.nn.Linear(width, 1)

    @classmethod
    def from_data(cls, data, **parts):
        return cls(data.width, **parts)
"""


class Regression(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(20, 1)

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        loss = self.linear(batch).square().mean()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters())


class Resume(Checkpoint):
    """Adds to a checkpoint what this project needs to resume from it."""

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        states = {"torch": torch.get_rng_state(), "python": random.getstate()}
        checkpoint["resume"] = {"config": {"seed": 0}, "rows": 1, "columns": 3, "seconds": 0.1, "ranks": [states]}


@pytest.fixture(scope="module")
def last(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A last.ckpt with weights, optimizer, loops and callbacks, as a trainer saves it."""
    folder = tmp_path_factory.mktemp("run")
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[ModelCheckpoint(dirpath=folder, monitor="loss"), Resume()],
        plugins=[AtomicCheckpointIO()],
    )
    with warnings.catch_warnings(action="ignore"):
        trainer.fit(Regression(), torch.utils.data.DataLoader(torch.ones(8, 20), batch_size=4))
    trainer.save_checkpoint(folder / LAST)
    return folder / LAST


def is_used(content: bytes | bytearray, path: Path) -> bool:
    path.write_bytes(content)
    try:
        read_checkpoint(path)
    except ValueError:
        return False
    return True


def test_no_checkpoint_with_a_flipped_bit_is_used(last: Path, tmp_path: Path) -> None:
    """Except in the label of the checksum: what is before it is then the archive, whole."""
    content, draw = last.read_bytes(), random.Random(0)
    assert is_used(content, tmp_path / LAST)
    last_bytes = range(8 * (len(content) - 40), 8 * len(content))  # the end of the archive and the checksum
    label = range(8 * (len(content) - LENGTH), 8 * (len(content) - LENGTH + len(LABEL)))
    bits = {*(draw.randrange(8 * len(content)) for _ in range(300)), *last_bytes}
    for bit in bits.difference(label):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not is_used(flipped, tmp_path / LAST), f"bit {bit}"


def test_no_truncated_checkpoint_is_used(last: Path, tmp_path: Path) -> None:
    content, draw = last.read_bytes(), random.Random(0)
    archive = len(content) - LENGTH
    for length in [*(draw.randrange(archive) for _ in range(100)), *range(archive - 40, archive)]:
        assert not is_used(content[:length], tmp_path / LAST), f"{length} bytes"


def test_a_checkpoint_that_has_lost_some_of_its_checksum_holds_the_same_weights(last: Path, tmp_path: Path) -> None:
    content, weights = last.read_bytes(), read_checkpoint(last)["state_dict"]
    for lost in range(1, LENGTH + 1):
        (tmp_path / LAST).write_bytes(content[:-lost])
        found = read_checkpoint(tmp_path / LAST)["state_dict"]
        assert all(torch.equal(found[name], weights[name]) for name in weights), f"without {lost} bytes"


def test_no_checkpoint_with_a_page_of_zeros_is_used(last: Path, tmp_path: Path) -> None:
    """As a crash of the machine can leave it."""
    content, page = last.read_bytes(), 512
    for start in range(0, len(content), page):
        if any(content[start : start + page]):
            zeros = bytes(len(content[start : start + page]))
            assert not is_used(content[:start] + zeros + content[start + page :], tmp_path / LAST), f"from {start}"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with one run, whose best weights are there."""
    (tmp_path / "pyproject.toml").write_text('[tool.trainwell]\ntargets = ["fuzzed_package"]\n')
    (tmp_path / "fuzzed_package.py").write_text(OWN_PACKAGE)
    run = Path("runs/train/2026-01-31_12-00-00_1234e567")
    (tmp_path / run).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    weights = {"linear.weight": torch.zeros(1, 2), "linear.bias": torch.zeros(1)}
    AtomicCheckpointIO().save_checkpoint({"state_dict": weights}, run / "checkpoints" / "best.ckpt")
    (run / "evil.py").write_text("from pathlib import Path\nPath('called').touch()\ndef build(*shape): ...\n")
    torch.save(Path("called"), run / "evil.pt")
    yield run
    sys.modules.pop("fuzzed_package", None)


CONFIG = """
seed: 0
data: {{_target_: fuzzed_package.Data, width: 2}}
task: {{_target_: fuzzed_package.Task.from_data, _partial_: true, network: {network}}}
"""
HOSTILE = [
    "{_target_: os.system, command: touch called}",
    "{_target_: subprocess.run, args: [touch, called]}",
    "{_target_: subprocess.Popen, _args_: [[touch, called]]}",
    "{_target_: pathlib.Path.touch, _args_: [{_target_: pathlib.Path, _args_: [called]}]}",
    "{_target_: builtins.exec, _args_: [\"open('called', 'w')\"]}",
    "{_target_: builtins.open, file: called, mode: w}",
    "{_target_: io.open, file: called, mode: w}",
    "{_target_: os.mkdir, path: called}",
    "{_target_: shutil.copy, src: fuzzed_package.py, dst: called}",
    "{_target_: torch.save, obj: 1, f: called}",
    "{_target_: torch.load, f: runs/evil.pt, weights_only: false}",
    "{_target_: torch.hub.load, repo_or_dir: runs, model: evil, source: local}",
    "{_target_: joblib.dump, value: 1, filename: called}",
    "{_target_: numpy.savetxt, fname: called, X: [1]}",
    "{_target_: numpy.load, file: runs/evil.npy, allow_pickle: true}",
    "{_target_: hydra.utils.call, config: {_target_: os.mkdir, path: called}}",
    "{_target_: functools.partial, _args_: [os.mkdir]}",
    "{_target_: fuzzed_package.torch.save, obj: 1, f: called}",
    "{_target_: fuzzed_package.LightningModule.load_from_checkpoint, checkpoint_path: x, weights_only: false}",
    "{_target_: trainwell.runs.folder.write_whole, path: called, text: x}",
    "{_target_: lightning.pytorch.cli.LightningCLI}",
    "{_target_: lightning.fabric.utilities.cloud_io._load, path_or_url: x}",
    "{factory: evil.build}",
    "{factory: runs.train.evil.build}",
    "{factory: 'os:mkdir'}",
    "[[{deep: [{_target_: os.mkdir, path: called}]}]]",
    "{_target_: [os, mkdir]}",
    "${oc.env:HOME}",
    "'${oc.create:{_target_: os.mkdir, path: called}}'",
    "!!python/object/apply:os.mkdir [called]",
    "!!python/name:os.mkdir",
]


def test_an_honest_run_is_loaded(run: Path) -> None:
    (run / "config.yaml").write_text(CONFIG.format(network="{_target_: torch.nn.ReLU}"))
    loaded = load_run("latest")
    assert loaded.task.linear.weight.tolist() == [[0.0, 0.0]]
    assert not loaded.task.training


@pytest.mark.parametrize("network", HOSTILE)
def test_a_hostile_run_folder_calls_nothing(network: str, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(run)
    (run / "config.yaml").write_text(CONFIG.format(network=network))
    with pytest.raises(ValueError, match=r"config\.yaml"):
        load_run(run)
    assert not Path("called").exists()
    assert "evil" not in sys.modules
