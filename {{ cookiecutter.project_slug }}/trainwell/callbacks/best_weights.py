"""The best weights of a run, by one monitored metric."""

from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint


class BestWeights(ModelCheckpoint):
    """Keep ``checkpoints/best.ckpt``, the weights with the best value of ``monitor``; ``mode`` is ``min`` or ``max``.

    Lightning's ModelCheckpoint with the settings that a run needs. It is a class of its own because Lightning tells the
    states of callbacks apart by class and monitor: a ModelCheckpoint by the same monitor can then be added beside it.
    """

    def __init__(self, *, dirpath: str, monitor: str, mode: str) -> None:
        super().__init__(
            dirpath=dirpath,
            filename="best",
            monitor=monitor,
            mode=mode,
            save_weights_only=True,
            enable_version_counter=False,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lightning saves the latest value as well, and does not restore it."""
        super().load_state_dict(state_dict)
        self.current_score = state_dict["current_score"]
