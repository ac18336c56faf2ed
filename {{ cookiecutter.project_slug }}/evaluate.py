"""Measure a run's best weights on one split of its data:  python evaluate.py run=RUN split=val"""

from omegaconf import DictConfig

from your_package import command_line


def evaluate(config: DictConfig) -> None:
    """Print metrics with their intervals, and write them, every row's prediction and pictures into the run folder."""
    run = command_line.trained_run()

    from your_package.evaluation import evaluate_run

    with command_line.mistakes_refused():
        evaluate_run(run, config.split, command=f"python evaluate.py run={run} split={config.split}")


if __name__ == "__main__":
    command_line.run(evaluate, "evaluate")
