"""Weight decay: a pull of the weights towards zero, which keeps the function that the network computes simple.

Only weights decay: never biases, the scales and shifts of normalisations, or embeddings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

SPARED = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.RMSNorm)  # their weights can have several axes, too


@dataclass(frozen=True)
class WeightDecay:
    """A ``penalty(weights, rows)`` that joins the loss, a ``shrinkage`` that the optimizer applies, or neither."""

    penalty: Callable[[Sequence[Tensor], int], Tensor] | None = None
    shrinkage: float = 0.0


def none() -> WeightDecay:
    """Let the weights grow as they like."""
    return WeightDecay()


def l2(*, strength: float) -> WeightDecay:
    """Add ``strength * w'w`` to the loss; its gradient goes through clipping and the optimizer like the rest.

    Units:  ``strength`` is lambda, not below 0; the gradient is 2 lambda w.
    Source: Krogh and Hertz 1991; Goodfellow, Bengio and Courville 2016, section 7.1.1 (there with a half).
    """
    return WeightDecay(penalty=lambda weights, rows: strength * sum_of_squares(weights))


def decoupled(*, strength: float) -> WeightDecay:
    """Multiply the weights by ``1 - lr * strength`` in every step, apart from the gradient and its scaling.

    Needs an optimizer that applies it so: ``optimizer=adamw``.

    Source: Loshchilov and Hutter 2019, arXiv:1711.05101, as torch.optim.AdamW has it.
    """
    return WeightDecay(shrinkage=strength)


def sklearn(*, alpha: float) -> WeightDecay:
    """Add scikit-learn's penalty: half of ``alpha`` times w'w, shared among the rows of the batch.

    The same as ``l2`` with ``strength = alpha / (2 * rows)``.

    Source: sklearn.neural_network.MLPClassifier, parameter ``alpha``.
    """
    return WeightDecay(penalty=lambda weights, rows: alpha / (2 * rows) * sum_of_squares(weights))


def sum_of_squares(weights: Sequence[Tensor]) -> Tensor:
    if not weights:
        return torch.zeros(())
    return torch.stack([weight.square().sum() for weight in weights]).sum()


def split(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Part the trainable parameters, each once, into the weights, which decay, and the others, which do not."""
    weights: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    spared = {id(module.weight) for module in network.modules() if isinstance(module, SPARED)}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            decays = parameter.ndim >= 2 and "weight" in name.rpartition(".")[-1] and id(parameter) not in spared
            (weights if decays else others).append(parameter)
    return weights, others
