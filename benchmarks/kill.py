"""Kill a training process at random moments, go on, and see whether the end is the same bit for bit.

    python benchmarks/kill.py [--moments 50] [--folder build/kill] [OVERRIDE ...]

Every process is a real one and dies by SIGKILL: while it starts, in a step, in validation, while it writes a checkpoint
or at the end, a fifth of the times each, up to 30 ms after that has begun. What has been tried is kept in the folder,
so that a harness that is stopped goes on too.
"""

import argparse
import csv
import functools
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from runs import QUIET, Project
from tqdm import tqdm

KINDS = ("start", "step", "validation", "saving", "end")
MOST = {"step": 90, "validation": 25, "saving": 18, "end": 1}
SECONDS_TO_START = 8.0
OVERRIDES = (
    *QUIET,
    "data=digits",
    "network.width=16",
    "residual.depth=2",
    "normalisation=batch",
    "dropout.rate=0.3",
    "optimizer.lr=0.01",
    "trainer.max_epochs=5",
    "trainer.accumulate_grad_batches=2",
    "trainer.log_every_n_steps=5",
    "callbacks.early_stopping.patience=2",
    "callbacks.last_checkpoint.steps=4",
    "callbacks.last_checkpoint.share=1.0",
    "scheduler=plateau",
)
TIMED = ("seconds", "samples_per_second", "before", "current_score")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--moments", type=int, default=50)
    parser.add_argument("--folder", type=Path, default=Path("build/kill"))
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_args()
    overrides = [*OVERRIDES, *arguments.overrides]
    project = Project(arguments.folder.resolve())
    command_line, train = project.module("command_line"), importlib.import_module("train")
    # What train.py imports late.
    for name in ("build", "checkpoint", "last_checkpoint", "recording", "reproduce", "resume"):
        project.module(name)
    train.train.__module__ = "__main__"  # Hydra looks for configs/ beside the script that it is defined in
    OmegaConf.clear_resolvers()  # each command makes them anew
    place = project.folder / "kill" / hashlib.sha256(" ".join(overrides).encode()).hexdigest()[:8]
    place.mkdir(parents=True, exist_ok=True)
    known = place / "results.json"
    results: dict[str, bool] = json.loads(known.read_text()) if known.exists() else {}

    def command(folder: Path, *typed: str, before: Callable[[], None] = lambda: None) -> int:
        """Run ``train.py`` in a process of its own, forked from this one, which has everything imported."""
        child = os.fork()
        if child == 0:
            os.chdir(folder)
            output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(output, 1)
            os.dup2(output, 2)
            sys.argv = [str(project.folder / "train.py"), *typed]
            before()
            status = 1
            try:
                command_line.run(train.train, "train")
                status = 0
            except SystemExit as ended:
                status = int(ended.code or 0)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    whole = place / "whole"
    if not (whole / "done").exists():
        shutil.rmtree(whole, ignore_errors=True)
        whole.mkdir()
        if command(whole, *overrides):
            sys.exit((whole / "output.txt").read_text())
        (whole / "done").touch()
    expected = left_by(whole)
    assert isinstance(expected, dict), expected

    bar = tqdm([f"{KINDS[number % len(KINDS)]}-{number}" for number in range(arguments.moments)], unit="kill")
    for moment in bar:
        if moment not in results:
            kind = moment.partition("-")[0]
            chance = random.Random(moment)
            folder = place / moment
            status = 0
            while status != -signal.SIGKILL:  # a moment can be one that never comes
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                if kind == "start":
                    status = kill_at_start([sys.executable, project.folder / "train.py", *overrides], folder, chance)
                else:
                    after = Moment(kind, chance)
                    status = command(folder, *overrides, before=functools.partial(kill_later, project, after))
                if status > 0:
                    sys.exit((folder / "output.txt").read_text())
            begun = list(folder.glob("runs/*/*/config.yaml"))
            status = command(folder, *(["resume=latest"] if begun else overrides))
            results[moment] = status == 0 and left_by(folder) == expected
            known.write_text(json.dumps(results))
            if results[moment]:
                shutil.rmtree(folder)
        same = sum(results[moment] for moment in results)
        bar.set_description(f"{same} of {len(results)} the same")
    wrong = [moment for moment, same in results.items() if not same]
    print(f"{len(results) - len(wrong)} of {len(results)} runs that were killed ended like one that was not")
    if wrong:
        sys.exit("not the same: " + ", ".join(str(place / moment) for moment in wrong))


def kill_at_start(arguments: list[str | Path], folder: Path, chance: random.Random) -> int:
    with (folder / "output.txt").open("a") as output:
        process = subprocess.Popen(arguments, cwd=folder, stdout=output, stderr=output)
        time.sleep(chance.uniform(0, SECONDS_TO_START))
        process.kill()
        return process.wait()


class Moment:
    """So many seconds after something has begun for the n-th time."""

    def __init__(self, kind: str, chance: random.Random) -> None:
        self.kind, self.count, self.delay = kind, chance.randint(1, MOST[kind]), chance.uniform(0, 0.03)


def kill_later(project: Project, moment: Moment) -> None:
    classifier = project.module("classifier").Classifier
    owner, name = {
        "step": (classifier, "training_step"),
        "validation": (classifier, "validation_step"),
        "saving": (Path, "write_bytes"),
        "end": (project.module("last_checkpoint").LastCheckpoint, "on_train_end"),
    }[moment.kind]
    original, left = getattr(owner, name), moment.count

    def watched(*given: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            threading.Timer(moment.delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return original(*given, **named)

    setattr(owner, name, watched)


def left_by(folder: Path) -> Any:
    """All that the run in a folder leaves, but for times and places."""
    found = list(folder.glob("runs/*/*/summary.json"))
    if len(found) != 1:
        return f"{len(found)} runs have ended"
    run = found[0].parent
    summary = json.loads(found[0].read_text())
    with (run / "metrics.csv").open(newline="") as file:
        rows = [{name: row[name] for name in row if not name.startswith("throughput/")} for row in csv.DictReader(file)]
    left = {"summary": {name: summary[name] for name in summary if name not in TIMED}, "metrics": rows}
    for name in ("best.ckpt", "last.ckpt"):
        state = torch.load(run / "checkpoints" / name, map_location="cpu", weights_only=True)
        left[name] = json.dumps(digest({**state, "resume": state.get("resume", {}).get("ranks")}), default=str)
        left[name] = left[name].replace(str(run.resolve()), "RUN")
    return left


def digest(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return hashlib.sha256(value.contiguous().view(-1).view(torch.uint8).numpy().tobytes()).hexdigest()
    if isinstance(value, dict):
        return {name: digest(part) for name, part in value.items() if name not in (*TIMED, "dirpath")}
    return [digest(part) for part in value] if isinstance(value, list | tuple) else value


if __name__ == "__main__":
    main()
