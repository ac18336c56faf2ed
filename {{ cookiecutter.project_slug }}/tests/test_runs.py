from pathlib import Path

import pytest

from your_package import runs


def made(name: str) -> Path:
    folder = Path("runs") / name
    folder.mkdir(parents=True)
    (folder / "config.yaml").touch()
    return folder


def test_a_run_is_called_by_its_folder_its_short_id_or_latest(empty_folder: Path) -> None:
    old = made("train/2026-01-31_12-00-00_1234e567")
    new = made("a+b/2026-02-01_12-00-00_89abcdef")
    assert runs.find(str(old)) == runs.find(f"{old}/") == runs.find("1234e567") == old
    assert runs.find("latest") == new
    with pytest.raises(ValueError, match="there is no such run"):
        runs.find("other")
    (empty_folder / "own").mkdir()
    with pytest.raises(ValueError, match="no config.yaml"):
        runs.find("own")


def test_a_run_is_called_by_its_path_in_wandb(empty_folder: Path) -> None:
    made("train/2026-01-31_12-00-00_1234e567")
    run = made("train/2026-01-31_12-00-01_89abcdef")
    (run / runs.WANDB_ID).write_text("0f0f0f0f")
    assert runs.find("me/project/0f0f0f0f") == runs.find("me/project/runs/0f0f0f0f") == run
    assert runs.find("https://wandb.ai/me/project/runs/0f0f0f0f?nw=1") == run
    with pytest.raises(ValueError, match="there is no such run"):
        runs.find("me/project/ffffffff")
