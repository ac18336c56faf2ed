"""Random numbers of samples: each a function of (seed, epoch, sample, purpose), computed on the samples' device.

So an augmentation does the same to a sample whatever the batch size, the number of processes or where a run resumed.
Source: Steele, Lea and Flood 2014, Fast splittable pseudorandom number generators: SplitMix64, which can be entered at
any place of its sequence. The purpose, seed and epoch choose the sequence, the sample is the place.
"""

from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

import numpy as np
import torch
from torch import Tensor


def signed(number: int) -> int:
    """The same 64 bits as torch's int64, whose sums and products wrap around."""
    return number - 2**64 if number >= 2**63 else number


STEP, FIRST, SECOND = map(signed, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


class SampleRandom(NamedTuple):
    """Draws for the samples at ``places`` (B,) of their split; every purpose has numbers of its own."""

    seed: int
    epoch: int
    places: Tensor

    def uniform(self, purpose: str, count: int = 1) -> Tensor:
        """Numbers (count, B) in [0, 1): multiples of 2**-24, float32."""
        return shifted(self.bits(purpose, count), 40).float() * 2**-24

    def integers(self, purpose: str, below: int, count: int = 1) -> Tensor:
        """Numbers (count, B) from 0 to ``below - 1``, int64."""
        return shifted(self.bits(purpose, count), 1) % below

    def bits(self, purpose: str, count: int) -> Tensor:
        """64 random bits (count, B), as int64."""
        numbers = torch.arange(count, device=self.places.device)[:, None]
        return splitmix64(key(self.seed, self.epoch, purpose), count * self.places + numbers)


def splitmix64(start: int, place: Tensor) -> Tensor:
    """What SplitMix64 returns at a place of its sequence, from 0, after it was seeded with ``start``."""
    z = (place + 1) * STEP + start
    z = (z ^ shifted(z, 30)) * FIRST
    z = (z ^ shifted(z, 27)) * SECOND
    return z ^ shifted(z, 31)


def shifted(z: Tensor, bits: int) -> Tensor:
    """Shift to the right and fill up with zeros; torch fills up with the sign."""
    return (z >> bits) & (2 ** (64 - bits) - 1)


@lru_cache(maxsize=64)
def key(seed: int, epoch: int, purpose: str) -> int:
    (start,) = np.random.SeedSequence((seed, epoch, crc32(purpose.encode()))).generate_state(1, np.uint64)
    return signed(int(start))
