"""What Hydra holds of the jobs of a sweep that have ended."""

import runpy
import sys

import pytest
from hydra.core import utils
from hydra.core.utils import JobReturn

from tests.conftest import PROJECT, SMALL


@pytest.mark.slow
def test_a_job_that_has_ended_leaves_its_result_and_not_its_configurations(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[JobReturn] = []

    def watched() -> JobReturn:
        ended.append(JobReturn())
        return ended[-1]

    monkeypatch.setattr(utils, "JobReturn", watched)
    monkeypatch.setattr(sys, "argv", ["train.py", "-m", *SMALL, "trainer=smoke", "logger=none", "seed=3,4"])
    runpy.run_path(str(PROJECT / "train.py"), run_name="__main__")
    assert [job.overrides[-1] for job in ended] == ["seed=3", "seed=4"]
    assert all(0 < job.return_value < 10 for job in ended)
    assert all(job.cfg is job.hydra_cfg is None for job in ended)
