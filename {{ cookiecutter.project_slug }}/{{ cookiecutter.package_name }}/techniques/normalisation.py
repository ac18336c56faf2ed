"""Normalisation: give every branch inputs of the same scale, whatever earlier layers do.

Features lie on ``context.axis``: last in (B, W) and (B, positions, W), second in the (B, W, ...) of convolutions.
"""

from torch import Tensor, nn

from ..networks.layers import LayerContext


def none(context: LayerContext) -> nn.Module:
    """Leave the signal as it is."""
    return nn.Identity()


def layer(context: LayerContext) -> nn.Module:
    """Centre and scale the features of each sample (and each position) by their own mean and standard deviation.

    Source: Ba, Kiros and Hinton 2016, arXiv:1607.06450.
    """
    return on_axis(context.axis, nn.LayerNorm(context.width))


def rms(context: LayerContext) -> nn.Module:
    """Scale the features of each sample (and each position) by their root mean square; do not centre.

    Source: Zhang and Sennrich 2019, arXiv:1910.07467.
    """
    return on_axis(context.axis, nn.RMSNorm(context.width, eps=1e-6))


def batch(context: LayerContext) -> nn.Module:
    """Centre and scale each feature over the batch (and its positions); running statistics in evaluation.

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167.
    """
    return BatchNorm(context)


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of the features on any axis.

    Shape: any with ``width`` features on ``axis`` -> the same
    """

    def __init__(self, context: LayerContext) -> None:
        super().__init__(context.width)
        self.axis = context.axis

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 2:
            return super().forward(x)
        moved = x.movedim(self.axis, -1)
        return super().forward(moved.reshape(-1, self.num_features)).view(moved.shape).movedim(-1, self.axis)


class OnAxis(nn.Module):
    """Apply a module that works on the last axis to another axis."""

    def __init__(self, axis: int, module: nn.Module) -> None:
        super().__init__()
        self.axis = axis
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x.movedim(self.axis, -1)).movedim(-1, self.axis)


def on_axis(axis: int, module: nn.Module) -> nn.Module:
    return module if axis == -1 else OnAxis(axis, module)
