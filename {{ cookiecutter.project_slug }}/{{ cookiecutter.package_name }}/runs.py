"""Runs that are there already, found by name."""

from pathlib import Path

CALLED = "called by its folder, the short id at its end, latest, or its W&B path (entity/project/id)"
WANDB_ID = "wandb_id.txt"  # in a run folder: the id under which W&B knows the run


def find(name: str) -> Path:
    """The folder of a run: given as such, by the short id at its end, as ``latest``, or by its path in W&B.

    Raises: ValueError: there is none.
    """
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "config.yaml").is_file():
            raise ValueError(f"{name} is not a run folder that could be taken up: it has no config.yaml")
        return folder
    known = sorted((path.parent for path in Path("runs").glob("*/*/config.yaml")), key=lambda run: run.name)
    if name != "latest":
        known = [run for run in known if run.name.endswith(f"_{name}") or id_in_wandb(run) == id_of(name)]
    if not known:
        raise ValueError(f"there is no such run in runs/; a run is {CALLED}")
    return known[-1]


def id_in_wandb(run: Path) -> str | None:
    path = run / WANDB_ID
    return path.read_text(encoding="utf-8") if path.exists() else None


def id_of(name: str) -> str:
    """Of ``entity/project/id``, or the address of a run's page."""
    return name.partition("?")[0].rstrip("/").rpartition("/")[2]
