"""A data set as popular templates have it: every sample is read, transformed and handed out on its own."""

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

PIXELS = (28, 28)


class Samples(Dataset):
    """Rows of numbers are standardised; images of 28 times 28 pixels are opened, scaled and standardised.

    For images it does what torchvision's ``MNIST`` with ``ToTensor`` and ``Normalize`` does, of which a build that fits
    torch cannot be had everywhere. What is in the images does not matter to speed: it is noise.
    """

    def __init__(self, rows: Any) -> None:
        self.rows = rows
        self.of_images = tuple(rows.x.shape[1:]) == PIXELS
        shape = tuple(rows.x.shape) if self.of_images else (0,)
        self.images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))

    def __len__(self) -> int:
        return len(self.rows.y)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        target = int(self.rows.y[number])
        if not self.of_images:
            return standardised(self.rows.x[number].clone(), 0.0, 1.0), target
        image = Image.fromarray(self.images[number].numpy())
        return standardised(scaled(image), 0.13, 0.31), target


def scaled(image: Image.Image) -> Tensor:
    """An image as numbers from 0 to 1, the channel first."""
    pixels = torch.from_numpy(np.array(image, np.uint8, copy=True))
    return pixels.view(*PIXELS, 1).permute(2, 0, 1).contiguous().to(torch.float32).div(255)


def standardised(x: Tensor, mean: float, deviation: float) -> Tensor:
    """With mean and deviation made into tensors for every sample, as the usual transform does."""
    known = [torch.as_tensor(number, dtype=x.dtype, device=x.device) for number in (mean, deviation)]
    if known[1] == 0:
        raise ValueError("the deviation must not be 0")
    return x.clone().sub_(known[0]).div_(known[1])
