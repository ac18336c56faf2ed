"""Sweeps through Hydra's launchers and sweepers: real processes, and SLURM with stand-ins for its commands."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
pytest.importorskip("submitit")

Command = Callable[..., subprocess.CompletedProcess[str]]
TINY = ["data=digits", "network.width=16", "residual.depth=1", "scheduler=constant", "logger=none"]
SHORT = [*TINY, "trainer.max_epochs=2", "~callbacks.early_stopping"]

# A stand-in for SLURM: sbatch runs the tasks of an array here, one after the other; a job that its run asks to requeue
# is started again with SLURM_RESTART_COUNT=1.
SBATCH = """
import os, re, subprocess, sys
from pathlib import Path
place = Path(__file__).parent
script = sys.argv[-1]
array = re.search(r"--array=(\\d+)-(\\d+)", Path(script).read_text())
tasks = range(int(array[1]), int(array[2]) + 1) if array else [None]
print("Submitted batch job 4000", flush=True)
if os.fork() == 0:
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    for task in tasks:
        job = str(4000 + (task or 0))
        more = {} if task is None else {"SLURM_ARRAY_JOB_ID": "4000", "SLURM_ARRAY_TASK_ID": str(task)}
        environment = {**os.environ, **more, "SLURM_JOB_ID": job, "SLURM_JOB_NODELIST": "localhost",
                       "SLURM_JOB_NUM_NODES": "1", "SLURM_NTASKS": "1", "SLURM_LOCALID": "0", "SLURM_NODEID": "0",
                       "SLURM_PROCID": "0", "SLURM_JOB_NAME": "train"}
        for restarts in range(2):
            subprocess.run(["bash", script], env={**environment, "SLURM_RESTART_COUNT": str(restarts)})
            if not (place / f"requeue_{job}").exists():
                break
            (place / f"requeue_{job}").unlink()
"""
SRUN = """
import subprocess, sys
arguments = sys.argv[1:]
while arguments[0].startswith("-"):
    flag = arguments.pop(0)
    if "=" not in flag and flag in ("--output", "--error"):
        arguments.pop(0)
sys.exit(subprocess.run(arguments).returncode)
"""
SCONTROL = """
import re, sys
from pathlib import Path
job = re.sub(r"4000_(\\d+)", lambda found: str(4000 + int(found[1])), sys.argv[-1])
(Path(__file__).parent / f"requeue_{job}").touch()
"""
NOTHING = "print('JobID|State|NodeList')"


@pytest.fixture
def command(command: Command) -> Command:
    """Launchers start processes like the one that they run in, so by a real command."""
    return partial(command, fresh=True)


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """An environment in which SLURM's commands are found."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    commands = {"sbatch": SBATCH, "srun": SRUN, "scontrol": SCONTROL, "sacct": NOTHING, "squeue": NOTHING}
    for name, program in commands.items():
        path = folder / name
        path.write_text(f"#!{sys.executable}\n{program}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def summaries(project: Path) -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in (project / "runs").glob("train/*/summary.json")]


def runs_in_index(project: Path) -> int:
    (index,) = (project / "runs" / "sweeps").glob("*/runs.txt")
    return len(index.read_text().splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_jobs_in_other_processes_are_runs_like_any_others(project: Path, command: Command, launcher: str) -> None:
    more = ["hydra.launcher.n_jobs=2"] if launcher == "joblib" else []
    done = command("-m", f"hydra/launcher={launcher}", *more, "seed=0,1", *SHORT)
    assert done.returncode == 0, done.stderr
    assert [summary["status"] for summary in summaries(project)] == ["finished"] * 2
    assert {summary["seed"] for summary in summaries(project)} == {0, 1}
    assert runs_in_index(project) == 2
    for log in (project / "runs").glob("train/*/train.log"):
        assert "finished after 2 epochs" in log.read_text()
    if launcher == "joblib":
        lines = [line for line in done.stdout.splitlines() if line.startswith("run ")]
        assert len(lines) == 2
        assert all("val/loss" in line for line in lines)
        assert "epoch " not in done.stdout
    (sweep,) = (project / "runs" / "sweeps").iterdir()
    assert command("compare", str(sweep), trainwell=True).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", pytest.param("submitit_local", marks=pytest.mark.slow)])
def test_a_refusal_in_another_process_ends_the_sweep_with_status_2(
    project: Path, command: Command, launcher: str
) -> None:
    done = command("-m", f"hydra/launcher={launcher}", "data.batch_size=64,100000", *SHORT)
    assert done.returncode == 2
    assert "data.batch_size must be at most the number of train samples, 1151, got 100000" in done.stderr
    assert "data.batch_size=100000" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(summaries(project)) == 1


@pytest.mark.slow
def test_a_failure_in_another_process_ends_the_sweep_with_status_1(project: Path, command: Command) -> None:
    done = command("-m", "hydra/launcher=joblib", "optimizer.lr=0.01,1e30", *SHORT)
    assert done.returncode == 1
    assert {summary["status"] for summary in summaries(project)} == {"finished", "failed"}
    assert "not finite" in done.stdout


@pytest.mark.slow
def test_slurm_runs_the_jobs_of_a_sweep(project: Path, command: Command, slurm: dict[str, str]) -> None:
    done = command("-m", "hydra/launcher=slurm", "seed=0,1", *SHORT, env=slurm)
    assert done.returncode == 0, done.stderr
    assert [summary["status"] for summary in summaries(project)] == ["finished"] * 2
    assert runs_in_index(project) == 2


@pytest.mark.slow
def test_a_preempted_slurm_job_goes_on_in_the_same_folder(
    project: Path, command: Command, slurm: dict[str, str]
) -> None:
    """The signal that SLURM sends before the time is over comes in the middle of the training, once."""
    (project / "preempt.py").write_text(
        "import os\nimport signal\n\nfrom lightning import Callback\n\n\nclass Preempt(Callback):\n"
        "    def on_train_epoch_end(self, trainer, module):\n"
        "        if trainer.current_epoch == 2 and os.environ['SLURM_RESTART_COUNT'] == '0':\n"
        "            os.kill(os.getpid(), signal.SIGUSR2)\n"
    )
    training = [*TINY, "trainer.max_epochs=6", "~callbacks.early_stopping", "callbacks.last_checkpoint.share=1.0"]
    preempted = "+callbacks.preempt._target_=preempt.Preempt"
    done = command("-m", "hydra/launcher=slurm", *training, preempted, env=slurm)
    assert done.returncode == 0, done.stderr
    (summary,) = summaries(project)
    assert summary["status"] == "finished"
    assert summary["epochs"] == 6
    (log,) = (project / "runs").glob("train/*/train.log")
    assert "resuming from" in log.read_text()

    assert command(*training).returncode == 0
    first, second = (summary["best"] for summary in summaries(project))
    assert first == second  # of the uninterrupted run, to the last digit


SWEEPER = """
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper


class RandomSweeper(Sweeper):
    def __init__(self, params=None):
        self.params = params

    def setup(self, *, hydra_context, task_function, config):
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments):
        fixed = [argument for argument in arguments if "interval" not in argument]
        results = self.launcher.launch([[*fixed, "optimizer.lr=0.01"], [*fixed, "optimizer.lr=0.02"]], 0)
        print("RESULTS", *[type(result.return_value).__name__ for result in results])
"""


@pytest.mark.slow
def test_a_sweeper_that_chooses_values_itself_gets_the_results(project: Path, command: Command) -> None:
    """As the Optuna, Ax and Nevergrad sweepers do, whose jobs nobody can list beforehand."""
    (project / "hydra_plugins").mkdir()
    (project / "hydra_plugins" / "random_sweeper.py").write_text(SWEEPER)
    folder = project / "configs" / "hydra" / "sweeper"
    folder.mkdir()
    (folder / "random.yaml").write_text("_target_: hydra_plugins.random_sweeper.RandomSweeper\n")
    path = {"PYTHONPATH": str(project)}
    done = command("-m", "hydra/sweeper=random", "optimizer.lr=interval(0.001,0.1)", *SHORT, env=path)
    assert done.returncode == 0, done.stderr
    assert "RESULTS float float" in done.stdout
    assert len(summaries(project)) == 2
    wrong = command("-m", "hydra/sweeper=random", "optimizer.lr=interval(0.001,0.1)", "dropout.rate=2", env=path)
    assert wrong.returncode == 2
    assert "dropout.rate must be in [0, 1), got 2" in wrong.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "status", "runs"),
    [
        ("seed=range(0,2)", 0, 2),
        ("activation=choice(relu,tanh)", 0, 2),
        ("activation=glob(r*)", 0, 1),
        ("seed=tag(mine,choice(0,1))", 0, 2),
        ("optimizer.lr=interval(0.1,0.2)", 2, 0),
    ],
)
def test_each_of_hydras_ranges_is_swept_or_refused_by_name(
    project: Path, command: Command, override: str, status: int, runs: int
) -> None:
    done = command("-m", override, *SHORT)
    assert done.returncode == status, done.stderr
    assert len(summaries(project)) == runs
    if status:
        assert "interval" in done.stderr.lower()
        assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_sweep_that_would_start_processes_of_its_own_is_refused(project: Path, command: Command) -> None:
    two = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    done = command("-m", "seed=0,1", *SHORT, *two)
    assert done.returncode == 2
    assert "type trainer.strategy=ddp_spawn" in done.stderr
    assert summaries(project) == []
