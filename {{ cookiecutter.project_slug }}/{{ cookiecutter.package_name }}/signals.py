"""What can be measured of any module while it trains, without changing it.

A layer is a module that owns a weight: a parameter with two axes or more. Units are judged where they arrive, at the
input of the layer that reads them: that serves modules, functions and any activation alike. A unit is *dead* if it is
the same on every row (a ReLU that never fires, a sigmoid that is stuck), a number *saturated* if it lies in the
outermost twentieth of a range at both ends of which numbers crowd.

Hooks are there on measured steps only, each statistic is one call for all weights, and numbers are fetched from the
device once, when a measured step is over. Inside a compiled module nothing is hooked: its weights are still measured.
"""

from collections import deque
from collections.abc import Iterable
from math import nan, sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import UninitializedParameter
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

MARGIN = 0.05  # of the range, at each end
NARROW = 0.5  # a range in which no activation has come near its ends
CROWD = 0.1  # share of the numbers that makes an end crowded

WINDOW = 4  # measured steps over which a unit has to be the same to be called dead

Numbers = dict[str, dict[str, float]]  # what is measured -> layer -> number
Ranges = dict[str, list[tuple[Tensor, Tensor]]]  # layer -> of each call, the units' lowest and highest number


class Signals:
    """Gradient, update and size of every layer's weights, and what arrives at and leaves the layer."""

    def __init__(self, module: nn.Module) -> None:
        trained = (p for p in module.parameters() if p.requires_grad)
        self.parameters = [p for p in trained if not isinstance(p, UninitializedParameter)]
        self.layers = layers_of(module)
        owners = {id(p): name for name, layer in reversed(self.layers.items()) for p in weights_of(layer)}
        self.owners = [owners.get(id(p)) for p in self.parameters]  # of a shared weight the first layer that has it
        self.activations = Activations(self.layers, hidden_by_compilation(module))
        self.clear()

    def clear(self) -> None:
        self.gradients: dict[int, Tensor] = {}  # parameter's number -> norm
        self.before: dict[int, Tensor] = {}

    def begin(self) -> None:
        """From here to ``end`` lies a measured step, be it of several batches."""
        self.clear()
        self.activations.watch()

    @torch.no_grad()
    def before_step(self, optimizer: Optimizer, scale: float = 1.0) -> None:
        """Take the gradients, whole and not yet clipped, and the weights that ``optimizer`` is about to change.

        Gradients that are still ``scale`` times as long, as half precision wants them, are told as they really are.
        """
        its = {id(p) for group in optimizer.param_groups for p in group["params"]}
        numbers = [i for i, p in enumerate(self.parameters) if id(p) in its and p.grad is not None]
        if not numbers:
            return
        lengths = norms(dense(self.parameters[i].grad) for i in numbers)
        if scale != 1.0:
            torch._foreach_div_(lengths, scale)
        self.gradients.update(zip(numbers, lengths, strict=True))
        self.before.update((i, self.parameters[i].detach().clone()) for i in numbers if self.owners[i])

    @torch.no_grad()
    def end(self) -> tuple[Numbers, float]:
        """The layers' numbers, and the norm of the whole gradient."""
        self.activations.ignore()
        stepped = list(self.before)
        after = [self.parameters[i].detach() for i in stepped]
        by_layer: dict[str, dict[str, Tensor]] = {"gradient_norm": {}, "update_ratio": {}, "weight_norm": {}}
        if stepped:
            moved = norms(torch._foreach_sub(after, [self.before[i] for i in stepped]))
            lengths = norms(after)
            of_layer: dict[str, list[int]] = {}
            for place, i in enumerate(stepped):
                of_layer.setdefault(str(self.owners[i]), []).append(place)
            gradients = [self.gradients[i] for i in stepped]
            for name, places in of_layer.items():
                gradient, move, length = (joint([each[p] for p in places]) for each in (gradients, moved, lengths))
                by_layer["gradient_norm"][name] = gradient
                by_layer["update_ratio"][name] = move / length
                by_layer["weight_norm"][name] = length
        by_layer |= self.activations.statistics()
        whole = {"whole": joint(list(self.gradients.values()))} if self.gradients else {}
        self.clear()
        numbers = fetched({**by_layer, "gradient": whole})
        return numbers, numbers.pop("gradient").get("whole", nan)


class Activations:
    """Hooks that gather what arrives at each layer and what leaves it, over as many calls as there are."""

    def __init__(self, layers: dict[str, nn.Module], hidden: set[nn.Module]) -> None:
        self.layers = {name: layer for name, layer in layers.items() if layer not in hidden}
        self.handles: list[RemovableHandle] = []
        self.window: deque[Ranges] = deque(maxlen=WINDOW)
        self.fed_by_data: set[str] = set()  # the features of the data are no units
        self.order: list[str] = []  # layers as the signal meets them

    def seen(self) -> dict[str, list[str]]:
        """What was learnt about the layers on the way, as a checkpoint holds it."""
        return {"order": self.order, "fed_by_data": sorted(self.fed_by_data)}

    def take_over(self, seen: dict[str, list[str]]) -> None:
        self.order, self.fed_by_data = list(seen["order"]), set(seen["fed_by_data"])

    def watch(self) -> None:
        self.ignore()
        self.ranges: Ranges = {}
        self.window.append(self.ranges)
        self.saturated: dict[str, list[Tensor]] = {}
        self.moments: dict[str, list[Tensor]] = {}
        self.handles = [
            layer.register_forward_hook(lambda layer, args, output, name=name: self.see(name, layer, args, output))
            for name, layer in self.layers.items()
        ]

    def apart(self) -> "Activations":
        """The same layers, for other rows."""
        other = Activations(self.layers, set())
        other.fed_by_data = self.fed_by_data
        return other

    def ignore(self) -> None:
        for handle in self.handles:
            handle.remove()
        self.handles = []

    @torch.no_grad()
    def see(self, name: str, layer: nn.Module, args: Any, output: Any) -> None:
        if name not in self.order:
            self.order.append(name)
        left = first_floats(output)
        if left is not None:
            self.moments.setdefault(name, []).append(deviation_and_mean(left.float()))
        x = first_floats(args)
        if x is None or (left is not None and left.requires_grad and not x.requires_grad):
            self.fed_by_data.add(name)
        if x is None or name in self.fed_by_data or x.ndim < 2 or len(x) < 2:
            return
        axis = 1 if isinstance(layer, _ConvNd) else x.ndim - 1  # of the units
        others = [number for number in range(x.ndim) if number != axis]
        lowest, highest = x.amin(others), x.amax(others)
        self.ranges.setdefault(name, []).append((lowest, highest))
        self.saturated.setdefault(name, []).append(saturated_share(x, lowest.amin(), highest.amax()))

    def statistics(self) -> dict[str, dict[str, Tensor]]:
        """Of all calls since ``watch``; dead units over the last few times that were watched."""
        moments = {name: torch.stack(parts).mean(dim=0) for name, parts in self.moments.items()}
        return {
            "activation_mean": {name: both[1] for name, both in moments.items()},
            "activation_std": {name: both[0] for name, both in moments.items()},
            "dead_units": {name: self.dead_share(name) for name in self.ranges},
            "saturated_units": {name: torch.stack(parts).mean() for name, parts in self.saturated.items()},
        }

    def dead_share(self, name: str) -> Tensor:
        seen = [each for ranges in self.window for each in ranges.get(name, [])]
        lowest, highest = (torch.stack(ends) for ends in zip(*seen, strict=True))
        return (lowest.amin(dim=0) == highest.amax(dim=0)).float().mean()


def deviation_and_mean(x: Tensor) -> Tensor:
    """Both in one tensor; on a processor much faster than ``torch.std_mean``."""
    mean = x.mean()
    return torch.stack([torch.linalg.vector_norm(x - mean) / sqrt(x.numel()), mean])


def saturated_share(x: Tensor, lowest: Tensor, highest: Tensor) -> Tensor:
    """Share of numbers near the ends of the range, or 0 if one end is empty. Exact zeros are silence."""
    margin = MARGIN * (highest - lowest)
    there = x != 0
    low = ((x <= lowest + margin) & there).count_nonzero() / x.numel()
    high = ((x >= highest - margin) & there).count_nonzero() / x.numel()
    return torch.where((torch.minimum(low, high) > CROWD) & (highest - lowest > NARROW), low + high, 0.0)


def layers_of(module: nn.Module) -> dict[str, nn.Module]:
    """The modules that own a weight, by name; the classifier's ``network.`` in front is left out."""
    named = {name.removeprefix("network.").replace("_orig_mod.", ""): part for name, part in module.named_modules()}
    return {name or "network": part for name, part in named.items() if weights_of(part)}


def weights_of(layer: nn.Module) -> list[nn.Parameter]:
    own = layer.parameters(recurse=False)
    return [p for p in own if not isinstance(p, UninitializedParameter) and p.ndim >= 2 and p.requires_grad]


def hidden_by_compilation(module: nn.Module) -> set[nn.Module]:
    """Modules inside a compiled one, where a hook would be compiled as well, or never called."""
    compiled = [part for part in module.modules() if part._compiled_call_impl is not None or hasattr(part, "_orig_mod")]
    return {inner for part in compiled for inner in part.modules()}


def first_floats(value: Any) -> Tensor | None:
    """The first tensor of floating-point numbers in a tensor, tuple, list or dict."""
    if isinstance(value, Tensor):
        return value if value.is_floating_point() and value.numel() else None
    parts = value.values() if isinstance(value, dict) else value
    found = map(first_floats, parts if isinstance(value, dict | tuple | list) else ())
    return next((tensor for tensor in found if tensor is not None), None)


def dense(gradient: Any) -> Tensor:
    return gradient.coalesce().values() if gradient.is_sparse else gradient


def norms(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Numbers of half precision are summed up in full: their squares are soon too large."""
    listed = list(tensors)
    half = any(tensor.dtype.itemsize < 4 for tensor in listed)
    return list(torch._foreach_norm(listed, 2, dtype=torch.float32 if half else None)) if listed else []


def joint(lengths: list[Tensor]) -> Tensor:
    return lengths[0] if len(lengths) == 1 else torch.stack([length.to(lengths[0].device) for length in lengths]).norm()


def fetched(tensors: dict[str, dict[str, Tensor]]) -> Numbers:
    """The same with numbers: all in one transfer."""
    flat = [tensor for of_layers in tensors.values() for tensor in of_layers.values()]
    numbers = iter(torch.stack([tensor.float().to(flat[0].device) for tensor in flat]).tolist() if flat else [])
    return {what: {name: next(numbers) for name in of_layers} for what, of_layers in tensors.items()}
