"""Gradient norms and clipping where two processes share a gradient."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

PROGRAM = """
import sys
from functools import partial

import torch
from lightning import Callback, Trainer
from my_network.tasks.classification import Classification
from my_network.techniques import scheduler, weight_decay
from torch import nn
from trainwell.callbacks.training_stats import TrainingStats
from trainwell.data.batches import Batches, Samples

folder = sys.argv[1]
torch.manual_seed(0)
network = nn.Linear(4, 3)
samples = Samples(torch.randn(24, 4), torch.arange(24) % 3)
stats = TrainingStats()


class Save(Callback):
    def on_train_end(self, trainer, module):
        stats.fetch_norms()
        end = {"norms": list(stats.norms), "weight": module.network.weight.detach()}
        torch.save(end, f"{folder}/{trainer.global_rank}.pt")


task = Classification(
    network,
    loss=nn.CrossEntropyLoss(),
    metrics={},
    optimizer=partial(torch.optim.SGD, lr=1.0),
    scheduler=scheduler.constant,
    weight_decay=weight_decay.none(),
)
start = {name: value.clone() for name, value in network.state_dict().items()}
torch.save({**start, "x": samples.x}, f"{folder}/start.pt")
trainer = Trainer(
    accelerator="cpu", strategy="ddp_fork", devices=2, max_epochs=1, accumulate_grad_batches=2, gradient_clip_val=0.1,
    callbacks=[stats, Save()], logger=False, enable_checkpointing=False, enable_progress_bar=False,
    enable_model_summary=False, use_distributed_sampler=False,
)
trainer.fit(task, Batches(samples, 6))
"""


@pytest.mark.slow
def test_two_processes_clip_the_mean_of_what_both_have_accumulated(project: Path, tmp_path: Path) -> None:
    (project / "shared_gradient.py").write_text(PROGRAM)  # a program of its own, because it forks
    ended = subprocess.run(
        [sys.executable, "shared_gradient.py", str(tmp_path)], cwd=project, capture_output=True, text=True, timeout=100
    )
    assert ended.returncode == 0, ended.stderr
    start = torch.load(tmp_path / "start.pt", weights_only=True)
    network = nn.Linear(4, 3)
    network.load_state_dict({"weight": start["weight"], "bias": start["bias"]})
    cross_entropy(network(start["x"]), torch.arange(24) % 3).backward()  # each process has half of the samples
    norm = torch.cat([network.weight.grad.flatten(), network.bias.grad]).norm()
    assert norm > 0.1
    for rank in (0, 1):
        end = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert end["norms"] == pytest.approx([norm.item()], rel=1e-5)
        step = start["weight"] - end["weight"]
        torch.testing.assert_close(step, 0.1 / norm * network.weight.grad, rtol=1e-4, atol=1e-6)
