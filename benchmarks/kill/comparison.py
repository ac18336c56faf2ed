"""What a run leaves in its folder, and how it differs from what another one leaves."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pandas import read_csv

NOT_REPRODUCIBLE = ("seconds", "samples_per_second", "epoch_start", "dirpath")  # times and places


def left_by(folder: Path) -> dict[str, Any]:
    """All that the run in ``folder`` leaves, but for times and places: each value, or a hash of it, with its name."""
    (end,) = (path for path in folder.glob("runs/*/*/summary.json"))
    run = end.parent
    summary = json.loads(end.read_text())
    summary["command"] = re.sub(r"max_time=\S+", "max_time=", summary["command"])
    rows = read_csv(run / "metrics.csv", dtype=str).filter(regex="^(?!throughput/)").to_dict("records")
    left = dict(leaves({"summary.json": summary, "metrics.csv": rows}, run))
    for name in ("last.ckpt", "best.ckpt"):
        state = torch.load(run / "checkpoints" / name, map_location="cpu", weights_only=True)
        state["resume"] = state.get("resume", {}).get("ranks")  # random states and metrics; the rest was compared
        left |= leaves(state, run, name)
    return left


def leaves(value: Any, run: Path, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value within dicts and lists with its path; of a tensor a hash."""
    if isinstance(value, torch.Tensor):
        yield path, hashlib.sha256(value.contiguous().view(-1).view(torch.uint8).numpy().tobytes()).hexdigest()
    elif isinstance(value, dict | list | tuple):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            if key not in NOT_REPRODUCIBLE:
                yield from leaves(part, run, f"{path} {without_place(key, run)}".strip())
    else:
        yield path, without_place(value, run)


def without_place(value: Any, run: Path) -> str:
    return str(value).replace(str(run.resolve()), "RUN").replace(f"runs/{run.parent.name}/{run.name}", "RUN")


def differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    names = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
    return [f"{name}: {expected.get(name)!s:.80} became {found.get(name)!s:.80}" for name in names]
