"""``trainwell compare`` as a command, in its own process."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trainwell
from trainwell.comparison import command
from trainwell.errors import Refused

Make = Callable[..., str]

Run = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(trainwell.__path__[0]).parent
PROGRAM = "import sys; from trainwell.cli.main import main; main(['compare', *sys.argv[1:]])"


@pytest.fixture
def compare(empty_folder: Path) -> Run:
    """Run the command in its own process."""

    def compare(
        *arguments: str, program: str = PROGRAM, stdout: int = subprocess.PIPE
    ) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        process = [sys.executable, "-c", program, *arguments]
        return subprocess.run(
            process, env=environment, text=True, stdout=stdout, stderr=subprocess.PIPE, timeout=120, check=False
        )

    return compare


def test_the_terminal_names_the_files_and_the_skipped_runs_and_shows_no_escape_sequence(
    make: Make, compare: Run
) -> None:
    make(dropout=0.1), make(dropout=0.2, summary={"experiment": "\x1b[31m", "status": "\x1b[31m"})
    Path(make(folder="runs/train/\x1b[31m"), "summary.json").write_text("{")
    ended = compare("runs", "--baseline", "2", "--output", "seen")
    assert ended.returncode == 0, ended.stderr
    assert "page    seen/comparison.html" in ended.stdout
    assert ended.stderr.startswith("skipped: runs/train/\\x1b[31m cannot be read")
    assert "\x1b" not in ended.stdout + ended.stderr
    assert sorted(path.name for path in Path("seen").iterdir()) == ["comparison.csv", "comparison.html"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: "),
        (["x" * 5000], "xxxx"),
        (["empty"], "no run to compare: empty is not a run folder and contains none"),
        (["runs", "--baseline", "7"], "--baseline must be 1 to 1"),
        (["broken"], "no run to compare: broken cannot be read"),
        (["runs", "--output", "a_file"], "--output must be a folder that can be written to"),
        (["runs", "--output", "a_file/below"], "--output must be a folder that can be written to"),
        (["runs", "--output", "/proc"], "--output must be a folder that can be written to"),
        (["runs", "--output", "blocked"], "--output must be a folder that can be written to"),
    ],
)
def test_a_mistake_is_refused_in_one_sentence(
    arguments: list[str], message: str, make: Make, empty_folder: Path
) -> None:
    make()
    Path("empty").mkdir()
    Path("broken").mkdir()
    Path("broken/config.yaml").write_text("seed: [0\nrun_folder: x\n")
    Path("a_file").touch()
    Path("blocked/comparison.csv").mkdir(parents=True)
    with pytest.raises(Refused) as refused:
        command.main(arguments)
    (sentence,) = refused.value.mistakes
    assert message in sentence
    assert len(sentence.splitlines()) == 1
    assert len(sentence) < 600
    assert not list(empty_folder.glob("comparison.*"))


def test_a_mistake_ends_with_status_2_and_prints_no_escape_sequence(compare: Run) -> None:
    ended = compare("\x1b[31m")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("\\x1b[31m: ")
    assert len(ended.stderr.splitlines()) == 1


def test_one_folder_without_runs_does_not_stop_the_comparison(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    make()
    Path("empty").mkdir()
    assert command.main(["runs", "empty"]) == 0
    assert capsys.readouterr().err == "skipped: empty is not a run folder and contains none\n"


def test_a_closed_pipe_leaves_no_traceback_and_the_files(make: Make, compare: Run) -> None:
    make()
    reader, writer = os.pipe()
    os.close(reader)
    ended = compare("runs", stdout=writer)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert Path("comparison.html").exists()


def test_neither_torch_nor_lightning_is_imported(make: Make, compare: Run) -> None:
    make()
    ended = compare(
        "runs",
        program="import sys; from trainwell.comparison.command import main; main(sys.argv[1:]);"
        "print(sorted({'torch', 'lightning', 'wandb'} & set(sys.modules)))",
    )
    assert ended.stdout.endswith("[]\n"), ended.stdout + ended.stderr


def test_a_thousand_runs_take_less_than_ten_seconds(compare: Run, save_config: Callable[..., None]) -> None:
    for number in range(1000):
        folder = Path(f"runs/train/{number:04}")
        save_config(number, seed=number % 5, dropout=number // 5 / 1000)
        best = f'{{"val/loss": {number % 7}, "val/accuracy": {number % 5}}}'
        (folder / "summary.json").write_text(f'{{"status": "finished", "best": {best}, "test": null}}')
        rows = [f"{step // 5},{step},{step % 11},{step % 13}" for step in range(300)]
        (folder / "metrics.csv").write_text("\n".join(["epoch,step,gradient/norm,val/loss", *rows, ""]))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = compare("runs")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ended.returncode == 0, ended.stderr
    assert "1000 runs in 200 groups" in ended.stdout
    # Processor time: other tests run beside this one.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 10
