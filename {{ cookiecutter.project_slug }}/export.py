"""Export a run's best weights for other programs:  python export.py run=RUN format=onnx"""

from pathlib import Path

from omegaconf import DictConfig

from your_package import command_line


def export(config: DictConfig) -> None:
    """Write one file, once it is seen to give the same logits."""
    run = command_line.trained_run()

    from your_package.exporting import export_run

    with command_line.mistakes_refused():
        export_run(run, config.format, Path(config.output) if config.output is not None else None)


if __name__ == "__main__":
    command_line.run(export, "export")
