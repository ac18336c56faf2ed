"""A table by real commands: trained, predicted as it was trained, folded, and refused before training."""

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from trainwell.inference.predict import predict_file
from trainwell.runs.load import load_run

Command = Callable[..., subprocess.CompletedProcess[str]]
RUN = ("data=table", "data.path=own.csv", "data.target=species", "trainer=smoke", "scheduler=constant")
RUN += ("network.width=8", "logger=none")


def table(seed: int = 0, count: int = 120) -> pandas.DataFrame:
    generator = np.random.default_rng(seed)
    size = generator.normal(50, 10, count)
    colour = generator.choice(["red", "green"], count)
    species = np.where(size + 20 * (colour == "red") > 60, "setosa", "virginica")
    size[::7] = np.nan
    return pandas.DataFrame({"size": size, "colour": colour, "plot": np.arange(count) // 6, "species": species})


def ended(run: subprocess.CompletedProcess[str], status: int = 0) -> str:
    assert run.returncode == status, run.stdout + run.stderr
    return run.stdout + run.stderr


def test_new_rows_are_predicted_with_what_the_run_was_trained_with(project: Path, command: Command) -> None:
    table().to_csv("own.csv", index=False)
    ended(command(*RUN, "data.split.group=plot"))
    new = table(seed=1, count=40)[["colour", "size"]].assign(note="no input")
    new.loc[0, "colour"] = "teal"
    new.to_csv("new.csv", index=False)
    run = load_run("latest")
    with torch.no_grad():
        expected = run.task(torch.from_numpy(run.data.fitted.encoder(new))).softmax(dim=-1).numpy()

    table(seed=2).assign(size=1e6, colour="blue").to_csv("own.csv", index=False)  # not what it was trained on
    said = ended(command("predict", "run=latest", "input=new.csv", "output=out.csv", trainwell=True))
    assert "new.csv: column colour has values that no train row has, such as 'teal'" in said
    found = pandas.read_csv("out.csv")
    assert [*found] == ["sample", "prediction", "confidence", "probability_setosa", "probability_virginica"]
    assert found.iloc[:, 3:].to_numpy() == pytest.approx(expected, abs=1e-6)
    assert found["prediction"].tolist() == [["setosa", "virginica"][place] for place in expected.argmax(axis=1)]
    (project / "own.csv").unlink()
    predict_file(run.folder, "new.csv", "again.csv")
    assert Path("again.csv").read_text() == Path("out.csv").read_text()

    for text, fault in {
        "size,plot\n1,2\n": "new.csv has no column colour; it has size, plot",
        "50,60\n50,60\n": "new.csv has no column size, colour; it has 50, 60",
        "size,colour\n50,red\nbig,red\n": "new.csv: row 1, column size: 'big' is no number",
        "size,colour\n": "new.csv has no rows",
    }.items():
        Path("new.csv").write_text(text)
        with pytest.raises(ValueError, match=r"^new.csv") as refusal:
            predict_file(run.folder, "new.csv", "out.csv")
        assert fault in str(refusal.value)


def test_a_run_is_not_resumed_on_other_rows(project: Path, command: Command) -> None:
    table().to_csv("own.csv", index=False)
    ended(command(*RUN))
    table(seed=3).to_csv("own.csv", index=False)
    said = ended(command("resume=latest", "trainer.max_epochs=14"), status=2)
    assert said.startswith("data.path holds other rows than when the run began; a run is resumed with the same table")
    (run,) = Path("runs/train").iterdir()
    assert (run / "summary.json").exists()
    table().to_csv("own.csv", index=False)
    ended(command("resume=latest", "trainer.max_epochs=14"))


@pytest.mark.slow
def test_folds_are_one_group_with_mean_and_deviation(project: Path, command: Command) -> None:
    table().to_csv("own.csv", index=False)
    ended(command("-m", *RUN, "data.fold=0,1,2", "data.folds=3", "data.drop=[plot]"))
    said = ended(command("compare", "runs/train", trainwell=True))
    assert "3 runs in 1 group" in said
    assert said.count("±") >= 2


REFUSED = {
    "names": (
        ("data.target=kind", "data.drop=[nothing]", "data.split.group=patient"),
        ["data.target: own.csv has no column kind", "data.drop: own.csv has no", "data.split.group: own.csv has no"],
    ),
    "columns and targets": (
        ("data.target=rare",),
        ["data.path: column born holds dates", "data.target=rare: every class needs 3 rows or more"],
    ),
    "the configuration alone": (
        ("data.fold=5", "data.split.group=plot", "data.split.time=born", "data.split.column=species"),
        [
            "data.split.column and data.split.group are two ways to split",
            "data.split.group and data.split.time are two ways to split",
            "data.fold must be below data.folds, 5, got 5",
        ],
    ),
    "what a fold leaves unused": (
        ("data.fold=1", "data.split.val=0.3"),
        ["data.fold=1 chooses the validation samples, so data.split.val=0.3 would be ignored"],
    ),
    "what a column leaves unused": (
        ("data.folds=3", "data.split.column=species", "data.split.test=0.3"),
        [
            "data.folds=3 needs data.fold, 0 or more",
            "data.split.column=species gives the parts, so data.split.test=0.3 would be ignored",
        ],
    ),
    "ranges": (
        ("data.fold=first", "data.folds=1", "data.split.val=1.0", "+data.split.last=3", "data.categories=sum"),
        [
            "data.fold must be 0 or more, got first",
            "data.folds must be 2 or more, got 1",
            "data.split.val must be in (0,",
            "data.split.last: nothing reads such a key",
            "data.categories must be onehot or embed, got sum",
        ],
    ),
    "label noise": (
        ("data.targets=numbers", "data.label_noise=0.1"),
        ["data.label_noise must be 0 where the targets are"],
    ),
}


@pytest.mark.parametrize(("keys", "sentences"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_trained_on_is_refused_together(
    keys: tuple[str, ...],
    sentences: list[str],
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    days = [f"2026-01-{day % 28 + 1:02}" for day in range(120)]
    table().assign(born=days, rare=["x"] * 119 + ["y"]).to_csv("own.csv", index=False)
    monkeypatch.setattr(sys, "argv", ["train.py", *RUN, *keys])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(project / "train.py"), run_name="__main__")
    said = capsys.readouterr().err
    assert ended.value.code == 2, said
    for sentence in sentences:
        assert sentence in said
    assert not Path("runs").exists()
