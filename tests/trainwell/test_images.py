"""A folder of images through the real commands: trained, killed, resumed, evaluated, examined, exported, predicted."""

import json
import shutil
import signal
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from PIL import Image
from test_strangers import rows_of, run_of, same
from trainwell.inference import evaluate, export, predict

Command = Callable[..., subprocess.CompletedProcess[str]]
AUGMENT = ("data.augment.flip=0.5", "data.augment.shift=1", "data.augment.erase=0.5", "data.augment.mixup=0.2")
SETTINGS = (
    "data=images",
    "data.path=photos",
    "data.size=8",
    "data.batch_size=8",
    "network.width=16",
    "residual.depth=2",
    "scheduler=constant",
    "optimizer.lr=0.01",
    "trainer=cpu",
    "trainer.max_epochs=6",
    "~callbacks.early_stopping",
    *AUGMENT,
)
STEPS = 10  # of an epoch


@pytest.fixture
def photos(project: Path) -> Path:
    """Bright and dark images, 60 of each: 76 to train on."""
    generator = np.random.default_rng(0)
    for label, brightness in {"dark": 70, "light": 180}.items():
        (project / "photos" / label).mkdir(parents=True)
        for number in range(60):
            pixels = generator.normal(brightness, 40, (10, 8 + number % 5, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(project / "photos" / label / f"{number}.{'jpg' if number % 2 else 'png'}")
    return project / "photos"


@pytest.mark.slow
@pytest.mark.usefixtures("photos")
def test_every_command_about_a_run_reads_images(project: Path, command: Command) -> None:
    trained = command(*SETTINGS, "logger=none", "test=true")
    assert trained.returncode == 0, trained.stderr[-3000:]
    run = run_of(project)
    assert json.loads((run / "summary.json").read_text())["test"]["test/accuracy"] > 0.9
    for split, count in {"train": 76, "val": 20, "test": 24}.items():
        assert evaluate.main(["run=latest", f"split={split}"]) == 0
        found = json.loads((run / "evaluation" / split / "metrics.json").read_text())
        assert found["samples"] == count
    best = json.loads((run / "summary.json").read_text())["best"]["val/loss"]
    validated = json.loads((run / "evaluation/val/metrics.json").read_text())["metrics"]["loss"]["value"]
    assert validated == pytest.approx(best, rel=1e-5)

    light = np.full((3, 3, 8, 8), 180, np.uint8)
    np.save(project / "new.npy", light)
    assert predict.main(["run=latest", "input=new.npy", "output=new.csv"]) == 0
    (project / "photos").rename(project / "new")  # the images that it was trained on are not needed
    assert predict.main(["run=latest", "input=new", "output=folder.csv"]) == 0
    of_folder = pandas.read_csv(project / "folder.csv")
    assert len(of_folder) == 120
    assert np.mean([Path(row.file).parent.name == row.prediction for row in of_folder.itertuples()]) > 0.9
    (project / "new").rename(project / "photos")
    assert export.main(["run=latest", "format=torch"]) == 0
    logits = torch.export.load(run / "model.pt2").module()(torch.from_numpy(light).float())
    predicted = pandas.read_csv(project / "new.csv")
    assert predicted["confidence"].tolist() == pytest.approx(logits.softmax(1).amax(1).tolist(), abs=1e-5)

    examined = command("doctor", *SETTINGS, trainwell=True)
    assert examined.returncode == 1, examined.stderr[-3000:]
    (report,) = project.glob("runs/doctor/*/doctor.json")
    assert [finding["code"] for finding in json.loads(report.read_text())["findings"]] == ["validation_too_small"]


KILLER = textwrap.dedent(
    """
    import os
    import signal

    from lightning import Callback


    class Killer(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if str(trainer.global_step) == os.environ.get("KILLED_AT"):
                os.kill(os.getpid(), signal.SIGKILL)
    """
)


@pytest.mark.parametrize("memory", ["load", pytest.param("map", marks=pytest.mark.slow)])
@pytest.mark.usefixtures("photos")
def test_killed_within_an_epoch_and_resumed_it_comes_to_the_same_weights(
    memory: str, project: Path, command: Command
) -> None:
    (project / "killer.py").write_text(KILLER)
    recorded = ("logger=none", "callbacks.last_checkpoint.steps=4", "+callbacks.killer._target_=killer.Killer")
    settings = (*SETTINGS, *recorded, f"data.memory={memory}")
    assert command(*settings).returncode == 0
    expected = run_of(project)
    assert command(*settings, env={"KILLED_AT": str(3 * STEPS + 6)}).returncode == -signal.SIGKILL
    killed = run_of(project)
    assert killed != expected
    stopped_at = torch.load(killed / "checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert 3 * STEPS < stopped_at < 4 * STEPS
    photo = project / "photos/dark/0.png"
    pixels = photo.read_bytes()
    photo.write_bytes((project / "photos/light/0.png").read_bytes())
    refused = command(f"resume={killed}")
    assert refused.returncode == 2, refused.stderr[-3000:]
    assert "other images than when the run began" in refused.stderr
    photo.write_bytes(pixels)
    resumed = command(f"resume={killed}")
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert f"step {stopped_at}" in resumed.stdout + resumed.stderr
    assert rows_of(killed) == rows_of(expected)
    assert same(*(torch.load(run / "checkpoints/last.ckpt", weights_only=True) for run in (expected, killed)))


def test_bad_images_are_refused_in_one_message_before_training(photos: Path, project: Path, command: Command) -> None:
    (photos / "dark/0.png").write_bytes((photos / "dark/0.png").read_bytes()[:60])
    (photos / "light/1.jpg").write_text("no image")
    refused = command(*SETTINGS, "logger=none")
    assert refused.returncode == 2
    lines = refused.stderr.strip().splitlines()
    assert "2 of 120 images cannot be read" in lines[0]
    assert "photos/dark/0.png: " in lines[1]
    assert "photos/light/1.jpg: " in lines[2]
    assert len(lines) == 3
    shutil.rmtree(photos / "dark")
    refused = command(*SETTINGS, "logger=none")
    assert (refused.returncode, len(refused.stderr.strip().splitlines())) == (2, 1)
    refused = command(*SETTINGS, "data.augment.erase=0", "data.augment.erase_area=0.1", "data.channels=2")
    assert refused.returncode == 2
    assert "data.channels must be 1 or 3, got 2" in refused.stderr
    assert not (project / "runs").exists()
