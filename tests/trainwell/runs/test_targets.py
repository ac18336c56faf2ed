"""A configuration from a run folder may name the project's code and classes of a few libraries, and nothing else."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trainwell.runs.stored_config import read_config, read_invocation
from trainwell.runs.targets import project_root, refuse_foreign_targets

OWN_PACKAGE = """
import os
from pathlib import Path
import numpy
import torch
from lightning import LightningModule
from torch.optim import AdamW
from trainwell.runs.folder import write_whole

class Task(LightningModule):
    @classmethod
    def from_data(cls, data): ...

def technique(): ...
constant = 3
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a package that its pyproject.toml lists, a module beside it, and code in places for data."""
    files = {
        "pyproject.toml": '[tool.trainwell]\ntargets = ["listed_package", "json.dumps"]\n',
        "listed_package/__init__.py": "",
        "listed_package/parts.py": OWN_PACKAGE,
        "own_models.py": f"{OWN_PACKAGE}\nclass Net(torch.nn.Module): ...\n",
        "runs/evil_in_runs.py": "from pathlib import Path\nPath('called').touch()\ndef build(*shape): ...\n",
        "runs/train/one/evil_in_run.py": "from pathlib import Path\nPath('called').touch()\ndef build(*shape): ...\n",
        "elsewhere/run/evil.py": "from pathlib import Path\nPath('called').touch()\ndef build(*shape): ...\n",
        ".venv/lib/evil_in_venv.py": "from pathlib import Path\nPath('called').touch()\ndef build(*shape): ...\n",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    for place in (".", "runs", "runs/train/one", ".venv/lib"):
        monkeypatch.syspath_prepend(tmp_path / place)
    yield tmp_path
    assert not (tmp_path / "called").exists()
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("listed_package", "own_models", "runs", "elsewhere", "evil_in_runs"):
            del sys.modules[name]


@pytest.fixture
def read(project: Path) -> Callable[..., Any]:
    """Read a configuration from a run folder."""

    def read(text: str | bytes, run: str = "runs/train/one") -> Any:
        (project / run).mkdir(parents=True, exist_ok=True)
        (project / run / "config.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
        return read_config(Path(run))

    return read


@pytest.mark.parametrize(
    "name",
    [
        "listed_package.parts.technique",
        "listed_package.parts.Task",
        "listed_package.parts.Task.from_data",
        "listed_package.parts.AdamW",
        "own_models.Net",
        "own_models.Task.from_data",
        "json.dumps",
        "torch.nn.CrossEntropyLoss",
        "torch.optim.AdamW",
        "torch.optim.lr_scheduler.OneCycleLR",
        "torchmetrics.F1Score",
        "torchmetrics.classification.MulticlassAUROC",
        "lightning.Trainer",
        "lightning.pytorch.callbacks.EMAWeightAveraging",
        "lightning.pytorch.loggers.TensorBoardLogger",
        "lightning.pytorch.strategies.DDPStrategy",
        "trainwell.runs.metrics_csv.MetricsCsv",
        "trainwell.runs.checkpoint_io.AtomicCheckpointIO",
    ],
)
def test_the_projects_code_and_classes_of_the_libraries_may_be_targets(name: str, read: Callable[..., Any]) -> None:
    assert read(f"seed: 0\ntask:\n  parts:\n  - _target_: {name}\n").seed == 0


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "builtins.eval",
        "subprocess.Popen",
        "pathlib.Path.unlink",
        "torch.load",
        "torch.hub.load",
        "torch.nn.functional.relu",
        "torch.nn.Module.load_state_dict",
        "torch.utils.data.DataLoader",
        "joblib.load",
        "numpy.load",
        "hydra.utils.instantiate",
        "hydra.utils.get_method",
        "functools.partial",
        "json.loads",
        "listed_package_and_more.parts.technique",
        "listed_package.parts.os.system",
        "listed_package.parts.numpy.load",
        "listed_package.parts.torch.load",
        "listed_package.parts.Path",
        "listed_package.parts.write_whole",
        "listed_package.parts.Task.load_from_checkpoint",
        "listed_package.parts.technique.__globals__.get",
        "listed_package.parts.constant",
        "listed_package.parts",
        "own_models.technique",
        "lightning.LightningModule.load_from_checkpoint",
        "lightning.seed_everything",
        "lightning.pytorch.cli.LightningCLI",
        "trainwell.runs.folder.write_whole",
        "trainwell.runs.load.load_run",
        "evil_in_runs.build",
        "evil_in_run.build",
        "evil_in_venv.build",
        "runs.evil_in_runs.build",
        "elsewhere.run.evil.build",
        "train",
        "",
        "???",
        "[os, system]",
        "1",
        "torch..nn.ReLU",
        "torch.nn.NoSuchClass",
        "torch.nn.no_such_module.build",
        "listed_package.no_such_module.build",
        '"torch.nn.ReLU\\n"',
    ],
)
def test_nothing_else_may_be_a_target(name: str, read: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"task\.parts\.0\._target_ in .*config\.yaml must not be"):
        read(f"seed: 0\ntask:\n  parts:\n  - _target_: {name or repr(name)}\n")


@pytest.mark.parametrize("name", ["own_models.technique", "own_models:Net", "listed_package.parts.technique"])
def test_the_factory_of_a_network_may_be_the_projects_own(name: str, read: Callable[..., Any]) -> None:
    assert read(f"network: {{factory: {name}}}\n").network.factory == name


@pytest.mark.parametrize(
    "name", ["os.system", "os:system", "evil_in_run.build", "evil_in_runs:build", "trainwell.runs.folder.write_whole"]
)
def test_a_factory_that_is_not_the_projects_own_is_refused(name: str, read: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"network\.factory in .* must not be"):
        read(f"network: {{factory: '{name}'}}\n")


def test_code_in_the_run_folder_is_refused_wherever_the_folder_is(read: Callable[..., Any], project: Path) -> None:
    for package in ("elsewhere", "listed_package/downloaded"):
        (project / package / "run").mkdir(parents=True, exist_ok=True)
        (project / package / "run" / "evil.py").write_text((project / "elsewhere/run/evil.py").read_text())
    (project / "elsewhere" / "__init__.py").touch()
    for package in ("elsewhere", "listed_package/downloaded"):
        name = f"{package.replace('/', '.')}.run.evil.build"
        with pytest.raises(ValueError, match="its code is in a run folder"):
            read(f"network: {{factory: {name}}}\n", run=f"{package}/run")


def test_a_pyproject_in_the_run_folder_lists_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = project / "runs" / "train" / "one"
    (run / "pyproject.toml").write_text('[tool.trainwell]\ntargets = ["os"]\n')
    (run / "config.yaml").write_text("task: {_target_: os.system}\n")
    monkeypatch.chdir(run)
    assert project_root(run) != run
    with pytest.raises(ValueError, match=r"must not be 'os\.system'"):
        read_config(run)


@pytest.mark.parametrize("targets", ["os", "[1]", "{}"])
def test_a_list_of_targets_that_is_none_is_named(targets: str, read: Callable[..., Any], project: Path) -> None:
    content = repr(targets) if targets == "os" else targets
    (project / "pyproject.toml").write_text(f"[tool.trainwell]\ntargets = {content}\n")
    with pytest.raises(ValueError, match="must be a list of dotted names"):
        read("task: {_target_: os.system}\n")


BOMB = "a0: &a0 [x]\n" + "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(30))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: ${oc.env:HOME}", "must not contain interpolations"),
        ('seed: "\\x24{oc.env:HOME}"', "must not contain interpolations"),
        ("seed: 0\ncopy: ${seed}", "must not contain interpolations"),
        ("${oc.env:HOME}: 0", "must not contain interpolations"),
        (BOMB, "must not contain YAML aliases"),
        ("a: " + "[" * 5000, "must not be nested deeper"),
        ("a: " + "[" * 500 + "]" * 500, "must not be nested deeper"),
        ("a: " + ":".join(["1"] * 20_000), "must not contain values longer"),
        ("a: b\n" * 300_000, "must not be larger"),
        (b"a: \xff\xfe", "must be UTF-8"),
        ("a: !!python/object/apply:os.system ['touch called']", "is not a valid configuration"),
        ("a: 1\na: 2", "is not a valid configuration"),
        ("a: [", "is not a valid configuration"),
        ("", "must contain a mapping"),
        ("[1, 2]", "must contain a mapping"),
        ("text", None),
    ],
)
def test_a_malformed_or_hostile_file_is_refused_with_one_line(
    text: str | bytes, said: str | None, read: Callable[..., Any]
) -> None:
    if said is None:
        assert read(text) == {"text": None}
        return
    with pytest.raises(ValueError, match=said) as refusal:
        read(text)
    assert "\n" not in str(refusal.value)


def test_a_pipe_or_a_missing_file_is_refused_at_once(project: Path) -> None:
    import os

    with pytest.raises(ValueError, match="is missing or not a regular file"):
        read_config(project / "runs" / "train" / "one")
    os.mkfifo(project / "runs" / "train" / "one" / "config.yaml")
    with pytest.raises(ValueError, match="is missing or not a regular file"):
        read_config(project / "runs" / "train" / "one")


def test_how_a_run_was_started_is_read_as_text(project: Path) -> None:
    run = project / "runs" / "train" / "one"
    (run / ".hydra").mkdir()
    path = run / ".hydra" / "hydra.yaml"
    path.write_text("hydra: {run: {dir: '${oc.env:HOME}'}, overrides: {task: [seed=1]}, runtime: {choices: {data: x}}}")
    assert read_invocation(run) == (["seed=1"], {"data": "x"})
    path.write_text("hydra: {overrides: {task: ['seed=${oc.env:HOME}']}, runtime: {choices: {data: x}}}")
    with pytest.raises(ValueError, match="must not contain interpolations"):
        read_invocation(run)
    path.write_text("hydra: {overrides: 3}")
    with pytest.raises(ValueError, match="does not say how the run was started"):
        read_invocation(run)


def test_every_target_that_a_shipped_option_names_is_allowed(baked: Path) -> None:
    texts = [path.read_text() for path in baked.glob("configs/**/*.yaml") if "hydra" not in path.parts]
    names = {name for text in texts for name in re.findall(r"_target_: ([\w.]+)$", text, re.MULTILINE)}
    assert len(names) > 30
    refuse_foreign_targets([{"_target_": name} for name in sorted(names)], baked, baked / "runs" / "train" / "one")
