"""The parameter groups of an optimizer: which parameters decay, and which have a learning rate of their own."""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatch
from functools import partial
from typing import Any

from torch import nn
from torch.optim import Optimizer

from ..techniques.weight_decay import matched


def without_lr_of(optimizer: Callable[..., Optimizer]) -> tuple[Callable[..., Optimizer], dict[str, float]]:
    """Separate ``optimizer.lr_of`` from the arguments of the optimizer, which does not know it."""
    if not isinstance(optimizer, partial):
        return optimizer, {}
    own = {key: value for key, value in optimizer.keywords.items() if key != "lr_of"}
    return partial(optimizer.func, *optimizer.args, **own), dict(optimizer.keywords.get("lr_of") or {})


def rates_by_parameter(network: nn.Module, lr_of: Mapping[str, float]) -> dict[nn.Parameter, float]:
    """The learning rate of every parameter whose name matches a pattern; the first pattern that matches counts.

    Raises: ValueError: a pattern matches no trainable parameter, or a rate is not above 0.
    """
    names = {parameter: name for name, parameter in network.named_parameters() if parameter.requires_grad}
    for pattern, rate in lr_of.items():
        if not isinstance(rate, int | float) or not rate > 0:
            raise ValueError(f"optimizer.lr_of must give rates above 0, got {rate} for {pattern}")
    matched(list(lr_of), names, "optimizer.lr_of")
    return {
        parameter: next(rate for pattern, rate in lr_of.items() if fnmatch(name, pattern))
        for parameter, name in names.items()
        if any(fnmatch(name, pattern) for pattern in lr_of)
    }


def parameter_groups(
    decays: Sequence[tuple[Sequence[nn.Parameter], float]], rates: Mapping[nn.Parameter, float]
) -> list[dict[str, Any]]:
    """Groups of the parameters that are trainable now: those with the optimizer's own learning rate come first."""
    groups = []
    for rate in (None, *dict.fromkeys(rates.values())):
        for parameters, decay in decays:
            members = [p for p in parameters if p.requires_grad and rates.get(p) == rate]
            own = {} if rate is None else {"lr": rate}
            groups.append({"params": members, "weight_decay": decay, **own})
    return [group for group in groups if group["params"]]
