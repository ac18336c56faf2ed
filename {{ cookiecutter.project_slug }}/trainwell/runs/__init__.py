"""One training run: its folder, metrics, checkpoints, and how it is found, resumed, reproduced and loaded."""
