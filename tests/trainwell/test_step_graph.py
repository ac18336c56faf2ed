"""Replayed steps against steps run one by one, on the CPU: a stand-in for the graph repeats the captured function.

What only a GPU can show, the capture itself and its speed, is in ``benchmarks/speed/gpu.py``.
"""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import trainwell
from lightning import Callback, Trainer
from trainwell import step_graph
from trainwell.runs.session import further_callbacks

SMALL = ["data=digits", "network.width=16", "residual.depth=2", "dropout.rate=0.2", "logger=csv"]
TRAINING = [*SMALL, "trainer.max_epochs=10", "~callbacks.early_stopping"]


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Let steps be captured on the CPU; has an entry for each replay."""
    done: list[bool] = []

    def captured(step: Callable[[], None]) -> Callable[[], None]:
        return lambda: (done.append(True), step())[1]

    monkeypatch.setattr(step_graph, "captured", captured)
    monkeypatch.setattr(step_graph, "DEVICE", "cpu")
    return done


def columns(run: Path, names: tuple[str, ...]) -> dict[str, list[float]]:
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows if row[name]] for name in names}


def trained(*overrides: str) -> tuple[Path, dict[str, Any]]:
    trainwell.train([*TRAINING, f"trainer.accelerator={step_graph.DEVICE}", *overrides])
    run = max(Path("runs").glob("train/*"), key=lambda path: path.stat().st_mtime_ns)
    return run, torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


SETTINGS = pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("optimizer=sgd", "scheduler=plateau", "trainer.gradient_clip_val=0.5"),
        ("weight_decay=l2", "normalisation=batch", "trainer.precision=bf16-mixed"),
    ],
)


@SETTINGS
def test_replayed_steps_train_like_steps_one_by_one(
    overrides: tuple[str, ...], project: Path, replays: list[bool]
) -> None:
    names = ("train/loss", "val/loss", "val/accuracy", "gradient/norm", "gradient/clipped_fraction", "learning_rate")
    eager, expected = trained(*overrides)
    assert replays == []
    graphed, state = trained("compile=graph", *overrides)
    assert len(replays) > 100
    after, before = columns(graphed, names), columns(eager, names)
    for name in names:  # the rate is a float32 in a graph, which rounds otherwise
        assert after[name] == pytest.approx(before[name], rel=0.02, abs=0.06 * name.endswith("fraction")), name
    if "trainer.precision=bf16-mixed" not in overrides:  # whose eight bits enlarge what rounding began
        for key, value in expected["state_dict"].items():
            torch.testing.assert_close(state["state_dict"][key], value, rtol=1e-2, atol=1e-3)
    assert isinstance(state["optimizer_states"][0]["param_groups"][0]["lr"], float)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@SETTINGS
def test_captured_steps_train_like_steps_one_by_one(overrides: tuple[str, ...], project: Path) -> None:
    eager, _ = trained("dropout=none", *overrides)
    graphed, _ = trained("compile=graph", "dropout=none", *overrides)
    losses = [columns(run, ("train/loss",))["train/loss"] for run in (graphed, eager)]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_a_batch_of_another_size_is_a_step_of_its_own(project: Path, replays: list[bool]) -> None:
    torch.manual_seed(0)
    x, y = torch.randn(70, 4), torch.randint(3, (70,))

    class Task(step_graph.GraphedModule):
        graph_steps = True

        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 3)

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            return self.graphed(self.losses, batch)[0]

        def losses(self, batch: Any) -> tuple[torch.Tensor]:
            return (torch.nn.functional.cross_entropy(self.layer(batch[0]), batch[1]),)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=0.1)

    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=16)
    task = Task()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = Trainer(max_epochs=10, accelerator="cpu", **quiet)
    trainer.fit(task, loader)
    assert len(replays) == 4 * 10 - step_graph.WARM_UP  # of 5 batches of an epoch the last has 6 samples
    assert trainer.global_step == 50


class Hooked(Callback):
    def on_after_backward(self, trainer: Trainer, pl_module: Any) -> None:
        """Some users change gradients here."""


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["scheduler=one_cycle"], "its optimizer or what it trains keeps changing"),
        (["trainer.accumulate_grad_batches=2"], "trainer.accumulate_grad_batches is above 1"),
        (["optimizer=sgd", "optimizer.fused=false"], "torch cannot capture the optimizer"),
        (["hooked"], "Hooked acts between backward and the optimizer's step"),
    ],
)
def test_what_cannot_be_captured_is_run_one_by_one_and_said_once(
    overrides: list[str], reason: str, project: Path, replays: list[bool]
) -> None:
    with further_callbacks(*([Hooked()] if overrides == ["hooked"] else [])):
        run, _ = trained("compile=graph", *(overrides if overrides != ["hooked"] else []))
    said = (run / "train.log").read_text()
    assert said.count("compile=graph: steps are run one by one") == 1
    assert reason in said


def test_without_a_gpu_it_trains_all_the_same(project: Path) -> None:
    trainwell.train([*TRAINING, "trainer.accelerator=cpu", "compile=graph"])
    (run,) = Path("runs").glob("train/*")
    assert "a graph needs a CUDA device, not cpu" in (run / "train.log").read_text()
