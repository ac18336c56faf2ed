"""Predict new rows with a run's best weights:  python predict.py run=RUN input=FILE output=FILE.csv"""

from pathlib import Path

from omegaconf import DictConfig

from your_package import command_line


def predict(config: DictConfig) -> None:
    """Write the likeliest class and all probabilities of every row."""
    run = command_line.trained_run()

    from your_package.prediction import predict_file

    with command_line.mistakes_refused():
        predict_file(run, Path(config.input), Path(config.output))


if __name__ == "__main__":
    command_line.run(predict, "predict")
