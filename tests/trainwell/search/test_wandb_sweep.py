"""The W&B sweep of the documentation, with W&B's own code that makes a command line of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

DOCS = Path(__file__).parents[3] / "docs" / "search.md"


@pytest.mark.slow
def test_the_documented_sweep_trains_with_the_id_that_the_agent_gives(project: Path) -> None:
    text = DOCS.read_text(encoding="utf-8")
    sweep = yaml.safe_load(text[text.index("program: train.py") :].partition("```")[0])
    chosen = {"args": {"optimizer.lr": {"value": 0.0123}, "activation": {"value": "gelu"}}}
    assert chosen["args"].keys() == sweep["parameters"].keys()
    macros = {"env": ["/usr/bin/env"], "interpreter": [sys.executable], "program": [sweep["program"]]}
    macros |= create_sweep_command_args(chosen)
    command = []
    for part in create_sweep_command(list(sweep["command"])):
        command += macros[part[2:-1]] if part.startswith("${") else [part]

    agent = {"WANDB_SWEEP_ID": "sw33p", "WANDB_RUN_ID": "agent123", "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"}
    fast = ["data=digits", "network.width=16", "residual.depth=1", "trainer=smoke"]
    ended = subprocess.run([*command, *fast], cwd=project, env={**os.environ, **agent}, text=True, capture_output=True)
    assert ended.returncode == 0, ended.stderr
    (run,) = (project / "runs" / "train").iterdir()
    assert (run / "wandb_id.txt").read_text() == "agent123"
    assert len(list(project.glob("wandb/offline-run-*-agent123"))) == 1
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["optimizer"]["lr"] == 0.0123
