"""The races of ``settings.yaml``."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

FOREVER = 1_000_000  # epochs
TABLES: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("settings.yaml").read_text("utf-8"))


@dataclass(frozen=True)
class Setting:
    """What all contestants of a race train on: a network, a batch size, and a number of cores."""

    network: str
    batch_size: int
    overrides: tuple[str, ...] = ()
    data: str = "arrays"
    shape: tuple[int, ...] = (40,)  # of a sample
    steps: int = 50  # of an epoch, and so of a turn
    cores: int = 1
    against: tuple[str, ...] = ("bare", "usual")

    @property
    def title(self) -> str:
        return f"{self.network}, batch {self.batch_size}, {self.cores} core{'s' * (self.cores > 1)}"

    @property
    def folder(self) -> str:
        return re.sub(r"\W+", "_", " ".join([self.title, *self.against]))

    def arguments(self, folder: Path) -> list[str]:
        """The overrides, with random samples in the folder if the data are not the project's own."""
        path = [f"data.path={self.samples(folder / 'samples.npz')}"] if self.data == "arrays" else []
        return [f"data={self.data}", f"data.batch_size={self.batch_size}", *self.overrides, *path]

    def samples(self, path: Path) -> Path:
        """A file of random samples, a quarter as many for validation as for training: speed does not depend on them."""
        if not path.exists():
            count = self.batch_size * self.steps * 5 // 4
            x = np.random.default_rng(0).normal(size=(count, *self.shape)).astype(np.float32)
            np.savez(path, x=x, y=np.arange(count) % 10, x_test=x[:10], y_test=np.arange(10))
        return path


def races(table: str) -> list[Setting]:
    """Those of a table of the file."""
    rows = [{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()} for row in TABLES[table]]
    return [Setting(**row, overrides=tuple(TABLES["networks"][row["network"]].split())) for row in rows]
