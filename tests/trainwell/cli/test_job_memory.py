"""What Hydra holds of the jobs of a sweep that have ended."""

import runpy
import sys
from pathlib import Path

import pytest
from hydra.core import utils
from hydra.core.utils import JobReturn

QUICK = ("trainer=smoke", "network.width=8", "residual.depth=2", "logger=none")


@pytest.mark.slow
def test_a_job_that_has_ended_leaves_its_result_and_not_its_configurations(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[JobReturn] = []

    def watched() -> JobReturn:
        ended.append(JobReturn())
        return ended[-1]

    monkeypatch.setattr(utils, "JobReturn", watched)
    monkeypatch.setattr(sys, "argv", ["train.py", "-m", *QUICK, "seed=3,4"])
    runpy.run_path(str(project / "train.py"), run_name="__main__")
    assert [job.overrides[-1] for job in ended] == ["seed=3", "seed=4"]
    assert all(0 < job.return_value < 10 for job in ended)
    assert all(job.cfg is job.hydra_cfg is None for job in ended)
