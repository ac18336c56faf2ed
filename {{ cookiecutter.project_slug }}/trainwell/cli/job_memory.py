"""A sweep whose memory does not grow with the number of its jobs."""

from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class FreeJobConfigs(Callback):
    """Free each job's configuration when it ends; Hydra would keep them all until the sweep ends."""

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        job_return.cfg = job_return.hydra_cfg = None
