import json
from pathlib import Path

import pytest
from lightning import Trainer

from your_package import run_folder
from your_package.recording import Recording


def test_a_hundred_names_chosen_at_once_are_all_different() -> None:
    assert len({run_folder.name([]) for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("overrides", "experiment"),
    [
        ([], None),
        (["seed=1"], None),
        (["+experiment=a"], "a"),
        (["seed=1", "+experiment=[a,b]"], "a+b"),
        (["+experiment=deep/a"], "deep-a"),
    ],
)
def test_a_folder_is_named_after_the_experiment(overrides: list[str], experiment: str | None) -> None:
    assert run_folder.experiment_name(overrides) == experiment
    assert run_folder.name(overrides).parent == Path("runs", experiment or "train")


def test_the_other_processes_of_a_run_are_given_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_folder.name([])
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert run_folder.name([]) == first


def test_a_folder_that_exists_is_never_shared(compose, empty_folder: Path) -> None:
    config = compose()
    config.run_folder = str(empty_folder / "taken")
    (empty_folder / "taken").mkdir()
    with pytest.raises(FileExistsError), Recording(config, Trainer(logger=False, accelerator="cpu")):
        raise AssertionError("entered")
    assert not any((empty_folder / "taken").iterdir())


def test_a_summary_is_written_whole_and_replaces_the_old_one(tmp_path: Path) -> None:
    for seconds in (1, 2):
        run_folder.write_summary(tmp_path, {"seconds": seconds})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"seconds": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]
