"""A data set as popular templates have it: every sample is read, transformed and returned on its own."""

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

PIXELS = (28, 28)


class PerSampleDataset(Dataset):
    """Rows of numbers are standardized; images of 28 by 28 pixels are opened, scaled and standardized.

    It does to images what torchvision's ``MNIST`` with ``ToTensor`` and ``Normalize`` does: torchvision that fits torch
    is not available everywhere. What the images show does not matter to speed: it is noise.
    """

    def __init__(self, samples: Any) -> None:
        self.samples = samples
        self.has_images = tuple(samples.x.shape[1:]) == PIXELS
        shape = tuple(samples.x.shape) if self.has_images else (0,)
        self.images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))

    def __len__(self) -> int:
        return len(self.samples.y)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        target = int(self.samples.y[number])
        if not self.has_images:
            return standardized(self.samples.x[number].clone(), 0.0, 1.0), target
        pixels = torch.from_numpy(np.array(Image.fromarray(self.images[number].numpy()), np.uint8, copy=True))
        scaled = pixels.view(*PIXELS, 1).permute(2, 0, 1).contiguous().to(torch.float32).div(255)
        return standardized(scaled, 0.13, 0.31), target


def standardized(x: Tensor, mean: float, deviation: float) -> Tensor:
    """With mean and deviation made into tensors for every sample, as the usual transform does."""
    known = [torch.as_tensor(number, dtype=x.dtype, device=x.device) for number in (mean, deviation)]
    if known[1] == 0:
        raise ValueError("the deviation must not be 0")
    return x.clone().sub_(known[0]).div_(known[1])
