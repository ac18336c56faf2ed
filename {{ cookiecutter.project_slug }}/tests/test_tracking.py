"""Weights & Biases, with real runs in real files; what is meant to fail reaches only a dead port of this machine."""

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from your_package import tracking
from your_package.tracking import HarmlessLogger, wandb_logger

KEY = "a" * 40
pytestmark = pytest.mark.usefixtures("fresh_wandb")


def read_back(folder: Path) -> dict:
    """What W&B's own reader finds in a run's file."""
    tool = Path(sys.executable).with_name("wandb")
    inspect = [tool, "leet", "inspect", "--summary", "--json", folder]
    return json.loads(subprocess.run(inspect, capture_output=True, text=True, check=True).stdout)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = "your_package.tracking"
    return [record.message for record in caplog.records if record.name == ours]


@pytest.mark.slow
def test_without_an_account_a_run_is_offline_at_once_and_says_so(
    empty_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    logger = wandb_logger(project="test", run_folder="runs/train/one")
    logger.log_metrics({"val/loss": 0.25}, step=3)
    looks = logger.how_to_look()
    logger.end()
    (folder,) = empty_folder.glob("wandb/offline-run-*")
    assert said(caplog) == ["W&B: not logged in, so this run is recorded offline (`wandb login` to change that)"]
    assert read_back(folder)["summary"]["val/loss"] == 0.25
    assert looks[0] == "wandb leet wandb"
    assert looks[1].startswith(f"wandb sync wandb/{folder.name}")


@pytest.mark.slow
@pytest.mark.parametrize(("key", "reason"), [(KEY, "refused"), ("short", "invalid")])
def test_an_account_that_cannot_be_reached_is_given_up_soon(
    key: str, reason: str, empty_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("WANDB_API_KEY", key)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    started = time.monotonic()
    logger = wandb_logger(project="test", run_folder="runs/train/two")
    seconds = time.monotonic() - started
    logger.end()
    assert logger.experiment.offline
    assert [path.name[:11] for path in empty_folder.glob("wandb/*run-2*")] == ["offline-run"]
    assert seconds < 30  # waits 6 s for the network; the rest is how busy the machine is
    (message,) = said(caplog)
    assert message.startswith("W&B: cannot be reached")
    assert reason in message


def test_wandb_mode_wins(monkeypatch: pytest.MonkeyPatch, empty_folder: Path) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    wandb_logger(project="test", run_folder="runs/train/three").end()
    assert not (empty_folder / "wandb").exists()


@pytest.mark.slow
def test_a_run_that_goes_on_goes_on_in_the_same_wandb_run(empty_folder: Path) -> None:
    (empty_folder / "runs/train/four").mkdir(parents=True)
    ids = set()
    for step in (3, 4):
        logger = wandb_logger(project="test", run_folder="runs/train/four")
        logger.log_metrics({"val/loss": 1 / step}, step=step)
        ids.add(logger.experiment.id)
        look = logger.how_to_look()[1]
        logger.end()
        time.sleep(1)  # W&B names its folders by the second
    pieces = sorted(empty_folder.glob("wandb/offline-run-*"))
    assert len(ids) == 1
    assert [read_back(piece)["summary"]["val/loss"] for piece in pieces] == [1 / 3, 1 / 4]
    assert look.startswith(f"wandb sync wandb/{pieces[0].name} wandb/{pieces[1].name} ")


class YesSayer(BaseHTTPRequestHandler):
    """As much of a W&B server as it takes to begin a run online."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = (json.loads(body).get("variables") or {}) if self.path == "/graphql" else {}
        project = {"id": "p", "name": "test", "entity": {"id": "e", "name": "me"}}
        bucket = {"id": "r", "name": asked.get("name"), "config": "{}", "project": project, "historyLineCount": 0}
        data = {"upsertBucket": {"bucket": bucket, "inserted": True}}
        text = json.dumps({"data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_PUT = do_POST

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def online(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[HarmlessLogger, ThreadingHTTPServer]]:
    """A run that has begun online, and the server that it speaks with."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), YesSayer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(tracking, "SECONDS_TO_FINISH", 1)
    logger = wandb_logger(project="test", run_folder="runs/train/online")
    assert isinstance(logger, HarmlessLogger)
    assert not logger.experiment.offline
    yield logger, server
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_a_network_that_is_lost_while_a_run_goes_on_costs_one_warning(
    online: tuple[HarmlessLogger, ThreadingHTTPServer], empty_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logger, server = online
    logger.log_metrics({"val/loss": 0.5}, step=0)
    server.shutdown()
    server.server_close()
    logger.log_metrics({"val/loss": 0.25}, step=1)
    started = time.monotonic()
    logger.end()
    assert time.monotonic() - started < 10
    (message,) = said(caplog)
    assert message.startswith("W&B: lost (")
    (folder,) = empty_folder.glob("wandb/run-*")
    assert read_back(folder)["summary"]["val/loss"] == 0.25  # what is on this machine is whole
    assert logger.how_to_look()[1].startswith(f"wandb sync wandb/{folder.name}")


@pytest.mark.slow
def test_a_service_that_dies_while_a_run_goes_on_costs_one_warning(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def dead(*arguments: object) -> None:
        raise ConnectionResetError(104, "Connection reset by peer")  # as seen when wandb-core is killed

    logger = wandb_logger(project="test", run_folder="runs/train/killed")
    with monkeypatch.context() as patch:
        patch.setattr(type(logger.experiment), "log", dead)
        for step in range(3):
            logger.log_metrics({"val/loss": 0.5}, step=step)
    logger.end()
    (message,) = said(caplog)
    assert message.startswith("W&B: lost ([Errno 104] Connection reset by peer)")


def test_without_wandb_a_run_is_kept_in_its_folder(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    logger = wandb_logger(project="test", run_folder="runs/train/none")
    logger.log_hyperparams({"seed": 0})
    logger.log_metrics({"val/loss": 0.5}, step=0)
    (message,) = said(caplog)
    assert message.startswith("W&B: does not work here (")
    assert message.endswith("so this run is recorded in its folder alone")


@pytest.mark.slow
def test_a_broken_wandb_costs_a_run_one_warning_and_nothing_else(
    command: Callable[..., subprocess.CompletedProcess[str]], empty_folder: Path
) -> None:
    (empty_folder / "wandb.py").write_text("raise TypeError('Descriptors cannot be created directly')")
    ended = command(
        "train.py", "trainer=smoke", "data=digits", "network.width=8", "~callbacks.diagnostics",
        PYTHONPATH=str(empty_folder),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("W&B") == 1
    assert "W&B: does not work here (Descriptors cannot be created directly)" in ended.stdout
    (summary,) = empty_folder.glob("runs/train/*/summary.json")
    assert json.loads(summary.read_text())["status"] == "finished"
