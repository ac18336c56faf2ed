"""What speed depends on and noise cannot blur: calls, forward passes, waits for the device, imports, copies."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Callback
from lightning.pytorch.profilers import Profiler
from omegaconf import DictConfig
from torch.utils._python_dispatch import TorchDispatchMode

from your_package import measurement
from your_package.build import build
from your_package.classifier import Classifier
from your_package.diagnostics import Diagnostics
from your_package.loader import Batches
from your_package.measurement import Measurement

from tests.conftest import PROJECT
from tests.fitting import quiet_trainer
from train import train

Compose = Callable[..., DictConfig]
Command = Callable[..., subprocess.CompletedProcess[str]]


class Waits(TorchDispatchMode):
    """Counts how often a number is fetched from a tensor; on a GPU each time would wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def fitted(compose: Compose, steps: int, *callbacks: Callback, **settings: Any) -> Classifier:
    data, classifier = build(compose("data=digits", "network.width=8", "residual.depth=1"))
    trainer = quiet_trainer(
        precision="32-true", limit_train_batches=steps, gradient_clip_val=1.0, callbacks=list(callbacks), **settings
    )
    trainer.fit(classifier, Batches(data.train, 16, seed=0), Batches(data.val, 64))
    return classifier


def test_nothing_is_logged_by_lightning_in_a_step(compose: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    monkeypatch.setattr(Classifier, "log", lambda self, name, *arguments, **options: logged.append(name))
    monkeypatch.setattr(Classifier, "log_dict", lambda self, metrics, *arguments, **options: logged.extend(metrics))
    fitted(compose, 30)
    assert sorted(logged) == ["train/accuracy", "train/loss", "val/accuracy", "val/loss"]


def test_a_batch_goes_through_the_network_once(compose: Compose) -> None:
    passes = 0

    class Counter(Callback):
        def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
            pl_module.network.register_forward_hook(count)

    def count(*arguments: Any) -> None:
        nonlocal passes
        passes += 1

    fitted(compose, 30, Counter(), limit_val_batches=3)
    assert passes == 30 + 3


def test_no_hook_asks_for_a_profiler_or_looks_for_parameters(compose: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning says before each of some fifty hooks a step which it is."""
    asked: list[str] = []
    set_by_torch: list[str] = []
    as_ever = torch.nn.Module.__setattr__

    def noted(module: torch.nn.Module, name: str, value: Any) -> None:
        set_by_torch.append(name)
        as_ever(module, name, value)

    monkeypatch.setattr(Profiler, "profile", lambda self, action: asked.append(action) or nullcontext())
    monkeypatch.setattr(torch.nn.Module, "__setattr__", noted)
    train(compose("data=digits", "trainer=smoke", "network.width=8"))
    assert "training" in set_by_torch
    assert "_current_fx_name" not in set_by_torch
    assert asked == []


@pytest.mark.slow
def test_a_profiler_that_is_asked_for_tells_its_report(command: Command) -> None:
    words = ["data=digits", "trainer=smoke", "network.width=8", "residual=shallow", "logger=none"]
    ended = command("train.py", *words, "trainer.profiler=simple")
    assert "Profiler Report" in ended.stdout, ended.stdout + ended.stderr
    assert "run_training_epoch" in ended.stdout


def test_no_step_waits_for_the_device(compose: Compose, empty_folder: Path) -> None:
    """Waits belong to the epoch and to the steps that are measured: fifteen steps or forty, they are as many."""
    waits = []
    for steps in (15, 40):
        watched = [Measurement(), Diagnostics(every_n_steps=50, folder=str(empty_folder))]
        with Waits() as counted:
            fitted(compose, steps, *watched, log_every_n_steps=50)
        waits.append(counted.count)
    assert waits[0] == waits[1]


def test_samples_a_second_are_those_of_the_clock_and_validation_is_not_counted(
    compose: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    class Clock(Callback):
        def on_train_batch_start(self, *arguments: Any) -> None:
            nonlocal now
            now += 0.5

        def on_validation_batch_start(self, *arguments: Any) -> None:
            nonlocal now
            now += 100.0

    monkeypatch.setattr(measurement, "perf_counter", lambda: now)
    measured = Measurement()
    fitted(compose, 30, Clock(), measured)
    assert measured.samples_per_second() == 16 / 0.5


def test_the_rows_are_held_once(compose: Compose) -> None:
    data, _ = build(compose("data=digits", "network.width=8"))
    loaders = [Batches(data.train, 16, seed=0), Batches(data.train, 64)]
    assert len({loader.rows.x.data_ptr() for loader in loaders} | {data.train.x.data_ptr()}) == 1


@pytest.mark.slow
def test_a_run_imports_neither_scipy_nor_matplotlib_before_its_first_step(empty_folder: Path) -> None:
    """With data that need neither."""
    np.savez("rows.npz", x=np.random.default_rng(0).normal(size=(100, 4)), y=np.arange(100) % 2)
    (empty_folder / "first_step.py").write_text(
        "import os, sys\n"
        "from lightning import Callback\n"
        "class Report(Callback):\n"
        "    def on_train_batch_end(self, *arguments):\n"
        "        seen = {'scipy', 'matplotlib', 'sklearn', 'pandas', 'mnist1d'} & set(sys.modules)\n"
        "        print('imported:', sorted(seen), flush=True)\n"
        "        os._exit(0)\n"
    )
    words = ["data=arrays", "data.path=rows.npz", "logger=none", "+callbacks.report._target_=first_step.Report"]
    program = f"import sys; sys.path.insert(0, '.'); sys.argv[1:] = {words}\n"
    program += f"import runpy; runpy.run_path({str(PROJECT / 'train.py')!r}, run_name='__main__')"
    path = {"PYTHONPATH": str(PROJECT)}
    ended = subprocess.run(
        [sys.executable, "-c", program], text=True, capture_output=True, timeout=120, env={**os.environ, **path}
    )
    assert "imported: []" in ended.stdout, ended.stdout + ended.stderr


def test_rows_that_fit_live_on_the_device_and_batches_are_cut_there(compose: Compose) -> None:
    data, _ = build(compose("data=digits", "network.width=8"))
    assert data.on(torch.device("cpu")) is data
    moved = data.on(torch.device("meta"))  # a device that is always there, and holds no numbers
    batches = list(Batches(moved.train, 512, seed=0))
    assert [tuple(batch.x.shape) for batch in batches] == [(512, 8, 8), (512, 8, 8), (127, 8, 8)]
    assert {tensor.device.type for batch in batches for tensor in batch} == {"meta"}


@pytest.mark.slow
@pytest.mark.parametrize("asked", [True, False])
def test_one_word_compiles_the_network(asked: bool, compose: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[torch.nn.Module] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiled.append(self))
    train(compose("data=digits", "trainer=smoke", "network.width=8", f"compile={asked}"))
    assert len(compiled) == asked


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_no_step_synchronises_with_the_gpu(compose: Compose) -> None:
    data, classifier = build(compose("network.width=64"))
    rows = data.on(torch.device("cuda")).train

    class Strict(Callback):
        def on_train_batch_start(self, *arguments: Any) -> None:
            torch.cuda.set_sync_debug_mode("error")

        def on_train_batch_end(self, *arguments: Any) -> None:
            torch.cuda.set_sync_debug_mode("default")

    settings = {"accelerator": "gpu", "precision": "bf16-mixed", "gradient_clip_val": 1.0}
    quiet_trainer(**settings, callbacks=[Strict()]).fit(classifier, Batches(rows, 64, seed=0), Batches(rows, 512))
