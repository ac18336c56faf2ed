"""W&B with real runs in real files; what must fail to connect reaches only ports of this machine."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import wandb
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import OmegaConf
from trainwell.loggers import wandb_run
from trainwell.loggers.wandb import SafeWandbLogger

KEY = "a" * 40
TEMPLATE = Path(__file__).parents[3] / "{{ cookiecutter.project_slug }}"
NOT_LOGGED_IN = "W&B: not logged in, so this run is recorded offline (`wandb login` to change that)"


@pytest.fixture(autouse=True)
def no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in an empty folder, with no W&B account, in a process where W&B has not been used."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    wandb.teardown()
    yield
    wandb.teardown()
    for name in [name for name in os.environ if name.startswith("WANDB_") and name not in before]:
        del os.environ[name]


def logger_of(run: str, **options: Any) -> SafeWandbLogger:
    """The logger of a run that has its folder."""
    folder = Path("runs/train", run)
    folder.mkdir(parents=True, exist_ok=True)
    return SafeWandbLogger(project="test", run_folder=str(folder), **options)


def read_back(folder: Path) -> dict[str, Any]:
    """What W&B's own reader finds in a run's file."""
    inspect = [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", "--json", folder]
    environment = {**os.environ, "WANDB_ERROR_REPORTING": "false"}
    return json.loads(subprocess.run(inspect, capture_output=True, text=True, check=True, env=environment).stdout)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name.startswith("trainwell.loggers")]


def test_nothing_is_written_before_the_run_begins_or_by_its_end(tmp_path: Path) -> None:
    logger = SafeWandbLogger(project="test", run_folder="runs/train/never")
    assert (logger.name, logger.version, logger.how_to_view()) == ("test", None, [])
    logger.finish()
    logger.discard()
    assert list(tmp_path.iterdir()) == []


def test_without_an_account_a_run_is_recorded_offline_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    logger = logger_of("one")
    logger.log_hyperparams({"seed": 0})
    logger.log_metrics({"val/loss": 0.25}, step=3)
    logger.summarize_best("val/error", "min")
    for step, error in enumerate((0.3, 0.1, 0.2)):
        logger.log_metrics({"val/error": error}, step=step)
    logger.finish()
    (folder,) = tmp_path.glob("wandb/offline-run-*")
    summary = read_back(folder)["summary"]
    assert messages(caplog) == [NOT_LOGGED_IN]
    assert summary["val/loss"] == 0.25
    assert summary["val/error"] == {"last": 0.2, "min": 0.1}
    assert logger.how_to_view() == [
        "wandb leet wandb",
        f"wandb sync wandb/{folder.name}   (uploads it, after `wandb login`)",
    ]
    assert Path("runs/train/one/wandb_id.txt").read_text() == logger.version


OFFLINE_RUN = """
import sys
from trainwell.loggers.wandb import SafeWandbLogger
logger = SafeWandbLogger(project="test", run_folder="runs/train/quiet")
logger.log_metrics({"val/loss": 0.25}, step=3)
logger.finish()
"""


def test_an_offline_run_sends_nothing(tmp_path: Path) -> None:
    requests: list[str] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            requests.append(self.path)
            self.send_error(502)

        do_POST = do_GET = do_CONNECT

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    proxy = f"http://127.0.0.1:{server.server_port}"
    proxies = {name: proxy for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")}
    subprocess.run(
        [sys.executable, "-c", OFFLINE_RUN],
        check=True,
        env={**os.environ, **proxies, "NO_PROXY": "", "no_proxy": "", "PYTHONPATH": str(TEMPLATE)},
    )
    server.shutdown()
    server.server_close()
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 1
    assert requests == []


@pytest.mark.parametrize(("key", "why"), [(KEY, "refused"), ("short", "invalid")])
def test_an_account_that_cannot_be_reached_is_given_up_soon(
    key: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(wandb_run, "SECONDS_TO_CONNECT", 2)
    monkeypatch.setenv("WANDB_API_KEY", key)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    started = time.monotonic()
    logger = logger_of("two")
    assert logger.works
    seconds = time.monotonic() - started
    logger.finish()
    assert logger.experiment.offline
    assert [path.name[:11] for path in tmp_path.glob("wandb/*run-2*")] == ["offline-run"]
    assert seconds < 25  # waits 2 s for the network; the rest is how busy the machine is
    (message,) = messages(caplog)
    assert message.startswith("W&B: cannot be reached")
    assert why in message


def test_a_disabled_run_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    logger = logger_of("three")
    logger.log_metrics({"val/loss": 0.25}, step=3)
    logger.finish()
    assert logger.how_to_view() == []
    assert not (tmp_path / "wandb").exists()
    assert list((tmp_path / "runs/train/three").iterdir()) == []


def test_variables_that_are_empty_count_as_unset(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for line in (TEMPLATE / ".env.example").read_text().splitlines():
        name, is_set, value = line.partition("=")
        if is_set and not line.startswith("#"):
            assert value == ""
            monkeypatch.setenv(name, value)
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_NAME", "WANDB_PROJECT", "WANDB_INIT_TIMEOUT"):
        monkeypatch.setenv(name, "")
    logger = logger_of("four")
    assert (logger.experiment.name, logger.experiment.offline) == ("train/four", True)
    logger.finish()
    assert messages(caplog) == [NOT_LOGGED_IN]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("WANDB_MODE", "Disabled", "WANDB_MODE must be online, offline or disabled, got 'Disabled'"),
        ("WANDB_INIT_TIMEOUT", "soon", "init_timeout"),
        ("WANDB_PROJECT", "a/b", "Invalid project name"),
    ],
)
def test_a_wrong_variable_costs_one_warning(
    name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(name, value)
    logger = logger_of("five")
    for step in range(3):
        logger.log_metrics({"val/loss": 0.5}, step=step)
    logger.finish()
    (warning,) = messages(caplog)
    assert warning.startswith("W&B: does not work here (")
    assert message in warning
    assert "\n" not in warning


def test_names_in_the_environment_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_NAME", "my name")
    monkeypatch.setenv("WANDB_RUN_GROUP", "my-group")
    monkeypatch.setenv("WANDB_ENTITY", "my-team")
    monkeypatch.setenv("WANDB_RUN_ID", "mine1234")
    logger = logger_of("six")
    run = logger.experiment
    assert (run.name, run.group, run.entity, run.id) == ("my name", "my-group", "my-team", "mine1234")
    logger.finish()
    assert Path("runs/train/six/wandb_id.txt").read_text() == "mine1234"


def test_the_project_in_the_environment_replaces_the_configured_default(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (TEMPLATE / "configs/logger/wandb.yaml").read_text().replace("{{ cookiecutter.project_slug }}", "my-network")
    config = OmegaConf.create({**OmegaConf.create(text), "run_folder": "runs/train/seven"})
    assert config.wandb.project == "my-network"
    monkeypatch.setenv("WANDB_PROJECT", "other")
    assert config.wandb.project == "other"
    config.wandb.project = "by-override"
    assert config.wandb.project == "by-override"


@pytest.mark.parametrize("resumed", [False, True])
def test_the_id_of_a_sweep_agent_is_the_id_that_is_written_down(
    resumed: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SWEEP_ID", "sw33p")
    monkeypatch.setenv("WANDB_RUN_ID", "agent123")
    logger = logger_of("eight")
    id_file = Path("runs/train/eight/wandb_id.txt")
    if resumed:
        id_file.write_text("before12")
    assert logger.experiment.id == "agent123"
    logger.finish()
    assert id_file.read_text() == "agent123"
    assert len(list(tmp_path.glob("wandb/offline-run-*-agent123"))) == 1


def test_a_resumed_run_continues_the_same_wandb_run(tmp_path: Path) -> None:
    ids = set()
    for step in (3, 4):
        logger = logger_of("nine")
        logger.log_metrics({"val/loss": 1 / step}, step=step)
        ids.add(logger.version)
        logger.finish()
        time.sleep(1)  # W&B names its folders by the second
    pieces = sorted(tmp_path.glob("wandb/offline-run-*"))
    assert len(ids) == 1
    assert [read_back(piece)["summary"]["val/loss"] for piece in pieces] == [1 / 3, 1 / 4]
    assert logger.how_to_view()[1].startswith(f"wandb sync wandb/{pieces[0].name} wandb/{pieces[1].name} ")


def test_discarding_deletes_what_this_attempt_wrote_and_nothing_else(tmp_path: Path) -> None:
    first = logger_of("ten")
    first.log_metrics({"val/loss": 0.5}, step=0)
    first.finish()
    (piece,) = tmp_path.glob("wandb/offline-run-*")
    second = logger_of("ten")
    second.log_metrics({"val/loss": 0.25}, step=1)
    second.discard()
    assert list(tmp_path.glob("wandb/*run-*")) == [piece]  # and no link that leads nowhere
    assert Path("runs/train/ten/wandb_id.txt").read_text() == first.version
    third = logger_of("eleven")
    third.log_metrics({"val/loss": 0.25}, step=1)
    third.discard()
    assert list(tmp_path.glob("wandb/*run-*")) == [piece]
    assert list(Path("runs/train/eleven").iterdir()) == []


class AgreeableServer(BaseHTTPRequestHandler):
    """As much of a W&B server as it takes to begin a run online."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = (json.loads(body).get("variables") or {}) if self.path == "/graphql" else {}
        project = {"id": "p", "name": "test", "entity": {"id": "e", "name": "me"}}
        bucket = {"id": "r", "name": asked.get("name"), "config": "{}", "project": project, "historyLineCount": 0}
        text = json.dumps({"data": {"upsertBucket": {"bucket": bucket, "inserted": True}}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_PUT = do_POST

    def log_message(self, *arguments: object) -> None:
        """Print nothing."""


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[SafeWandbLogger, ThreadingHTTPServer]]:
    """A run that has begun online, and its server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), AgreeableServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(wandb_run, "SECONDS_TO_FINISH", 1)
    monkeypatch.setattr(wandb_run, "SECONDS_TO_CONNECT", 4)
    logger = logger_of("online")
    assert not logger.experiment.offline
    yield logger, server
    server.shutdown()
    server.server_close()


def test_resuming_without_network_keeps_what_was_not_uploaded(
    online: tuple[SafeWandbLogger, ThreadingHTTPServer], tmp_path: Path
) -> None:
    first, server = online
    first.log_metrics({"val/loss": 0.5}, step=0)
    server.shutdown()
    server.server_close()
    first.finish()
    (piece,) = tmp_path.glob("wandb/run-*")
    time.sleep(1)
    second = logger_of("online")
    second.log_metrics({"val/loss": 0.25}, step=1)
    second.finish()
    (offline,) = tmp_path.glob("wandb/offline-run-*")
    assert second.version == first.version
    assert list(tmp_path.glob("wandb/run-*")) == [piece]
    assert [read_back(folder)["summary"]["val/loss"] for folder in (piece, offline)] == [0.5, 0.25]


def test_a_network_that_is_lost_during_a_run_costs_one_warning(
    online: tuple[SafeWandbLogger, ThreadingHTTPServer], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logger, server = online
    logger.log_metrics({"val/loss": 0.5}, step=0)
    server.shutdown()
    server.server_close()
    logger.log_metrics({"val/loss": 0.25}, step=1)
    started = time.monotonic()
    logger.finish()
    assert time.monotonic() - started < 10
    (message,) = messages(caplog)
    assert message.startswith("W&B: could not finish (")
    (folder,) = tmp_path.glob("wandb/run-*")
    assert read_back(folder)["summary"]["val/loss"] == 0.25  # what is on this machine is whole
    assert logger.how_to_view()[1].startswith(f"wandb sync wandb/{folder.name}")


def test_a_service_that_dies_during_a_run_costs_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = []

    def dead(*arguments: object) -> None:
        asked.append(arguments)
        raise ConnectionResetError(104, "Connection reset by peer")  # as seen when wandb-core is killed

    logger = logger_of("killed")
    with monkeypatch.context() as patch:
        patch.setattr(type(logger.experiment), "log", dead)
        for step in range(3):
            logger.log_metrics({"val/loss": 0.5}, step=step)
    logger.finish()
    (message,) = messages(caplog)
    assert message.startswith("W&B: stopped recording ([Errno 104] Connection reset by peer)")
    assert len(asked) == 1


def test_processes_other_than_the_first_have_no_wandb_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    logger = logger_of("rank1")
    logger.log_metrics({"val/loss": 0.5}, step=0)
    logger.experiment.log({"x": 1})
    logger.finish()
    assert not logger.works
    assert not (tmp_path / "wandb").exists()


@pytest.mark.parametrize(
    ("options", "environment", "sent"),
    [({}, {}, False), ({"code_diff": True}, {}, True), ({"code_diff": True}, {"WANDB_DISABLE_CODE": "true"}, False)],
)
def test_uncommitted_changes_are_sent_only_on_request(
    options: dict[str, bool],
    environment: dict[str, str],
    sent: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    logger = logger_of("code", **options)
    Path("runs/train/code/code.diff").write_text("+rate = 0.2\n")
    logger.log_metrics({"val/loss": 0.5}, step=0)
    logger.finish()
    found = [path.name for path in tmp_path.glob("wandb/offline-run-*/files/**/*.diff")]
    assert found == (["code.diff"] if sent else [])


def test_without_wandb_a_run_is_kept_in_its_folder(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    logger = logger_of("none")
    logger.log_hyperparams({"seed": 0})
    logger.log_metrics({"val/loss": 0.5}, step=0)
    logger.experiment.anything({"x": 1})
    (message,) = messages(caplog)
    assert message.startswith("W&B: does not work here (")
    assert message.endswith("; this run is recorded in its folder alone")


FIT_WITH_BROKEN_WANDB = """
import logging
from lightning import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from trainwell.loggers.wandb import SafeWandbLogger
logging.basicConfig(level=logging.WARNING, format="%(message)s")
logger = SafeWandbLogger(project="test", run_folder="runs/train/broken")
trainer = Trainer(accelerator="cpu", logger=logger, max_steps=2, log_every_n_steps=1, enable_progress_bar=False)
trainer.fit(BoringModel())
logger.finish()
print("steps", trainer.global_step)
"""


def test_a_broken_wandb_costs_a_training_one_warning(tmp_path: Path) -> None:
    (tmp_path / "wandb.py").write_text("raise TypeError('Descriptors cannot be created directly')")
    ended = subprocess.run(
        [sys.executable, "-c", FIT_WITH_BROKEN_WANDB],
        text=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{TEMPLATE}"},
    )
    assert ended.stdout.strip().endswith("steps 2"), ended.stderr
    assert ended.stderr.count("W&B") == 1
    assert "W&B: does not work here (Descriptors cannot be created directly)" in ended.stderr


def test_the_seeds_of_a_setting_share_a_group_and_settings_do_not() -> None:
    seeds = [
        wandb_run.group_of("baseline", [f"seed={seed}", "+experiment=baseline", "dropout=none"]) for seed in (0, 1)
    ]
    assert seeds == ["baseline dropout=none"] * 2
    assert wandb_run.group_of("baseline", ["seed=0", "+experiment=baseline"]) == "baseline"
    assert len(wandb_run.group_of("train", [f"x{number}=1" for number in range(100)])) == 128


def test_tags_are_task_data_network_and_what_was_typed() -> None:
    choices = {"task": "classification", "data": "digits", "network": "mlp", "activation": "tanh", "logger": "wandb"}
    typed = ["data=digits", "activation=tanh", "logger=wandb", "optimizer.lr=0.1", "+experiment=a"]
    tags = wandb_run.tags_of(typed, choices)
    assert tags == ["task=classification", "data=digits", "network=mlp", "activation=tanh"]
    assert wandb_run.tags_of([], {"task": "x" * 70}) == []


def test_group_tags_and_job_type_are_those_described_or_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logger_of("ten", job_type="train", tags=["mine"])
    logger.describe(["seed=1", "dropout=none"], {"data": "digits", "dropout": "none"}, lambda metric: None)
    run = logger.experiment
    assert (run.group, run.job_type) == ("train dropout=none", "train")
    assert set(run.tags) == {"mine", "data=digits", "dropout=none"}
    logger.finish()
    wandb.teardown()
    monkeypatch.setenv("WANDB_JOB_TYPE", "mine")
    monkeypatch.setenv("WANDB_TAGS", "a,b")
    other = logger_of("eleven", job_type="train")
    other.describe([], {"data": "digits"}, lambda metric: None)
    assert (other.experiment.job_type, set(other.experiment.tags)) == ("mine", {"a", "b"})
    other.finish()


def test_the_summary_has_the_best_value_of_every_metric_with_a_direction(tmp_path: Path) -> None:
    logger = logger_of("twelve")
    directions = {"val/accuracy": True, "val/loss": False}
    logger.describe([], {}, directions.get)
    for step, (accuracy, loss) in enumerate([(0.5, 2.0), (0.9, 1.0), (0.7, 3.0)]):
        logger.log_metrics({"val/accuracy": accuracy, "val/loss": loss, "val/other": accuracy}, step)
    logger.finish()
    (piece,) = tmp_path.glob("wandb/offline-run-*")
    summary = json.dumps(read_back(piece))
    assert '"max": 0.9' in summary
    assert '"min": 1.0' in summary or '"min": 1' in summary
    assert summary.count('"last"') == 2


@pytest.mark.parametrize(("word", "artifacts"), [(True, 1), (False, 0)])
def test_one_word_makes_the_best_weights_an_artifact(
    word: bool, artifacts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logger_of("thirteen", log_model=word)
    weights = Path("runs/train/thirteen/checkpoints/best.ckpt")
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    logged: list[Any] = []
    monkeypatch.setattr(logger.experiment, "log_artifact", lambda artifact, aliases: logged.append((artifact, aliases)))
    logger.finish()
    assert len(logged) == artifacts
    for artifact, aliases in logged:
        assert (artifact.type, aliases, list(artifact.manifest.entries)) == ("model", ["best"], ["best.ckpt"])
