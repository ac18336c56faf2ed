"""Build any network, yours as well; start it from weights in a file, and freeze some of its parameters.

Every option of the group ``network`` is built here, so that no network has to know of it.
"""

import inspect
from collections import OrderedDict
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pkgutil import resolve_name
from typing import Any

import torch
from lightning import LightningDataModule
from torch import Tensor, nn
from trainwell.weights import load_weights


def build(
    in_shape: Sequence[int],
    num_outputs: int,
    *,
    factory: str,
    weights: str | None,
    weights_strict: bool,
    freeze: Sequence[str],
    **keys: Any,
) -> nn.Module:
    """Call what ``factory`` names with ``(in_shape, num_outputs)`` and the ``keys``; load ``weights``; freeze.

    ``freeze`` are names or patterns of parameters that are not trained. The running statistics of batch normalisation
    are no parameters: they still follow the data.

    Raises: ValueError: there is no such callable, it does not take the keys, the weights do not fit, or a pattern
        matches no parameter.
    """
    make = named(factory)
    refuse_wrong_keys(factory, make, in_shape, num_outputs, keys)
    network = make(in_shape, num_outputs, **keys)
    if not isinstance(network, nn.Module):
        raise ValueError(f"network.factory={factory} must return an nn.Module, got {network!r:.60}")
    if weights is not None:
        load_weights(network, weights, strict=weights_strict)
    for pattern in freeze:
        matching = [parameter for name, parameter in network.named_parameters() if fnmatch(name, pattern)]
        if not matching:
            names = ", ".join(name for name, _ in network.named_parameters())
            raise ValueError(f"network.freeze must match parameters of the network, got {pattern}; there are {names}")
        for parameter in matching:
            parameter.requires_grad_(False)
    if freeze and not any(parameter.requires_grad for parameter in network.parameters()):
        raise ValueError(f"network.freeze={list(freeze)} leaves no parameter to train")
    return network


def named(factory: str) -> Callable[..., nn.Module]:
    try:
        return resolve_name(factory)
    except (ImportError, AttributeError, ValueError, SyntaxError) as error:
        raise ValueError(
            "network.factory must name a function or class that can be imported from here, such as my_models.build; "
            f"got {factory} ({error})"
        ) from error


def refuse_wrong_keys(name: str, make: Callable[..., nn.Module], *arguments: Any) -> None:
    *positional, keys = arguments
    try:
        inspect.signature(make).bind(*positional, **keys)
    except TypeError as error:
        raise ValueError(f"network: {name} is called with (in_shape, num_outputs) and its own keys: {error}") from error


def network_for(
    data: LightningDataModule, network: Callable[[tuple[int, ...], int], nn.Module], x: Tensor, num_outputs: int
) -> nn.Module:
    """Build ``network`` for inputs such as ``x``; behind the data module's ``input_layer()``, if it has one."""
    layer = data.input_layer() if hasattr(data, "input_layer") else nn.Identity()
    if isinstance(layer, nn.Identity):
        return network(tuple(x.shape[1:]), num_outputs)
    with torch.no_grad():
        shape = layer(x[:2]).shape[1:]
    return BehindInputLayer(OrderedDict(input_layer=layer, network=network(tuple(shape), num_outputs)))


class BehindInputLayer(nn.Sequential):
    """``network`` on the outputs of ``input_layer``, such as embeddings of categories."""

    def no_weight_decay(self) -> set[str]:
        return {f"network.{name}" for name in getattr(self.network, "no_weight_decay", set)()}


def all_but_head(network: nn.Module) -> nn.Module:
    """A module of all parameters of a network but those of its head, its last part that has some."""
    inner: Any = network.network if isinstance(network, BehindInputLayer) else network
    *_, head = (part for part in inner.children() if any(True for _ in part.parameters()))
    left_out, own = {network, inner, *head.modules()}, nn.Module()
    for name, parameter in inner.named_parameters(recurse=False):
        own.register_parameter(name, parameter)
    parts = (part for part in network.modules() if any(True for _ in part.parameters(recurse=False)))
    return nn.ModuleList([own, *(part for part in parts if part not in left_out)])
