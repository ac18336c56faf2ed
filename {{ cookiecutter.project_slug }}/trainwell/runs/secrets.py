"""Keep passwords, tokens and keys out of what a run writes: its configuration, its command, W&B."""

import re
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

SECRET = re.compile(r".*(passwords?|passwd|passphrase|secrets?|credentials?|apikeys?)")
QUALIFIERS = {"access", "api", "auth", "bearer", "private", "refresh"}  # a key or token of this kind is a secret
HARMLESS = re.compile(  # a key or token of this kind is not
    "batch|blank|bos|class|cls|column|data|dict|end|eos|foreign|group|image|index|input|join|label|mask|output|pad|"
    "primary|prompt|public|query|sep|sort|special|start|target|text|unk|value"
)


def refuse_secrets(config: DictConfig, hydra: DictConfig | None = None) -> None:
    """Refuse to write a configuration, or Hydra's own beside it, that holds a secret or looks one up.

    The configuration is written resolved, Hydra's as it is. A masked configuration could not be resumed.

    Raises: ValueError: a key that is named like a secret has a value.
    """
    found = secret_keys(OmegaConf.to_container(config, resolve=True))
    if hydra is not None:
        found += secret_keys(OmegaConf.to_container(hydra), ("hydra",))
    if found:
        raise ValueError(
            f"{', '.join(found)}: this looks like a secret, and a run's configuration is written to files and loggers; "
            "read it from an environment variable in your code instead"
        )


def secret_keys(config: Any, path: tuple[str, ...] = ()) -> list[str]:
    """The dotted keys under which a nested configuration holds what looks like a secret."""
    if isinstance(config, dict):
        return [found for key, value in config.items() for found in secret_keys(value, (*path, str(key)))]
    if isinstance(config, list | tuple):
        return [found for value in config for found in secret_keys(value, path)]
    return [".".join(path)] if is_secret(path, config) else []


def is_secret(path: Sequence[str], value: Any) -> bool:
    """Judge by the names, and by whether the value can be a secret at all.

    ``password``, ``secret`` and the like count anywhere in the path, ``key`` and ``token`` as the last word of the last
    name: ``api_key`` and ``hf_token`` are secrets, ``monkey``, ``token_size``, ``label_key`` and ``pad_token`` are not.
    """
    text = "" if value is None or isinstance(value, bool) else str(value)
    if text in ("", "???"):
        return False
    if any(SECRET.fullmatch(word) for name in path for word in words(name)):
        return True
    last = words(path[-1]) if path else []
    if not isinstance(value, str) or not last or re.search(r"\s|^[<\[].*[>\]]$", text):
        return False
    if QUALIFIERS.intersection(last):
        return any(re.fullmatch("(key|token)s?", word) for word in last)
    return re.fullmatch(r"key|\w*token", last[-1]) is not None and not any(map(HARMLESS.fullmatch, last))


def words(name: str) -> list[str]:
    """Split ``wandbApiKey`` and ``WANDB_API_KEY_2`` into lower-case words."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
