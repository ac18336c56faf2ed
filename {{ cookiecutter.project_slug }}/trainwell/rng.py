"""The states of all random number generators that a training draws from: saved, restored, preserved."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def random_states() -> dict[str, Any]:
    """The states of torch (on every device), numpy and Python, as tensors and plain numbers."""
    state: Any = np.random.get_state()
    name, key, *rest = state
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "numpy": [name, key.tolist(), *rest],
        "python": random.getstate(),
    }


def set_random_states(states: dict[str, Any]) -> None:
    """Restore what ``random_states`` has returned; of devices, those that there are here."""
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available():
        for device, state in enumerate(states["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(state, device)
    np.random.set_state(tuple(states["numpy"]))
    random.setstate(states["python"])


@contextmanager
def preserved_random_states() -> Iterator[None]:
    """Undo what the block does to the global random states."""
    states = random_states()
    try:
        yield
    finally:
        set_random_states(states)
