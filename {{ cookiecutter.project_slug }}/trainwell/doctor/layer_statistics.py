"""Statistics of each layer of any module during training, without changing it.

A **layer** is a module that owns a weight: a trainable parameter with two or more axes. **Units** are measured at the
input of the layer that reads them, which works for modules, functions and any activation alike. A unit is **dead** if
it has the same value for every sample (a ReLU that never fires, a stuck sigmoid). A value is **saturated** if it lies
in the outermost twentieth of a range both ends of which are crowded.

Hooks exist on measured steps only, and all numbers are copied from the device at once, when a measured step ends.
Modules inside a compiled one get no hooks; their weights are still measured.
"""

from collections import deque
from collections.abc import Sequence
from math import nan, sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from ..callbacks.training_stats import tensors_in
from ..lightning_internals import is_compiled

MARGIN = 0.05  # of the range, at each end
NARROW = 0.5  # an activation whose range is narrower has not come near its ends
CROWD = 0.1  # share of the values that makes an end crowded
WINDOW = 4  # measured steps over which a unit must not change to be called dead
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

Numbers = dict[str, dict[str, float]]  # statistic -> layer -> value
Ranges = dict[str, list[tuple[Tensor, Tensor]]]  # layer -> lowest and highest value of each unit, for each call


class LayerStatistics:
    """Gradient, update and norm of every layer's weights; mean, deviation, dead and saturated units around it."""

    def __init__(self, module: nn.Module) -> None:
        trained = (p for p in module.parameters() if p.requires_grad)
        self.parameters = [p for p in trained if not isinstance(p, UninitializedParameter)]
        self.layers = layers_of(module)
        owners = {id(p): name for name, layer in reversed(self.layers.items()) for p in weights_of(layer)}
        self.owners = [owners.get(id(p)) for p in self.parameters]  # a shared weight belongs to its first layer
        compiled = [part for part in module.modules() if is_compiled(part)]
        hidden = {inner for part in compiled for inner in part.modules()}  # hooks there are compiled or not called
        self.activations = Activations({name: layer for name, layer in self.layers.items() if layer not in hidden})
        self.gradients: dict[int, Tensor] = {}  # index of the parameter -> norm
        self.before: dict[int, Tensor] = {}

    def begin(self) -> None:
        """Start a measured step, of one or more batches, which lasts until ``end``."""
        self.activations.start()

    @torch.no_grad()
    def before_step(self, optimizer: Optimizer, scale: float = 1.0) -> None:
        """Keep the gradients, before clipping, and the weights that ``optimizer`` is about to change.

        ``scale`` is the factor by which a gradient scaler has multiplied the gradients.
        """
        its = {id(p) for group in optimizer.param_groups for p in group["params"]}
        for i, parameter in enumerate(self.parameters):
            if id(parameter) in its and parameter.grad is not None:
                self.gradients[i] = norm_of(parameter.grad) / scale
                if self.owners[i]:
                    self.before[i] = parameter.detach().clone()

    @torch.no_grad()
    def end(self) -> tuple[Numbers, float]:
        """The statistics of each layer, and the norm of the whole gradient."""
        self.activations.stop()
        by_layer: dict[str, dict[str, Tensor]] = {"gradient_norm": {}, "update_ratio": {}, "weight_norm": {}}
        indices: dict[str, list[int]] = {}
        for i in self.before:
            indices.setdefault(str(self.owners[i]), []).append(i)
        for name, of_layer in indices.items():
            moved = joint([norm_of(self.parameters[i] - self.before[i]) for i in of_layer])
            length = joint([norm_of(self.parameters[i]) for i in of_layer])
            by_layer["gradient_norm"][name] = joint([self.gradients[i] for i in of_layer])
            by_layer["update_ratio"][name] = moved / length
            by_layer["weight_norm"][name] = length
        whole = {"whole": joint(list(self.gradients.values()))} if self.gradients else {}
        self.gradients, self.before = {}, {}
        numbers = fetched({**by_layer, **self.activations.statistics(), "gradient": whole})
        return numbers, numbers.pop("gradient").get("whole", nan)


class Activations:
    """Hooks that measure what enters and what leaves each layer, over any number of calls."""

    def __init__(self, layers: dict[str, nn.Module]) -> None:
        self.layers = layers
        self.handles: list[RemovableHandle] = []
        self.window: deque[Ranges] = deque(maxlen=WINDOW)
        self.reads_data: set[str] = set()  # layers whose inputs are features of the data or parameters, not units
        self.order: list[str] = []  # layers in the order of the forward pass

    def state_dict(self) -> dict[str, Any]:
        """What later measurements depend on; a step in progress is left out."""
        window = list(self.window)[: -1 if self.handles else None]
        return {"order": list(self.order), "reads_data": sorted(self.reads_data), "window": window}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.order, self.reads_data = list(state["order"]), set(state["reads_data"])
        self.window.extend(state["window"])

    def start(self) -> None:
        self.stop()
        self.ranges: Ranges = {}
        self.window.append(self.ranges)
        self.saturated: dict[str, list[Tensor]] = {}
        self.moments: dict[str, list[Tensor]] = {}
        self.handles = [
            layer.register_forward_hook(lambda layer, args, output, name=name: self.measure(name, layer, args, output))
            for name, layer in self.layers.items()
        ]

    def stop(self) -> None:
        for handle in self.handles:
            handle.remove()
        self.handles = []

    @torch.no_grad()
    def measure(self, name: str, layer: nn.Module, args: Any, output: Any) -> None:
        if name not in self.order:
            self.order.append(name)
        y = first_floats(output)
        if y is not None:
            self.moments.setdefault(name, []).append(deviation_and_mean(y.float()))
        x = first_floats(args)
        expanded = x is not None and x.ndim > 1 and x.stride(0) == 0  # a learned query, the same for every sample
        if x is None or expanded or (y is not None and y.requires_grad and not x.requires_grad):
            self.reads_data.add(name)
        if x is None or name in self.reads_data or x.ndim < 2 or len(x) < 2:
            return
        axis = 1 if isinstance(layer, CONVOLUTIONS) else x.ndim - 1  # of the units
        others = [number for number in range(x.ndim) if number != axis]
        lowest, highest = x.amin(others), x.amax(others)
        self.ranges.setdefault(name, []).append((lowest, highest))
        self.saturated.setdefault(name, []).append(saturated_share(x, lowest.amin(), highest.amax()))

    def statistics(self) -> dict[str, dict[str, Tensor]]:
        """Over all calls since ``start``; dead units over the window of the last starts."""
        moments = {name: torch.stack(parts).mean(dim=0) for name, parts in self.moments.items()}
        return {
            "activation_mean": {name: both[1] for name, both in moments.items()},
            "activation_std": {name: both[0] for name, both in moments.items()},
            "dead_units": {name: self.dead_share(name) for name in self.ranges},
            "saturated_units": {name: torch.stack(parts).mean() for name, parts in self.saturated.items()},
        }

    def dead_share(self, name: str) -> Tensor:
        calls = [call for ranges in self.window for call in ranges.get(name, [])]
        device = calls[-1][0].device  # a window restored from a checkpoint may be on another one
        lowest, highest = (torch.stack([end.to(device) for end in ends]) for ends in zip(*calls, strict=True))
        return (lowest.amin(dim=0) == highest.amax(dim=0)).float().mean()


def deviation_and_mean(x: Tensor) -> Tensor:
    """Both in one tensor; much faster on a CPU than ``torch.std_mean``."""
    mean = x.mean()
    return torch.stack([torch.linalg.vector_norm(x - mean) / sqrt(x.numel()), mean])


def saturated_share(x: Tensor, lowest: Tensor, highest: Tensor) -> Tensor:
    """Share of the values near the ends of the range, 0 if an end is not crowded. Exact zeros count as dropped."""
    margin = MARGIN * (highest - lowest)
    kept = x != 0
    low = ((x <= lowest + margin) & kept).count_nonzero() / x.numel()
    high = ((x >= highest - margin) & kept).count_nonzero() / x.numel()
    return torch.where((torch.minimum(low, high) > CROWD) & (highest - lowest > NARROW), low + high, 0.0)


def layers_of(module: nn.Module) -> dict[str, nn.Module]:
    """The modules that own a weight, by name, without the prefixes that a LightningModule and compilation add."""
    named = {name.removeprefix("network.").replace("_orig_mod.", ""): part for name, part in module.named_modules()}
    return {name or "network": part for name, part in named.items() if weights_of(part)}


def weights_of(layer: nn.Module) -> list[nn.Parameter]:
    own = layer.parameters(recurse=False)
    return [p for p in own if not isinstance(p, UninitializedParameter) and p.ndim >= 2 and p.requires_grad]


def first_floats(value: Any) -> Tensor | None:
    """The first floating-point tensor in a tensor, tuple, list or dict."""
    return next((tensor for tensor in tensors_in(value) if tensor.is_floating_point() and tensor.numel()), None)


def norm_of(tensor: Tensor) -> Tensor:
    """Summed in float32 at least: squares in half precision overflow."""
    values = tensor.coalesce().values() if tensor.is_sparse else tensor
    return torch.linalg.vector_norm(values, dtype=torch.float32 if values.dtype.itemsize < 4 else None)


def joint(norms: Sequence[Tensor]) -> Tensor:
    """The norm of all tensors together; one device may hold some, another device the others."""
    return norms[0] if len(norms) == 1 else torch.stack([norm.to(norms[0].device) for norm in norms]).norm()


def fetched(tensors: dict[str, dict[str, Tensor]]) -> Numbers:
    """The same with numbers, copied from the device in one transfer."""
    flat = [tensor for of_layers in tensors.values() for tensor in of_layers.values()]
    numbers = iter(torch.stack([tensor.float().to(flat[0].device) for tensor in flat]).tolist() if flat else [])
    return {what: {name: next(numbers) for name in of_layers} for what, of_layers in tensors.items()}
