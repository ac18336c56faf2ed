"""Measure a run's best weights on one split of its data:  python evaluate.py run=RUN split=val"""

from pathlib import Path

from omegaconf import DictConfig

from your_package import command_line


def evaluate(config: DictConfig) -> None:
    """Print loss and accuracy, and write every row's prediction into the run folder."""
    from your_package.evaluation import evaluate_run

    with command_line.mistakes_refused():
        evaluate_run(Path(config.run), config.split)


if __name__ == "__main__":
    command_line.run(evaluate, "evaluate")
