from pathlib import Path

import pytest
import yaml
from trainwell.runs.secrets import refuse_secrets, secret_keys


@pytest.mark.parametrize(
    "override",
    [
        "+api_key=abc",
        "+logger.wandb.apiKey=abc",
        "WANDB_API_KEY=abc",
        "token=supersecret",
        "++data.hf_token='abc'",
        "data.password=12345",
        "+secrets.database=abc",
        "+service={user: me, password: abc}",
        "+tokens.refresh_token=abc",
        "+api_key=${oc.env:MY_KEY}",
    ],
)
def test_what_looks_like_a_secret_is_refused(override: str) -> None:
    with pytest.raises(ValueError, match="this looks like a secret"):
        refuse_secrets({}, ["seed=1", override])


@pytest.mark.parametrize(
    "override",
    [
        "+monkey=large",
        "+keyboard=us",
        "network.token_size=4",
        "+max_tokens=512",
        "+token_pooling=mean",
        "+key_dim=64",
        "+token=7",
        "+pad_token=PAD",
        "+start='<token>'",
        "+mask.token='[MASK]'",
        "+label_key=target",
        "+key='some text'",
        "+api_key=null",
        "+password=",
        "+use_secret=false",
        "~callbacks.token",
        "seed=0,1,2",
    ],
)
def test_what_cannot_be_a_secret_is_left_alone(override: str) -> None:
    refuse_secrets({}, [override])


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
        refuse_secrets({"logger": {"own": {"api_key": "hunter2"}}}, ["+logger.own.api_key=hunter2"])
    assert "environment variable" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert str(caught.value).count("api_key") == 1


def test_a_secret_in_hydras_own_settings_is_refused() -> None:
    with pytest.raises(ValueError, match=r"hydra\.job\.env_set\.MY_TOKEN"):
        refuse_secrets({"seed": 0}, ["hydra.job.env_set.MY_TOKEN=hunter2"])


def test_no_configuration_that_is_shipped_looks_like_a_secret(baked: Path) -> None:
    files = list((baked / "configs").rglob("*.yaml"))
    assert len(files) > 50
    for file in files:
        refuse_secrets(yaml.safe_load(file.read_text()) or {})
