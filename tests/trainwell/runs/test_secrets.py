import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import trainwell
import yaml
from omegaconf import OmegaConf
from trainwell.runs.secrets import refuse_secrets, secret_keys


@pytest.mark.parametrize(
    "line",
    [
        "api_key=abc",
        "logger.wandb.apiKey=abc",
        "WANDB_API_KEY=abc",
        "token=supersecret",
        "data.hf_token='abc'",
        "data.password=12345",
        "secrets.database=abc",
        "service={user: me, password: abc}",
        "tokens.refresh_token=abc",
        "api_key=${oc.env:MY_KEY}",
    ],
)
def test_what_looks_like_a_secret_is_refused(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "abc")
    with pytest.raises(ValueError, match="this looks like a secret"):
        refuse_secrets(OmegaConf.from_dotlist(["seed=1", line]))


@pytest.mark.parametrize(
    "line",
    [
        "monkey=large",
        "keyboard=us",
        "network.token_size=4",
        "max_tokens=512",
        "token_pooling=mean",
        "key_dim=64",
        "token=7",
        "pad_token=PAD",
        "start='<token>'",
        "mask.token='[MASK]'",
        "label_key=target",
        "key='some text'",
        "api_key=null",
        "password=",
        "use_secret=false",
    ],
)
def test_what_cannot_be_a_secret_is_left_alone(line: str) -> None:
    refuse_secrets(OmegaConf.from_dotlist([line]))


def test_secrets_deep_in_a_configuration_are_found() -> None:
    config = {
        "seed": 0,
        "logger": {"own": {"api_key": "abc", "retries": 3}},
        "data": [{"password": "x"}, {"path": "y"}],
        "token": None,
    }
    assert secret_keys(config) == ["logger.own.api_key", "data.password"]


def test_a_configuration_with_a_secret_is_refused_without_its_value() -> None:
    with pytest.raises(ValueError, match=r"logger\.own\.api_key: this looks like a secret") as caught:
        refuse_secrets(OmegaConf.create({"logger": {"own": {"api_key": "hunter2"}}}))
    assert "environment variable" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("sweep", [[], ["-m", "seed=0,1"]], ids=["a run", "a sweep"])
@pytest.mark.parametrize("key", ["task.api_key", "hydra.job.env_set.MY_TOKEN"])
def test_a_command_with_a_secret_is_refused_before_anything_is_written(
    key: str, sweep: list[str], project: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    ended = command(*sweep, f"+{key}=hunter2")
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.startswith(f"{key}: this looks like a secret")
    assert "hunter2" not in ended.stdout + ended.stderr
    assert not (project / "runs").exists()


@pytest.mark.parametrize("key", ["task.api_key", "hydra.job.env_set.MY_TOKEN"])
def test_a_run_from_python_with_a_secret_is_refused_before_anything_is_written(key: str, project: Path) -> None:
    with pytest.raises(trainwell.Refused, match=f"^{key}: this looks like a secret"):
        trainwell.train([f"+{key}=hunter2"])
    assert not (project / "runs").exists()


def test_no_configuration_that_is_shipped_looks_like_a_secret(baked: Path) -> None:
    files = list((baked / "configs").rglob("*.yaml"))
    assert len(files) > 50
    for file in files:
        assert secret_keys(yaml.safe_load(file.read_text())) == []
