"""The checkpoint to resume from, and what is refused before training continues."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule
from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import DictConfig, OmegaConf
from trainwell.callbacks.resumable_checkpoint import LAST, NEXT, PREVIOUS
from trainwell.runs.checkpoint_io import AtomicCheckpointIO
from trainwell.runs.restore import localize_checkpoint_state, resume_point


class Linear(LightningModule):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(width, 2)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DictConfig:
    monkeypatch.chdir(tmp_path)
    run = Path("runs/train/one")
    (run / "checkpoints").mkdir(parents=True)
    trainer = {"max_epochs": 3, "callbacks": ["a", "b"]}
    return OmegaConf.create({"run_folder": str(run), "optimizer": {"lr": 0.1}, "trainer": trainer})


def save(config: DictConfig, name: str, step: int, **changed: Any) -> Path:
    resume = {"config": OmegaConf.to_container(config), "rows": 2 * step, "columns": 5, "seconds": 0.5, "ranks": [{}]}
    content = {
        "state_dict": Linear().state_dict(),
        "global_step": step,
        "callbacks": {},
        "resume": resume,
    }
    path = Path(config.run_folder) / "checkpoints" / name
    AtomicCheckpointIO().save_checkpoint(content | changed, path)
    return path


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def test_the_newest_whole_checkpoint_is_taken(config: DictConfig) -> None:
    assert resume_point(config, Linear()).path is None
    previous, last = save(config, PREVIOUS, 1), save(config, LAST, 2)
    point = resume_point(config, Linear())
    assert (point.path, point.step, point.rows, point.columns, point.seconds) == (last, 2, 4, 5, 0.5)
    assert point.passed_over == ()
    damage(last)
    point = resume_point(config, Linear())
    assert point.path == previous
    assert [f"{last} cannot be read" in reason for reason in point.passed_over] == [True]


def test_a_checkpoint_that_a_kill_kept_from_its_name_is_given_it(config: DictConfig) -> None:
    last = save(config, LAST, 1)
    save(config, NEXT, 2)
    assert (resume_point(config, Linear()).path, resume_point(config, Linear()).step) == (last, 2)
    assert {path.name for path in last.parent.iterdir()} == {LAST, PREVIOUS}


def test_if_no_checkpoint_can_be_read_each_is_named(config: DictConfig) -> None:
    damage(save(config, LAST, 2))
    save(config, PREVIOUS, 1, resume={"rows": "many"})
    with pytest.raises(ValueError, match="there is no checkpoint to resume from") as refusal:
        resume_point(config, Linear())
    assert "last.ckpt cannot be read" in str(refusal.value)
    assert "previous.ckpt was not written by this project" in str(refusal.value)
    assert "python train.py reproduce=runs/train/one" in str(refusal.value)


def test_what_would_not_lead_to_the_same_result_is_refused(config: DictConfig) -> None:
    save(config, LAST, 2)
    config.trainer.update({"max_epochs": 9, "max_time": "00:01:00:00"})
    resume_point(config, Linear())
    with pytest.raises(ValueError, match=r"linear.weight was \(2, 3\), is \(2, 4\)"):
        resume_point(config, Linear(4))
    config.optimizer.lr = 0.2
    with pytest.raises(ValueError, match=r"optimizer\.lr was 0\.1, is 0\.2"):
        resume_point(config, Linear())


def model_checkpoint(folder: str) -> dict[str, Any]:
    return {
        "dirpath": folder,
        "best_model_path": f"{folder}/best.ckpt",
        "kth_best_model_path": "",
        "last_model_path": f"{folder}/val/loss=0.5.ckpt",
        "best_k_models": {f"{folder}/best.ckpt": torch.tensor(0.5)},
        "best_model_score": torch.tensor(0.5),
    }


@pytest.mark.parametrize("project", ["/somewhere/else", "C:\\old\\place", "."])
@pytest.mark.parametrize("below", ["checkpoints", "checkpoints/checkpoints", "top"])
def test_checkpoints_of_a_project_that_was_moved_are_found(project: str, below: str, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "train" / "one"
    moved = localize_checkpoint_state(model_checkpoint(f"{project}/runs/train/one/{below}"), run / "checkpoints")
    assert moved == model_checkpoint(str(run / below))


@pytest.mark.parametrize("victim", ["thesis", "thesis/chapter.tex", "runs/train/two/checkpoints/best.ckpt"])
def test_nothing_outside_the_run_folder_is_deleted_on_resume(victim: str, config: DictConfig, tmp_path: Path) -> None:
    path = tmp_path / victim
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    checkpoints = Path(config.run_folder) / "checkpoints"
    state = {**model_checkpoint(str(checkpoints.resolve())), "best_model_path": str(path), "best_k_models": {}}
    state["best_k_models"] = {str(path): torch.tensor(0.5)}
    callback = ModelCheckpoint(dirpath=checkpoints.resolve())
    callback.load_state_dict(localize_checkpoint_state(state, checkpoints))
    for named in (callback.best_model_path, *callback.best_k_models):
        assert named == str(checkpoints.resolve() / path.name)
        AtomicCheckpointIO().remove_checkpoint(named)
    assert path.exists()


@pytest.mark.parametrize("key", ["best_model_path", "kth_best_model_path", "last_model_path", "best_k_models"])
@pytest.mark.parametrize(
    "path",
    [
        "..",
        "/",
        "/x/..",
        "checkpoints/..",
        "runs/train/one/../two/best.ckpt",
        "one/checkpoints/../../two",
        "runs/train/one",
        "runs/train/one/checkpoints",
        "link.ckpt",
        "a\0b",
    ],
)
def test_a_path_that_leads_out_of_the_run_folder_is_refused(key: str, path: str, config: DictConfig) -> None:
    checkpoints = Path(config.run_folder) / "checkpoints"
    Path("thesis").mkdir()
    (checkpoints / "link.ckpt").symlink_to(Path("thesis").resolve())
    state = {key: {path: 0.5} if key == "best_k_models" else path}
    with pytest.raises(ValueError, match="which is no checkpoint of this run"):
        localize_checkpoint_state(state, checkpoints)
    save(config, LAST, 2, callbacks={"whatever key": state})
    with pytest.raises(ValueError, match="which is no checkpoint of this run"):
        resume_point(config, Linear())


def test_a_folder_of_checkpoints_that_is_a_link_is_refused(config: DictConfig) -> None:
    checkpoints = Path(config.run_folder) / "checkpoints"
    checkpoints.rmdir()
    Path("thesis").mkdir()
    checkpoints.symlink_to(Path("thesis").resolve())
    with pytest.raises(ValueError, match="which is no checkpoint of this run"):
        localize_checkpoint_state({"best_model_path": "chapter.tex"}, checkpoints)


@pytest.mark.parametrize("state", [{}, {"wait_count": 1}, None, [1], {"dirpath": None, "best_model_path": ""}])
def test_the_state_of_other_callbacks_is_left_alone(state: Any, tmp_path: Path) -> None:
    assert localize_checkpoint_state(state, tmp_path / "checkpoints") == state
