"""Dropout: noise inside the branch while training, so that no unit can rely on one other."""

from torch import Tensor, nn

from .network import Site


def none(site: Site) -> nn.Module:
    """Keep every unit."""
    return nn.Identity()


def standard(site: Site, *, rate: float) -> nn.Module:
    """Silence each unit of each row with probability ``rate``, and scale up the rest.

    Every row of a batch has a thinned network of its own; the expected output does not change, and evaluation is
    untouched.

    Units:  ``rate`` is a probability, in [0, 1).
    Source: Srivastava et al. 2014, JMLR 15:1929-1958, in its inverted form.
    """
    return nn.Dropout(rate)


def stochastic_depth(site: Site, *, rate: float) -> nn.Module:
    """Silence a layer's whole branch for random rows, deeper layers more often.

    Layer ``l`` of ``L`` (from 0) is silenced with probability ``rate * (l + 1) / L``; survivors are scaled up.

    Units:   ``rate`` is the probability at the last layer, in [0, 1).
    Source:  Huang et al. 2016, arXiv:1603.09382, linear decay rule.
    Differs: the paper scales at evaluation; we scale at training, like torch.nn.Dropout. What is silenced is the input
             of the branch's last linear map, so that its bias stays.
    """
    return RowDropout(rate * (site.layer + 1) / site.depth)


class RowDropout(nn.Dropout):
    """Dropout that keeps or silences whole rows.

    Shape: (B, ...) -> the same
    """

    def forward(self, x: Tensor) -> Tensor:
        row_scale = super().forward(x.new_ones(x.shape[0], *[1] * (x.ndim - 1)))
        return x * row_scale
