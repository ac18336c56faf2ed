"""Dropout: noise inside the branch during training, so that no unit can rely on a single other unit."""

from torch import Tensor, nn

from ..networks.layers import LayerContext


def none(context: LayerContext) -> nn.Module:
    """Keep every unit."""
    return nn.Identity()


def standard(context: LayerContext, *, rate: float) -> nn.Module:
    """Zero each unit of each sample with probability ``rate``, and scale up the rest.

    The expected output does not change, and evaluation is unaffected.

    Units:  ``rate`` is a probability, in [0, 1).
    Source: Srivastava et al. 2014, JMLR 15:1929-1958, in its inverted form.
    """
    return nn.Dropout(rate)


def stochastic_depth(context: LayerContext, *, rate: float) -> nn.Module:
    """Silence a layer's whole branch for random samples, deeper layers more often.

    Layer ``l`` of ``L`` (from 0) is silenced with probability ``rate * (l + 1) / L``; survivors are scaled up.

    Units:   ``rate`` is the probability at the last layer, in [0, 1).
    Source:  Huang et al. 2016, arXiv:1603.09382, linear decay rule.
    Differs: the paper scales at evaluation; we scale at training, like torch.nn.Dropout. The input of the branch's
             last linear map is zeroed, so that its bias stays.
    """
    return SampleDropout(rate * (context.layer + 1) / context.depth)


class SampleDropout(nn.Dropout):
    """Dropout that keeps or zeroes whole samples.

    Shape: (B, ...) -> the same
    """

    def forward(self, x: Tensor) -> Tensor:
        sample_scale = super().forward(x.new_ones(x.shape[0], *[1] * (x.ndim - 1)))
        return x * sample_scale
