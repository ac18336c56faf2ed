"""Runs that are interrupted and resumed until they end."""

import json
import os
import random
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..project import QUIET, Project, hashed, kept
from .comparison import differences, left_by

HERE = Path(__file__).parent
CALLBACK = "+callbacks.interruption._target_=interruption.Interruption"
SECONDS_TO_START = 8.0
AGAIN = 1 / 3  # probability that a resumed run is interrupted as well
MOST_INTERRUPTIONS = 3  # of one run
LONGEST_DELAY, LONGEST_PAUSE = 0.03, 0.1  # seconds, after an event and between two signals
PATIENCE = 120.0  # seconds that any process may take
SOON = "trainer.max_time=00:00:00:01"


class Configuration:
    """What is interrupted, and the undisturbed run of it."""

    def __init__(self, name: str, place: Path, overrides: str, settings: dict[str, Any]) -> None:
        self.name, self.settings, self.train = name, settings, str(place.parents[1] / "train.py")
        self.folder = place / "".join(letter if letter.isalnum() else "_" for letter in name)
        by_key = {text.partition("=")[0]: text for text in f"{overrides} {settings.get('overrides', '')}".split()}
        self.overrides = [*QUIET, *by_key.values(), CALLBACK]

    def train_undisturbed(self) -> None:
        """Train once, and count how often each event happens."""
        folder = self.folder / "undisturbed"
        if not (folder / "events.json").exists():
            renew(folder)
            if self.run(folder, self.overrides, EVENTS="events.json"):
                raise RuntimeError((folder / "output.txt").read_text())

    def trial(self, number: int) -> dict[str, Any]:
        """Interrupt and resume a run until it ends: how often it was interrupted, and how its end differs."""
        outcome = kept(self.folder / f"{number}.json", lambda: self.outcome(number))
        return {"configuration": self.name, "number": number, **outcome}

    def outcome(self, number: int) -> dict[str, Any]:
        chance = random.Random(f"{self.name} {number}")
        folder = self.folder / str(number)
        renew(folder)
        interruptions = 0
        while not has_ended(folder):
            again = interruptions == 0 or (interruptions < MOST_INTERRUPTIONS and chance.random() < AGAIN)
            arguments = ["resume=latest"] if list(folder.glob("runs/*/*/config.yaml")) else self.overrides
            status = self.interrupted(folder, arguments, chance) if again else self.run(folder, arguments)
            if not has_ended(folder) and (not again or status == 2):
                return {"interruptions": interruptions, "differences": [f"resuming ended with status {status}"]}
            interruptions += not has_ended(folder)
        found = differences(left_by(self.folder / "undisturbed"), left_by(folder))
        if not found:
            shutil.rmtree(folder)
        return {"interruptions": interruptions, "differences": found}

    def interrupted(self, folder: Path, arguments: list[str], chance: random.Random) -> int:
        """Run ``train.py``, and interrupt it at a random moment if it does not end before."""
        event = chance.choice(self.settings["events"])
        if event == "start":
            return self.run(folder, arguments, seconds=chance.uniform(0, SECONDS_TO_START))
        if event == "max_time":
            kept = [re.sub("trainer.max_time=.*", SOON, argument) for argument in arguments]
            return self.run(folder, kept if SOON in kept else [*kept, SOON])
        counts = json.loads((self.folder / "undisturbed" / "events.json").read_text())
        plan = {"event": event, "count": chance.randint(1, counts[event])}
        plan |= {"delay": chance.uniform(0, LONGEST_DELAY), "pause": chance.uniform(0, LONGEST_PAUSE)}
        plan |= {"signals": self.settings.get("signals", ["SIGKILL"])}
        plan |= {"rank": chance.choice(self.settings.get("ranks", [0]))}
        return self.run(folder, arguments, INTERRUPTION=json.dumps(plan))

    def run(self, folder: Path, arguments: list[str], seconds: float = PATIENCE, **environment: str) -> int:
        """The status of ``train.py``, which is killed with all that it has started after so many seconds."""
        if arguments == ["resume=latest"] and "max_time" in self.settings["events"]:
            arguments = [*arguments, "trainer.max_time=null"]
        process = get_context("fork").Process(target=self.start, args=(folder, arguments, environment))
        process.start()
        deadline = time.monotonic() + seconds
        while process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.join()
        return process.exitcode

    def start(self, folder: Path, arguments: list[str], environment: dict[str, str]) -> None:
        """Be ``python train.py`` with these arguments, as the leader of a group of processes."""
        os.setsid()
        os.chdir(folder)
        output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(output, stream)
        os.environ.update(environment)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        if self.settings.get("own_process"):
            os.execv(sys.executable, [sys.executable, self.train, *arguments])
        import train
        import trainwell

        sys.argv = [self.train, *arguments]
        trainwell.main(train.train)


def renew(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def has_ended(folder: Path) -> bool:
    """Whether a run in the folder has come to its own end."""
    summaries = [json.loads(path.read_text()) for path in folder.glob("runs/*/*/summary.json")]
    return any(summary["status"] in ("finished", "stopped_early") for summary in summaries)


def configurations(folder: Path, names: list[str]) -> Iterator[Configuration]:
    """Those of ``configurations.yaml``, or of these names, in a project that has been prepared for them."""
    project = Project(folder)
    shutil.copy(HERE / "interruption.py", project.folder)
    prepare(project)
    text = (HERE / "configurations.yaml").read_text("utf-8")
    tables, place = yaml.safe_load(text), project.folder / "kill" / hashed(text)[:8]
    for name, settings in tables["configurations"].items():
        if name in names or not names:
            yield Configuration(name, place, tables["shared"], settings)


def prepare(project: Project) -> None:
    """Import what training needs, so that forks of this process need not, and write the digits as a file."""
    import train  # noqa: F401
    from trainwell.runs import session  # noqa: F401
    from trainwell.runs.load import build

    data, _ = build(project.composed([*QUIET, "data=digits"]))
    x, y = (np.concatenate(part) for part in zip(data.train, data.val, data.test, strict=True))
    np.savez(project.folder / "digits.npz", x=x, y=y)
