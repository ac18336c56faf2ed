"""Augmentation of whole batches of images: what is changed in a sample is a function of (seed, epoch, sample).

Axes: B samples of a batch, C channels, H height, W width, K classes. Images are standardized, so that 0 is the mean
of the train images.
"""

from math import log

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor
from torch.nn.functional import one_hot, pad
from trainwell.data.batches import SampleRandom, Samples, Transform

QUANTILES = 4096  # of the Beta distribution in a table, so its probabilities are right to 1 in 8192


def flip(x_BCHW: Tensor, random: SampleRandom, *, probability: float) -> Tensor:
    """Mirror images, left to right, with a ``probability``.

    Source: Krizhevsky, Sutskever and Hinton 2012, NeurIPS, section 4.1.
    """
    (draw,) = random.uniform("flip")
    return torch.where((draw < probability).view(-1, 1, 1, 1), x_BCHW.flip(-1), x_BCHW)


def shift(x_BCHW: Tensor, random: SampleRandom, *, pixels: int) -> Tensor:
    """Move images by -``pixels`` to ``pixels`` in each direction; what comes into sight has the mean colour.

    Source: He et al. 2016, arXiv:1512.03385, section 4.2: pad by 4 pixels, crop at random to 32 by 32.
    """
    top, left = random.integers("shift", 2 * pixels + 1, count=2)
    height, width = x_BCHW.shape[2:]
    windows = pad(x_BCHW, 4 * (pixels,)).unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(len(x_BCHW), device=x_BCHW.device), :, top, left]


def erase(x_BCHW: Tensor, random: SampleRandom, *, probability: float, area: float) -> Tensor:
    """Give a rectangle anywhere in the image the mean colour, with a ``probability``.

    Units:   ``area`` is the largest share of the image, above 0.02; sides are between 3 to 10 and 10 to 3.
    Source:  Zhong et al. 2017, arXiv:1708.04896.
    Differs: the paper draws again what does not fit, we cut its longer side; it fills with noise or with the mean.
    """
    height, width = x_BCHW.shape[2:]
    draw, size, form, row, column = random.uniform("erase", count=5)
    pixels, sides = height * width * (0.02 + (area - 0.02) * size), torch.exp(log(10 / 3) * (2 * form - 1))
    inside = []
    for length, side, where in ((height, pixels * sides, row), (width, pixels / sides, column)):
        side = side.sqrt().round().clamp(1, length)
        start = (where * (length - side + 1)).floor()
        place = torch.arange(length, device=x_BCHW.device)
        inside.append((place >= start[:, None]) & (place < (start + side)[:, None]))
    rows, columns = inside
    rows &= (draw < probability)[:, None]
    return x_BCHW.masked_fill(rows[:, None, :, None] & columns[:, None, None, :], 0)


def mixup(batch: Samples, partners: Samples, random: SampleRandom, *, quantiles: Tensor, num_classes: int) -> Samples:
    """Blend each image and its target with those of another one.

    Shape:   targets (B,), classes -> (B, K), probabilities
    Units:   the share of a sample is one of ``quantiles``, each as likely as every other.
    Source:  Zhang et al. 2018, arXiv:1710.09412.
    Differs: the paper draws one share a batch, and the partner within the batch; we draw both for every sample.
    """
    (draw,) = random.integers("mixup", len(quantiles))
    share = quantiles.to(batch.x.device)[draw]
    y, of_partners = (one_hot(samples.y, num_classes).float() for samples in (batch, partners))
    x = torch.lerp(partners.x, batch.x, share.view(-1, 1, 1, 1))
    return Samples(x, torch.lerp(of_partners, y, share.view(-1, 1)))


class Augment:
    """Flip, shift, erase and mixup in this order, those that are not 0.

    Units: ``flip`` and ``erase`` are probabilities, ``shift`` is in pixels, ``mixup`` is the paper's alpha: with a
           small one, such as 0.2, most images are nearly unmixed.
    """

    def __init__(self, *, flip: float, shift: int, erase: float, erase_area: float, mixup: float) -> None:
        self.flip, self.shift, self.erase, self.erase_area, self.mixup = flip, shift, erase, erase_area, mixup
        middles = (np.arange(QUANTILES) + 0.5) / QUANTILES
        self.quantiles = torch.from_numpy(betaincinv(mixup, mixup, middles).astype(np.float32)) if mixup else None

    def transform(self, samples: Samples, prepare: Transform, seed: int, num_classes: int) -> Transform:
        """The transform of train batches of ``samples``, after ``prepare``."""

        def seen(batch: Samples, random: SampleRandom) -> Samples:
            x = prepare(batch, random.places, random.epoch).x
            x = flip(x, random, probability=self.flip) if self.flip else x
            x = shift(x, random, pixels=self.shift) if self.shift else x
            return batch._replace(x=erase(x, random, probability=self.erase, area=self.erase_area) if self.erase else x)

        def augmented(batch: Samples, index: Tensor, epoch: int) -> Samples:
            random = SampleRandom(seed, epoch, index, len(samples.y))
            if self.quantiles is None:
                return seen(batch, random)
            (partner,) = random.integers("partner", len(samples.y))
            partners = seen(samples.at(partner), random._replace(places=partner))
            return mixup(seen(batch, random), partners, random, quantiles=self.quantiles, num_classes=num_classes)

        return augmented
