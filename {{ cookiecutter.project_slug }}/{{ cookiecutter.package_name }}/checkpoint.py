"""Checkpoints: plain tensors and numbers, never pickled code."""

from pathlib import Path

import torch
from torch import nn


def load_weights(module: nn.Module, path: str | Path) -> None:
    """Give ``module`` the weights of a checkpoint, on whatever device it is."""
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    module.load_state_dict(checkpoint["state_dict"])
