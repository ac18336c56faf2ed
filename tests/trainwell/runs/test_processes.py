"""One run folder, one log and the metrics of all samples, however the processes of a run were started."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TINY = ["data=digits", "network.width=16", "residual.depth=1", "scheduler=constant", "trainer.max_epochs=3"]
TWO = ["~callbacks.early_stopping", "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", **more}


def torchrun(*arguments: str) -> list[list[str]]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port", free_port()]
    return [[*torchrun, "train.py", *arguments]]


def of_slurm(rank: int, port: str) -> dict[str, str]:
    """What srun puts into the environment of each of two tasks."""
    return {
        **{"SLURM_JOB_ID": "77", "SLURM_STEP_ID": "0", "SLURM_JOB_NAME": "train", "SLURM_NODELIST": "localhost"},
        **{"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NODEID": "0", "SLURM_RESTART_COUNT": "0"},
        **{"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
    }


def run_of(project: Path) -> tuple[Path, dict[str, Any]]:
    (folder,) = (project / "runs" / "train").iterdir()
    return folder, json.loads((folder / "summary.json").read_text())


def test_under_torchrun_a_run_has_one_folder_one_log_and_one_wandb_run(project: Path) -> None:
    (command,) = torchrun(*TINY, *TWO)
    ended = subprocess.run(command, cwd=project, env=environment(), text=True, capture_output=True, timeout=240)
    assert ended.returncode == 0, ended.stderr
    folder, summary = run_of(project)
    assert summary["status"] == "finished"
    assert summary["processes"] == 2
    assert (folder / "train.log").read_text().count("finished after 3 epochs") == 1
    assert len([path for path in (project / "wandb").iterdir() if path.name.startswith("offline-run-")]) == 1


@pytest.mark.slow
def test_under_srun_a_run_has_one_folder(project: Path) -> None:
    port = free_port()
    command = [sys.executable, "train.py", *TINY, *TWO, "logger=none"]
    tasks = [
        subprocess.Popen(command, cwd=project, env=environment(**of_slurm(rank, port)), stderr=subprocess.PIPE)
        for rank in range(2)
    ]
    errors = [task.communicate(timeout=240)[1] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], errors
    assert run_of(project)[1]["status"] == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_when_a_process_is_killed_the_others_end_soon(project: Path, victim: int) -> None:
    (project / "report_pids.py").write_text(
        "import os\nfrom lightning import Callback\n\n\nclass Pids(Callback):\n"
        "    def on_train_start(self, trainer, module):\n"
        "        open(f'pid_{trainer.global_rank}', 'w').write(str(os.getpid()))\n"
    )
    forever = ["trainer.max_epochs=2000", "+callbacks.pids._target_=report_pids.Pids", "logger=none"]
    command = [sys.executable, "train.py", *TINY, *TWO, *forever]
    with subprocess.Popen(command, cwd=project, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        pids = [project / f"pid_{rank}" for rank in range(2)]
        while not all(path.exists() and path.read_text() for path in pids):
            time.sleep(0.1)
            assert process.poll() is None
        time.sleep(1)
        os.kill(int(pids[victim].read_text()), signal.SIGKILL)
        start = time.monotonic()
        process.communicate(timeout=60)
        assert time.monotonic() - start < 30
    assert process.returncode != 0
    other = int(pids[1 - victim].read_text())
    while time.monotonic() - start < 30 and Path(f"/proc/{other}").exists():
        time.sleep(0.1)
    assert not Path(f"/proc/{other}").exists()
    (log,) = (project / "runs" / "train").glob("*/train.log")
    assert f"process {1 - victim} of 2 ends: " in log.read_text()


@pytest.mark.slow
def test_fsdp_without_a_gpu_is_refused_in_a_sentence(command: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    ended = command(*TINY, *TWO, "trainer.strategy=fsdp")
    assert ended.returncode == 2
    assert ended.stderr.startswith("trainer: The strategy `fsdp` requires a GPU accelerator")


EVALUATE = """
import json
import sys

import torch
from lightning import Trainer
from my_network.data.digits import Digits
from my_network.tasks.classification import Classification
from my_network.techniques import scheduler, weight_decay
from torch import nn
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

torch.manual_seed(0)
metrics = {"accuracy": MulticlassAccuracy(10, average="micro"), "f1": MulticlassF1Score(10)}
task = Classification(
    nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.BatchNorm1d(10)), loss=nn.CrossEntropyLoss(), metrics=metrics,
    optimizer=None, scheduler=scheduler.constant, weight_decay=weight_decay.none(),
)
data = Digits(batch_size=7, seed=0, label_noise=0.0)
devices = int(sys.argv[1])
trainer = Trainer(
    accelerator="cpu", strategy="ddp_fork" if devices > 1 else "auto", devices=devices, logger=False,
    enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
)
(val,) = trainer.validate(task, datamodule=data, verbose=False)
(test,) = trainer.test(task, datamodule=data, verbose=False)
print("RESULT", json.dumps({**val, **test}))
"""


@pytest.mark.slow
def test_metrics_of_two_processes_are_those_of_one(project: Path) -> None:
    """287 validation and 359 test samples: neither is a multiple of two or of the batch size."""
    (project / "evaluate_it.py").write_text(EVALUATE)
    found = []
    for devices in ("1", "2"):
        command = [sys.executable, "evaluate_it.py", devices]
        ended = subprocess.run(command, cwd=project, env=environment(), text=True, capture_output=True, timeout=200)
        assert ended.returncode == 0, ended.stderr
        (result,) = [line for line in ended.stdout.splitlines() if line.startswith("RESULT ")]
        found.append(json.loads(result.removeprefix("RESULT ")))
    assert found[0].keys() == {f"{split}/{name}" for split in ("val", "test") for name in ("loss", "accuracy", "f1")}
    assert found[1] == pytest.approx(found[0], abs=1e-6)
