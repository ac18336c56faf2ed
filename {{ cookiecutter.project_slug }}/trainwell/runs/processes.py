"""One run in several processes, which agree on its folder however they were started."""

import os
import time
from datetime import timedelta
from pathlib import Path

from omegaconf import OmegaConf

FOLDER_OF_THIS_RUN, STARTED_BY = "RUN_FOLDER", "RUN_FOLDER_STARTED_BY"  # in the environment
PATIENCE = 120.0  # seconds that a process waits for the first one


def agreed(chosen: Path) -> Path:
    """What the first process of a run has ``chosen``.

    The others get it from torchrun's store, under srun from a file in ``runs/``, and from the environment if Lightning
    has started them.

    Raises: ValueError: the first process does not say.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return through_store(chosen)
    if int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        from lightning.fabric.plugins.environments import SLURMEnvironment  # imports torch, which takes seconds

        if SLURMEnvironment.detect():
            return through_file(chosen)
    started_by = os.environ.get(STARTED_BY)
    if started_by is None and os.environ.get("LOCAL_RANK", "0") != "0":
        raise ValueError("start the processes of a run with torchrun, srun or trainer=ddp: they cannot find each other")
    if "LOCAL_RANK" not in os.environ or started_by in (None, str(os.getpid())):
        os.environ[FOLDER_OF_THIS_RUN], os.environ[STARTED_BY] = str(chosen), str(os.getpid())
    return Path(os.environ[FOLDER_OF_THIS_RUN])


def job_number() -> int:
    """The number of this run in a sweep."""
    from ..config.compose import hydra_config  # imports Hydra

    hydra = hydra_config()
    return 0 if hydra is None else OmegaConf.select(hydra, "job.num", default=0)


def through_store(chosen: Path) -> Path:
    from torch.distributed import DistStoreError, TCPStore

    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    key = f"trainwell/run_folder/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{job_number()}"
    try:
        store = TCPStore(host, port, is_master=False, timeout=timedelta(seconds=PATIENCE))
        if os.environ["RANK"] == "0":
            store.set(key, str(chosen))
        return Path(store.get(key).decode())
    except DistStoreError as error:
        raise ValueError(f"the first process did not name the run's folder within {PATIENCE:.0f} s") from error


def through_file(chosen: Path) -> Path:
    names = ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT")
    job = ".".join([*(os.environ.get(name, "0") for name in names), str(job_number())])
    path = Path("runs", ".slurm", job)
    if os.environ["SLURM_PROCID"] == "0":
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{job}.unfinished")
        unfinished.write_text(str(chosen), encoding="utf-8")
        unfinished.replace(path)
    wait_for(path)
    return Path(path.read_text(encoding="utf-8"))


def wait_for(path: Path) -> None:
    """Wait for a file that the first process of the run writes.

    Raises: ValueError: it does not come.
    """
    end = time.monotonic() + PATIENCE
    while not path.exists():
        if time.monotonic() > end:
            raise ValueError(f"{path} did not appear within {PATIENCE:.0f} s: all processes need the same file system")
        time.sleep(0.05)
