"""What a user does with a baked project: its linters, its suite, and every command of its README, word for word."""

import os
import re
import site
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

ANSWERS = {
    "default": {},
    "hostile": {
        "project_name": "Ünïcode \"quotes\" & 'ticks' \\ {{ }} ${x} # % 🎉",
        "project_slug": "Hostile.Project_0",
        "package_name": "a" * 40,
        "description": 'Line one\nline "two"\t\\n ${oc.env:HOME} {% raw %} # %s 🎉 ' + "very long " * 50,
        "author_name": 'O\'Neill "Bobby" <b@example.com>\n',
        "license": "none",
    },
    "one letter": {"project_name": "x", "license": "Apache-2.0"},
}


def equipped(project: Path, folder: Path) -> Path:
    """A copy for one test, with an environment that has this one's packages: nothing is downloaded."""
    subprocess.run(["cp", "-r", project, folder], check=True)
    venv.create(folder / ".venv", with_pip=True)
    (packages,) = (folder / ".venv").glob("lib/python*/site-packages")
    (packages / "shared.pth").write_text("\n".join(site.getsitepackages()))
    for script in Path(sys.executable).parent.iterdir():
        if not (folder / ".venv/bin" / script.name).exists():
            (folder / ".venv/bin" / script.name).symlink_to(script)
    return folder


@pytest.fixture(params=["default", *(pytest.param(name, marks=pytest.mark.slow) for name in ("hostile", "one letter"))])
def project(request: pytest.FixtureRequest, bake: Callable[..., Path], tmp_path: Path) -> Path:
    return equipped(bake(**ANSWERS[request.param]), tmp_path / "project")


def bash(script: str, folder: Path) -> str:
    """Run a script as someone would in a fresh terminal: no account, no environment, no settings."""
    ours = re.compile("WANDB_|HYDRA_|VIRTUAL_ENV|PYTEST_|COV_|MAKE|MFLAGS")
    environment = {name: value for name, value in os.environ.items() if not ours.match(name)}
    environment |= {"HOME": str(folder.parent), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        timeout=1200,
    )
    assert ended.returncode == 0, ended.stdout[-5000:]
    return ended.stdout


# The whole suite once is enough: of the other projects only what has to do with names and commands.
SUITES = {
    "default": "make lint test",
    "hostile": "make lint; .venv/bin/python -m pytest -m '' tests/test_commands.py tests/test_configs.py",
    "one letter": "make lint; .venv/bin/python -m pytest tests/test_configs.py",
}


def test_its_linters_and_its_suite_pass(project: Path, request: pytest.FixtureRequest) -> None:
    said = bash(f"export PYTHON={sys.executable}; {SUITES[request.node.callspec.params['project']]}", project)
    assert re.search(r"\d+ passed", said)
    assert "failed" not in said


@pytest.mark.slow
def test_every_command_of_its_readme_works(bake: Callable[..., Path], tmp_path: Path) -> None:
    """But for the last block, which is tests and linters once more. No answer changes a command."""
    project = equipped(bake(), tmp_path / "project")
    *blocks, last = re.findall(r"```bash\n(.*?)```", (project / "README.md").read_text(), re.DOTALL)
    assert [line.split("#")[0].split() for line in last.splitlines()] == [["make", "test"], ["make", "lint"]]
    bash("\n".join([f"export PYTHON={sys.executable}", *blocks]), project)
    runs = [path for path in (project / "runs").glob("*/*") if (path / "summary.json").exists()]
    assert len(runs) == 9  # the first, 2 with overrides, 4 of experiments, one reproduced, one of own parts
    assert len(list((project / "wandb").glob("offline-run-*"))) == len(runs) + 2  # and the plots of 2 evaluations
    for run in runs:
        assert '"status": "f' not in (run / "summary.json").read_text().replace('"finished"', "")


@pytest.mark.slow
def test_a_new_activation_takes_three_edits(bake: Callable[..., Path], tmp_path: Path) -> None:
    """A function, a YAML file and a claim, as the README has it; then it is a word like any other."""
    project = equipped(bake(), tmp_path / "project")
    with (project / "my_network" / "techniques" / "activation.py").open("a") as module:
        module.write(
            "\n\nimport torch  # noqa: E402\n\n\ndef softsign(context: LayerContext, *, scale: float) -> nn.Module:\n"
            '    """Squash to (-1, 1), more slowly than tanh."""\n'
            "    return nn.Sequential(Scaling(scale), nn.Softsign())\n"
            "\n\nclass Scaling(nn.Module):\n"
            "    def __init__(self, scale: float) -> None:\n"
            "        super().__init__()\n"
            "        self.scale = scale\n\n"
            "    def forward(self, x: torch.Tensor) -> torch.Tensor:\n"
            "        return self.scale * x\n"
        )
    (project / "configs" / "activation" / "softsign.yaml").write_text(
        "# Squash to (-1, 1), more slowly than tanh.\n# Range: scale in (0, inf)\n"
        "_target_: my_network.techniques.activation.softsign\n_partial_: true\nscale: 1.0\n"
    )
    claims = project / "tests" / "test_activation.py"
    formula = (
        'Known({"scale": 2.0}, lambda z: 2 * z / (1 + 2 * abs(z)), lambda z: 2 / (1 + 2 * abs(z)) ** 2, saturates=True)'
    )
    claims.write_text(claims.read_text().replace("KNOWN = {\n", f'KNOWN = {{\n    "softsign": {formula},\n'))
    said = bash(
        "source .venv/bin/activate\n"
        "python -m pytest tests/test_activation.py tests/test_configs.py -k 'activation or softsign'\n"
        "python train.py activation=softsign activation.scale=2.0 trainer=smoke network.width=8 logger=none\n"
        "python train.py --help | grep softsign\n"
        "python train.py activation=softsign activation.scale=abc 2>&1 || test $? = 2\n"
        "python train.py activation=softsign activation.scale=0 2>&1 || test $? = 2",
        project,
    )
    assert "finished after 12 epochs" in said
    assert "activation.scale must be a number, got abc" in said
    assert "activation.scale must be above 0, got 0" in said
