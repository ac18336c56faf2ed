from pathlib import Path

import pytest
from trainwell.loggers.wandb_run import WANDB_ID_FILE
from trainwell.runs.find import find


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(name: str) -> Path:
    folder = Path("runs") / name
    folder.mkdir(parents=True)
    (folder / "config.yaml").touch()
    return folder


def test_a_run_is_found_by_its_folder_its_short_id_or_latest(empty_folder: Path) -> None:
    old = made("train/2026-01-31_12-00-00_1234e567")
    new = made("a+b/2026-02-01_12-00-00_89abcdef")
    assert find(str(old)) == find(f"{old}/") == find("1234e567") == old
    assert find("latest") == new
    with pytest.raises(ValueError, match="there is no such run"):
        find("other")
    (empty_folder / "own").mkdir()
    with pytest.raises(ValueError, match=r"no config\.yaml"):
        find("own")


def test_a_run_is_found_by_its_path_in_wandb() -> None:
    made("train/2026-01-31_12-00-00_1234e567")
    run = made("train/2026-01-31_12-00-01_89abcdef")
    (run / WANDB_ID_FILE).write_text("0f0f0f0f")
    assert find("me/project/0f0f0f0f") == find("me/project/runs/0f0f0f0f") == run
    assert find("https://wandb.ai/me/project/runs/0f0f0f0f?nw=1") == run
    with pytest.raises(ValueError, match="there is no such run"):
        find("me/project/ffffffff")


@pytest.mark.parametrize("name", ["x" * 5000, "a/" * 3000, "a\0b", "../" * 50 + "nowhere", "*", "[", "\x1b[31m", "😀"])
def test_an_odd_name_is_answered_with_a_sentence(name: str) -> None:
    made("train/2026-01-31_12-00-00_1234e567")
    with pytest.raises(ValueError, match="a run is named by its folder"):
        find(name)
