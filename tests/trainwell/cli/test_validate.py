"""Mistakes on the command line: what is answered, and that nothing heavy is imported or left behind before."""

import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]

MISTAKES = {
    "a wrong word": (["activation=relo"], ["activation=relo", "leaky_relu", "did you mean activation=relu?"]),
    "a wrong key": (["dropout.rat=0.1"], ["there is no key dropout.rat", "did you mean dropout.rate?"]),
    "a wrong group": (["optimiser=sgd"], ["there is no key optimiser", "did you mean optimizer?"]),
    "a wrong type": (["dropout.rate=abc"], ["dropout.rate must be a number, got abc"]),
    "a way to compile that there is not": (["compile=jit"], ["compile must be true or false or graph, got jit"]),
    "a plus too many": (["+seed=1"], ["+seed=1: there is such a key already; type seed=1"]),
    "several values": (["seed=0,1"], ["seed=0,1: several values are several runs; type -m before them"]),
    "a key of another group": (["network.depth=3"], ["did you mean residual.depth?"]),
    "an experiment of the gallery": (["+experiment=saturation"], ["did you mean +experiment=gallery/saturation?"]),
    "a word alone": (["relu"], ["relu: type KEY=VALUE"]),
    "a number that is not whole": (["network.width=1.5"], ["network.width must be a whole number, got 1.5"]),
    "keys that their targets do not take": (
        ["+trainer.no=1", "+optimizer.nor.this=2", "seed=x"],
        [
            "trainer.no: lightning.Trainer has no such argument",
            "optimizer.nor: torch.optim.AdamW has no such argument",
            "seed must be",
        ],
    ),
    "a key of another option": (
        ["dropout=none", "dropout.rate=0.3", "data.path=x.csv"],
        [
            "dropout.rate=0.3: there is no key dropout.rate here; it belongs to dropout=standard, ",
            "data.path=x.csv: there is no key data.path here; it belongs to data=arrays, data=images, data=table",
        ],
    ),
    "blanks": (["optimizer.lr", "=", "0.1"], ["=: type KEY=VALUE, without blanks", "0.1: type KEY=VALUE"]),
    "an option of other programs": (["--activation", "tanh"], ["--activation: there is no such option; settings are"]),
    "a word for a list": (
        ["data=table", "data.path=a.csv", "data.target=b", "data.drop=id"],
        ["data.drop must be a list"],
    ),
    "a value out of range": (["dropout.rate=1.5"], ["dropout.rate must be in [0, 1), got 1.5"]),
    "a folder for the run": (["run_folder=here"], ["run_folder cannot be chosen", "got here"]),
    "a missing value": (["dropout.rate="], ["dropout.rate must be a number, got nothing"]),
    "an experiment without a plus": (["experiment=baseline"], ["type +experiment=baseline"]),
    "an unknown experiment": (["+experiment=baselin"], ["did you mean +experiment=baseline?"]),
    "an experiment of the gallery that there is not": (
        ["+experiment=gallery/saturatoin"],
        ["did you mean +experiment=gallery/saturation?"],
    ),
    "a part of a key": (["epochs=5"], ["there is no key epochs; did you mean trainer.max_epochs?"]),
    "a group that there is not": (["+experimnt=baseline"], ["experimnt: nothing reads such a key; did you mean exper"]),
    "a search": (["+search=basics"], ["a search is for another command; type trainwell tune +search=basics"]),
    "an unknown experiment in a stack": (["+experiment=[baseline,nothing]"], ["experiment is one of", "baseline,"]),
    "a key that nothing reads": (["+dropout.slope=1"], ["dropout.slope: nothing reads such a key"]),
    "decay that the optimizer couples": (["weight_decay=decoupled", "optimizer=adam"], ["type optimizer=adamw"]),
    "patience that never runs out": (
        ["trainer.max_epochs=5", "callbacks.early_stopping.patience=6"],
        ["callbacks.early_stopping.patience", "~callbacks"],
    ),
    "patience in shares of an epoch": (
        ["trainer.max_epochs=5", "+trainer.val_check_interval=0.5", "callbacks.early_stopping.patience=11"],
        ["the number of validations, 10 in 5 epochs", "got 11"],
    ),
    "epochs without end": (["trainer.max_epochs=-1"], ["trainer.max_epochs=-1 needs", "type +trainer.max_steps="]),
    "no number of steps": (
        ["+trainer.max_steps=many", "trainer.max_epochs=5", "callbacks.early_stopping.patience=11"],
        ["trainer.max_steps must be a whole number, got many"],
    ),
    "no epoch": (["trainer.max_epochs=0"], ["trainer.max_epochs must be 1 or more, or -1 beside trainer.max_steps"]),
    "a word for a share": (
        ["trainer=smoke", "trainer.limit_train_batches=half"],
        ["trainer.limit_train_batches must be a number, got half"],
    ),
    "a monitor that nobody logs": (["monitor=val/kappa"], ["monitor must be one of train/loss", "got val/kappa"]),
    "a callback that is null": (["callbacks.early_stopping=null"], ["type ~callbacks.early_stopping"]),
    "data without a path": (["data=arrays"], ["data.path must be given"]),
    "data that is not there": (["data=arrays", "data.path=none.npz"], ["data.path must be a file that exists"]),
    "a technique that cannot reach in": (
        ["network=custom", "network.factory=torch.nn.Linear", "activation=gelu"],
        ["activation=gelu would be ignored"],
    ),
    "groups that a task of one's own does not read": (
        ["~task", "+task._target_=my_network.tasks.own.Own", "optimizer.lr=0.1", "activation=tanh"],
        [
            "optimizer is not used by this task, so optimizer.lr=0.1 would be ignored",
            "activation=tanh would be ignored",
        ],
    ),
    "a momentum that is taken over": (
        ["scheduler=one_cycle", "optimizer=sgd", "optimizer.momentum=0.5"],
        ["optimizer.momentum would be ignored"],
    ),
    "a loss that does not suit the task": (
        ["task=regression", "loss=focal"],
        ["loss=focal is for classes, and this task has numbers; leave it out, or type task=classification"],
    ),
    "a bar that stays": (["trainer.enable_progress_bar=false"], ["type ~callbacks.progress_bar"]),
    "a penalty of a part of the batch": (
        ["weight_decay=sklearn", "trainer.accumulate_grad_batches=2"],
        ["type weight_decay=l2"],
    ),
    "a job of a sweep": (["-m", "dropout.rate=0.1,2"], ["dropout.rate must be in [0, 1), got 2"]),
    "a word in a sweep": (["-m", "activation=relu,tanhh"], ["did you mean activation=tanh?"]),
    "several at once": (
        ["activation=relo", "dropout.rat=0.1", "optimizer.lr=-1", "seed=abc"],
        ["activation=relo", "dropout.rat", "optimizer.lr must be above 0, got -1", "seed must be a whole number"],
    ),
}


@pytest.mark.parametrize(("arguments", "said"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_gets_a_readable_message_and_status_2(
    arguments: list[str],
    said: list[str],
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(project / "train.py"), run_name="__main__")
    answer = capsys.readouterr().err
    assert ended.value.code == 2, answer
    for words in said:
        assert words in answer
    assert not (project / "runs").exists()


@pytest.mark.parametrize("case", ["a job of a sweep", "several at once"])
def test_a_process_ends_with_nothing_but_the_message(case: str, command: Command, project: Path) -> None:
    arguments, said = MISTAKES[case]
    ended = command(*arguments)
    assert ended.returncode == 2, ended.stderr
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == len(said)
    assert not (project / "runs").exists()


FILES = {
    "no YAML": ("seed: [1\n", "line 3: invalid YAML: "),
    "a tab": ("\tseed: 1\n", "line 2: invalid YAML: found character '\\t'"),
    "a list": ("- seed\n", "Cannot merge DictConfig with ListConfig"),
    "an unknown option": ("defaults: [override /activation: relo]\n", "Could not find 'activation/relo'"),
    "an unknown reference": ("optimizer: {lr: '${optimizer.rate}'}\n", "optimizer.lr: Interpolation key"),
    "a wrong key": ("trainr: {max_epochs: 3}\n", "trainr.max_epochs: nothing reads such a key"),
}


@pytest.mark.parametrize(("text", "said"), FILES.values(), ids=FILES.keys())
def test_a_mistake_in_a_file_is_answered_like_one_on_the_command_line(
    text: str, said: str, command: Command, project: Path
) -> None:
    file = project / "configs" / "experiment" / "mine.yaml"
    file.write_text(f"# @package _global_\n{text}", encoding="utf-8")
    ended = command("+experiment=mine")
    assert ended.returncode == 2, ended.stderr
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_an_experiment_without_its_package_is_told_how_it_begins(command: Command, project: Path) -> None:
    (project / "configs" / "experiment" / "mine.yaml").write_text("optimizer: {lr: 0.1}\n", encoding="utf-8")
    assert "begins with # @package _global_" in command("+experiment=mine").stderr


def test_a_key_that_is_null_in_its_file_may_get_keys_of_its_own(command: Command) -> None:
    """It is a part of the file, whatever its target does with it."""
    ended = command("--cfg", "job", "optimizer.lr_of={head.*: 0.1}")
    assert "head.*: 0.1" in ended.stdout
    ended = command("optimizer.lr_of={head.*: 0.1}", "seed=x")
    assert ended.stderr.strip() == "seed must be a whole number, got x"


@pytest.mark.parametrize("trainer", ["trainer=gpu", "trainer=smoke", "trainer=ddp"])
def test_arguments_of_the_trainer_take_every_kind_that_lightning_takes(trainer: str, command: Command) -> None:
    typed = ["trainer.devices=[1]", "trainer.limit_train_batches=0.5", "trainer.limit_val_batches=null"]
    ended = command(trainer, *typed, "trainer.max_epochs=-1", "+trainer.max_steps=1000", "seed=x")
    assert ended.stderr.strip() == "seed must be a whole number, got x"


def test_a_training_may_be_shorter_than_the_patience_that_nobody_typed(command: Command) -> None:
    ended = command("trainer.max_epochs=5", "seed=x")
    assert ended.stderr.strip() == "seed must be a whole number, got x"


def test_a_cluster_is_not_asked_for_where_there_is_none(command: Command, project: Path) -> None:
    ended = command("-m", "hydra/launcher=slurm", "seed=0,1", env={"PATH": "/nowhere"})
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("hydra/launcher=slurm needs SLURM, and there is no srun here")
    assert not (project / "runs").exists()


def test_another_folder_of_configurations_is_checked_as_it_is(command: Command, project: Path, tmp_path: Path) -> None:
    configs = shutil.copytree(project / "configs", tmp_path / "configs")
    shutil.copy(configs / "activation" / "relu.yaml", configs / "activation" / "own.yaml")
    ended = command("--config-path", str(configs), "activation=own", "optimizer.lr=-1")
    assert (ended.returncode, ended.stderr.strip()) == (2, "optimizer.lr must be above 0, got -1")


def test_what_lightning_refuses_is_a_mistake_too(command: Command, project: Path) -> None:
    ended = command("trainer.accelerator=tpuu")
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.startswith("trainer: ")
    assert "`accelerator='tpuu'`. Available names are:" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (project / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "run must be given"),
        (["run=nowhere", "split=all"], "split must be train or val or test, got all"),
        (["run=1234e567"], "there is no such run in runs/"),
    ],
)
def test_evaluate_refuses_too(arguments: list[str], said: str, command: Command) -> None:
    ended = command("evaluate", *arguments, trainwell=True)
    assert ended.returncode == 2
    assert said in ended.stderr


def test_help_is_written_for_people(command: Command) -> None:
    ended = command("--help", env={"COLUMNS": "60"})
    assert ended.returncode == 0
    assert "\nhydra:" not in ended.stdout
    groups = ended.stdout.partition("GROUP=OPTION:")[2].partition("Your own")[0]
    assert max(map(len, groups.splitlines())) <= 60
    for words in (
        "activation: elu, gelu, leaky_relu, mish, relu",
        "+experiment=[a,b]",
        "network.factory=",
        "-m seed=0,1,2",
    ):
        assert words in ended.stdout


def test_the_shell_completes_options_and_keys(command: Command) -> None:
    options = command("-sc", "query=bash", env={"COMP_LINE": "train.py activation=le", "COMP_POINT": "22"})
    keys = command("-sc", "query=bash", env={"COMP_LINE": "train.py dropout.r", "COMP_POINT": "18"})
    assert options.stdout.split() == ["activation=leaky_relu"]
    assert keys.stdout.split() == ["dropout.rate="]


@pytest.mark.parametrize(
    "typed",
    [
        "train.py --help",
        "train.py --cfg job",
        "train.py dropout.rate=2",
        "train.py activation=relo",
        "train.py resume=nothing",
        "trainwell export run=a",
        "trainwell doctor dropout.rate=2",
        "trainwell tune +search=basics dropout.rate=2",
        "trainwell --help",
    ],
)
def test_nothing_heavy_is_imported_before_what_was_typed_is_checked(typed: str, project: Path) -> None:
    """Run the command in a process that prints, when it ends, which of the slow libraries it has imported."""
    script, *arguments = typed.split()
    heavy = "torch lightning wandb numpy scipy sklearn mnist1d matplotlib torchmetrics pandas"
    start = 'runpy.run_path("train.py", run_name="__main__")'
    if script == "trainwell":
        start = 'runpy.run_module("trainwell", run_name="__main__")'
    program = f"""
import atexit, runpy, sys
atexit.register(lambda: print("imported:", sorted(set({heavy!r}.split()) & set(sys.modules))))
sys.argv = [{script!r}, *{arguments!r}]
sys.path.insert(0, "")
{start}
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=project, text=True, capture_output=True, timeout=120)
    assert ended.stdout.endswith("imported: []\n"), ended.stdout + ended.stderr
