"""Find a run by its name."""

from pathlib import Path

from ..loggers.wandb_run import WANDB_ID_FILE

NAMES = "its folder, the short id at the folder's end, latest, or its W&B path (entity/project/id)"


def find(name: str) -> Path:
    """The folder of the run that ``name`` names: a folder, the short id at its end, ``latest``, or a W&B path.

    Raises: ValueError: there is no such run.
    """
    folder = Path(name)
    try:
        if folder.is_dir():
            if not (folder / "config.yaml").is_file():
                raise ValueError(f"{name} is not a run folder: it has no config.yaml")
            return folder
    except OSError as error:  # such as a name that no file can have
        raise ValueError(f"this cannot be a run folder ({error.strerror}); a run is named by {NAMES}") from error
    runs = sorted((path.parent for path in Path("runs").glob("*/*/config.yaml")), key=lambda run: run.name)
    if name != "latest":
        in_wandb = name.partition("?")[0].rstrip("/").rpartition("/")[2]  # of entity/project/id, or of a page's address
        runs = [run for run in runs if run.name.endswith(f"_{name}") or wandb_id(run) == in_wandb]
    if not runs:
        raise ValueError(f"there is no such run in runs/; a run is named by {NAMES}")
    return runs[-1]


def wandb_id(run: Path) -> str | None:
    path = run / WANDB_ID_FILE
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
