"""Weight decay: pull the weights towards zero, which keeps the learnt function simple.

Weights of linear maps decay; biases, normalisation parameters and embeddings do not.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

import torch
from torch import Tensor, nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
LINEAR_MAPS = (nn.Linear, nn.Bilinear, *CONVOLUTIONS, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)
SPARED = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.RMSNorm)  # their parameters may have several axes, too


@dataclass(frozen=True)
class WeightDecay:
    """A ``penalty(weights, samples)`` added to the loss, a ``shrinkage`` that the optimizer applies, or neither.

    ``include`` and ``exclude`` are patterns of parameter names that override the rules of ``split``.
    """

    penalty: Callable[[Sequence[Tensor], int], Tensor] | None = None
    shrinkage: float = 0.0
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()


def none() -> WeightDecay:
    """Do not constrain the weights."""
    return WeightDecay()


def l2(*, strength: float, include: Sequence[str], exclude: Sequence[str]) -> WeightDecay:
    """Add ``strength * w'w`` to the loss; its gradient is clipped and rescaled by the optimizer like the rest.

    Units:  ``strength`` is lambda, at least 0; the gradient is 2 lambda w.
    Source: Krogh and Hertz 1991; Goodfellow, Bengio and Courville 2016, section 7.1.1 (with a factor 1/2 there).
    """
    return WeightDecay(lambda weights, samples: strength * sum_of_squares(weights), 0.0, include, exclude)


def decoupled(*, strength: float, include: Sequence[str], exclude: Sequence[str]) -> WeightDecay:
    """Multiply the weights by ``1 - lr * strength`` at every step, apart from the gradient and its rescaling.

    Needs an optimizer that applies it this way: ``optimizer=adamw``.

    Source: Loshchilov and Hutter 2019, arXiv:1711.05101, as implemented by torch.optim.AdamW.
    """
    return WeightDecay(None, strength, include, exclude)


def sklearn(*, alpha: float, include: Sequence[str], exclude: Sequence[str]) -> WeightDecay:
    """Add scikit-learn's penalty: half of ``alpha`` times w'w, divided by the number of samples in the batch.

    Equals ``l2`` with ``strength = alpha / (2 * samples)``. MLPRegressor's loss is half of ``loss=mse``: twice its
    ``alpha`` and half its learning rate train alike.

    Source: sklearn.neural_network.MLPClassifier and MLPRegressor, parameter ``alpha``.
    """
    return WeightDecay(lambda weights, samples: alpha / (2 * samples) * sum_of_squares(weights), 0.0, include, exclude)


def sum_of_squares(weights: Sequence[Tensor]) -> Tensor:
    if not weights:
        return torch.zeros(())
    return torch.stack([weight.square().sum() for weight in weights]).sum()


def split(network: nn.Module, decay: WeightDecay) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Split the trainable parameters, each once, into those that decay and those that do not.

    Of linear maps (linear, convolutional, recurrent, attention) the weights decay, the biases do not. No parameter of
    an embedding or normalisation decays, even if a linear map shares it, none with fewer than two axes, and none that
    the network's own ``no_weight_decay`` names.

    Raises: ValueError: another module has a parameter with several axes, and no pattern says what it is; or a pattern
        matches no parameter, or the same one as a pattern of the other list.
    """
    owners: dict[nn.Parameter, list[nn.Module]] = {}
    names: dict[nn.Parameter, str] = {}
    for prefix, module in network.named_modules():
        for name, parameter in module.named_parameters(prefix, recurse=False):
            if parameter.requires_grad:
                owners.setdefault(parameter, []).append(module)
                names.setdefault(parameter, name)
    included, excluded = (
        matched(patterns, names, f"weight_decay.{key}")
        for key, patterns in (("include", decay.include), ("exclude", decay.exclude))
    )
    if included & excluded:
        both = ", ".join(names[parameter] for parameter in names if parameter in included & excluded)
        raise ValueError(f"weight_decay.include and weight_decay.exclude must not both match {both}")
    exempt: set[str] = getattr(network, "no_weight_decay", set)()  # timm's networks have it
    excluded |= {parameter for parameter, name in names.items() if name in exempt}
    by_rule = {p: decays_by_rule(p, owners[p]) for p in owners if p not in included | excluded}
    unknown = [names[parameter] for parameter, decays in by_rule.items() if decays is None]
    if unknown and (decay.penalty is not None or decay.shrinkage):
        raise ValueError(
            f"weight_decay has no rule for {', '.join(unknown)}: add names or patterns to weight_decay.include (they "
            f"decay) or weight_decay.exclude, such as 'weight_decay.exclude=[{unknown[0]}]'"
        )
    weights = [p for p in owners if p in included or by_rule.get(p)]
    return weights, [p for p in owners if p not in included and not by_rule.get(p)]


def matched(patterns: Sequence[str], names: Mapping[nn.Parameter, str], key: str) -> set[nn.Parameter]:
    """The parameters whose names match a pattern.

    Raises: ValueError: a pattern matches none.
    """
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in names.values()):
            raise ValueError(f"{key} must match trainable parameters of the network, got {pattern}")
    return {p for p, name in names.items() if any(fnmatch(name, pattern) for pattern in patterns)}


def decays_by_rule(parameter: nn.Parameter, owners: Sequence[nn.Module]) -> bool | None:
    """Whether a parameter decays, by the kind of the modules that it belongs to; None: they are of no known kind."""
    if parameter.ndim < 2 or any(isinstance(owner, SPARED) for owner in owners):
        return False
    for owner in owners:
        if isinstance(owner, nn.MultiheadAttention):
            return parameter is not owner.bias_k and parameter is not owner.bias_v
        if isinstance(owner, LINEAR_MAPS):
            return True
    return None
