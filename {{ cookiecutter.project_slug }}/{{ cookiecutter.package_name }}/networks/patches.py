"""Patches: how a network of neighbourhoods reads its input.

Axes: B samples of a batch, C channels, W width, and one or two of positions.
"""

from collections.abc import Sequence
from math import prod

from torch import Tensor, nn

CONVOLUTIONS: dict[int, type[nn.Conv1d] | type[nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}


def channels_and_positions(in_shape: Sequence[int]) -> tuple[int, tuple[int, ...]]:
    """Read ``in_shape``: a sequence (L,) or an image (H, W), each of one channel, or an image (C, H, W).

    A sequence of several channels, (C, L), looks like an image and is read as one; give it as (C, 1, L).

    Raises: ValueError: more axes, or none.
    """
    match tuple(in_shape):
        case (length,):
            return 1, (length,)
        case (height, width):
            return 1, (height, width)
        case (channels, height, width):
            return channels, (height, width)
        case shape:
            raise ValueError(
                "network=cnn and network=transformer read sequences (L,) and images (H, W) or (C, H, W); "
                f"the samples have the shape {shape}: type network=mlp"
            )


class Patches(nn.Module):
    """Map the patch around every ``stride``-th position to ``width`` features: a strided convolution.

    ``size``, odd, is the patch's length on each axis of positions; the input is zero-padded.

    Shape:  (B, *in_shape) -> (B, W, *positions), with ``positions`` a ``stride``-th of the input's, rounded up
    """

    def __init__(self, in_shape: Sequence[int], width: int, *, size: int, stride: int) -> None:
        super().__init__()
        self.channels, self.of_input = channels_and_positions(in_shape)
        self.positions = tuple(-(-length // stride) for length in self.of_input)
        self.map = CONVOLUTIONS[len(self.of_input)](self.channels, width, size, stride, padding=size // 2)

    @property
    def count(self) -> int:
        return prod(self.positions)

    def forward(self, x: Tensor) -> Tensor:
        # not len(x), which torch.export would treat as a constant
        return self.map(x.reshape(x.shape[0], self.channels, *self.of_input))
