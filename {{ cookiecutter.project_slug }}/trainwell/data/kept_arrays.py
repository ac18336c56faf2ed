"""Arrays that take long to make are made once, and kept in the user's folder for caches."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from zipfile import BadZipFile

import numpy as np
from platformdirs import user_cache_path

from ..rng import preserved_random_states


def kept_arrays(name: str, arrays: Sequence[str], make: Callable[[], dict[str, Any]]) -> dict[str, np.ndarray]:
    """The ``arrays`` that ``make`` has made before under this ``name``, or makes now.

    The global random states are left as they were.
    """
    file = user_cache_path("trainwell") / f"{name}.npz"
    absent_or_damaged = suppress(OSError, EOFError, ValueError, BadZipFile)
    with absent_or_damaged, file.open("rb") as opened, np.load(opened, allow_pickle=False) as kept:
        return dict(kept)
    with preserved_random_states():
        everything = make()
    made = {array: np.asarray(everything[array]) for array in arrays}
    with suppress(OSError):  # where nothing can be written, they are made each time
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(f".{os.getpid()}.npz")
        np.savez(unfinished, allow_pickle=False, **made)
        unfinished.replace(file)
    return made
