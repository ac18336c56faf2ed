"""Statistics of a run, and what its speed depends on that noise cannot blur: calls, passes, waits for the device."""

import importlib
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch.utils._python_dispatch import TorchDispatchMode
from trainwell.callbacks import training_stats
from trainwell.callbacks.training_stats import TrainingStats, batch_size_of, clipped_fraction, gradient_summary
from trainwell.doctor.monitor import Monitor
from trainwell.runs.load import build

Compose = Callable[..., Any]


class Waits(TorchDispatchMode):
    """Counts how often a number is fetched from a tensor; on a GPU each time would wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def fitted(compose: Compose, steps: int, *callbacks: Callback, **settings: Any) -> LightningModule:
    data, task = build(compose("data=digits", "network.width=8", "residual.depth=1", "data.batch_size=16"))
    options = {
        "accelerator": "cpu",
        "max_epochs": 1,
        "limit_train_batches": steps,
        "gradient_clip_val": 1.0,
        "callbacks": list(callbacks),
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
    }
    task.scheduler = lambda optimizer, total_steps: None
    Trainer(**{**options, **settings}).fit(task, datamodule=data)
    return task


def test_nothing_is_logged_by_lightning_in_a_step(compose: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    task = importlib.import_module("my_network.tasks.supervised").SupervisedTask
    monkeypatch.setattr(task, "log", lambda self, name, *arguments, **options: logged.append(name))
    monkeypatch.setattr(task, "log_dict", lambda self, metrics, *arguments, **options: logged.extend(metrics))
    fitted(compose, 30)
    names = ("accuracy", "auroc", "f1", "loss")
    assert sorted(logged) == [f"{split}/{name}" for split in ("train", "val") for name in names]


def test_a_batch_goes_through_the_network_once(compose: Compose) -> None:
    passes: list[int] = []

    class Counter(Callback):
        def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            network: Any = pl_module.network
            network.register_forward_hook(lambda *arguments: passes.append(1))

    fitted(compose, 30, Counter(), limit_val_batches=3)
    assert len(passes) == 30 + 3


def test_no_step_waits_for_the_device(compose: Compose, tmp_path: Path) -> None:
    """Waits belong to the epoch and to the steps that are measured: fifteen steps or forty, they are as many."""
    waits = []
    for steps in (15, 40):
        watched = [TrainingStats(), Monitor(every_n_steps=50, folder=str(tmp_path), score="accuracy")]
        with Waits() as counted:
            fitted(compose, steps, *watched, log_every_n_steps=50)
        waits.append(counted.count)
    assert waits[0] == waits[1]


def test_samples_per_second_are_those_of_the_clock_and_validation_is_not_counted(
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

    monkeypatch.setattr(training_stats, "perf_counter", lambda: now)
    stats = TrainingStats()
    fitted(compose, 30, Clock(), stats)
    speed = 16 / 0.5
    assert stats.samples / stats.seconds == speed


def test_every_steps_norm_is_kept_and_is_that_of_the_whole_gradient(compose: Compose) -> None:
    """Against numpy, over all parameters as one vector."""
    expected: list[float] = []

    class Witness(Callback):
        def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
            gradients = [p.grad.double().flatten().numpy() for p in pl_module.parameters() if p.grad is not None]
            expected.append(float(np.linalg.norm(np.concatenate(gradients))))

    stats = TrainingStats()
    fitted(compose, 12, stats, Witness())
    assert list(stats.norms) == pytest.approx(expected, rel=1e-5)  # float32 sums


def test_clipping_leaves_a_gradient_of_the_norm_that_was_asked_for(compose: Compose) -> None:
    norms: list[float] = []

    class After(Callback):
        def on_before_zero_grad(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
            gradients = [p.grad.double().flatten() for p in pl_module.parameters() if p.grad is not None]
            norms.extend([torch.cat(gradients).norm().item()] if gradients else [])

    fitted(compose, 6, After(), gradient_clip_val=0.01)
    assert norms
    assert all(norm == pytest.approx(0.01, rel=1e-5) for norm in norms)  # no gradient is as short as that by itself


def test_norms_are_summarized_over_more_steps_than_torch_can_take_quantiles_of() -> None:
    norms = array("f", np.arange(2**24 + 8, dtype=np.float32).tobytes())
    summary = gradient_summary(norms, 1.0)
    assert summary is not None
    assert summary["median"] == pytest.approx(2**23 + 3.5, rel=1e-6)
    assert summary["clipped_fraction"] == pytest.approx(1.0, abs=1e-6)
    assert gradient_summary(array("f"), 1.0) is None


def test_the_share_of_clipped_steps_counts_norms_above_the_limit() -> None:
    assert clipped_fraction(array("f", [0.5, 1.0, 1.5, 2.0]), 1.0) == 0.5
    assert clipped_fraction(array("f", [5.0]), None) == 0.0


@pytest.mark.parametrize(
    ("batch", "size"),
    [
        (torch.zeros(5, 2), 5),
        ((torch.zeros(3, 1), torch.zeros(3)), 3),
        ({"id": "a", "inputs": [torch.zeros(4)]}, 4),
        ("nothing", 0),
    ],
)
def test_the_samples_of_any_batch_are_counted(batch: Any, size: int) -> None:
    assert batch_size_of(batch) == size


@pytest.mark.parametrize("asked", [True, False])
def test_one_key_compiles_the_network(asked: bool, compose: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[torch.nn.Module] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiled.append(self))
    build(compose("data=digits", "network.width=8", f"compile={asked}"))
    assert len(compiled) == asked


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_no_step_synchronises_with_the_gpu(compose: Compose) -> None:
    class Strict(Callback):
        def on_train_batch_start(self, *arguments: Any) -> None:
            torch.cuda.set_sync_debug_mode("error")

        def on_train_batch_end(self, *arguments: Any) -> None:
            torch.cuda.set_sync_debug_mode("default")

    fitted(compose, 30, Strict(), accelerator="gpu", precision="bf16-mixed")
