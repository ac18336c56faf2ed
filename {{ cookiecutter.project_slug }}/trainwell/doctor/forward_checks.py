"""Forward passes of a trained network: whether outputs mix samples, ignore input directions or see later tokens."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from math import log10
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from .inspection import TINY, Fading, Inspection
from .layer_statistics import layers_of
from .loss_calls import LossCall
from .problem import CALL_ERRORS

FEW = 16  # samples of the forward checks
MOST_OUTPUTS = 12  # whose slopes are computed
DIFFERS = 0.01  # outputs for the same samples, relative to their deviation
CONSTANT = 1e-3  # deviation relative to the size of outputs, below which rounding decides
SMALL = 1e-3  # a singular value, relative to the largest
FEWEST_STEPS = 8  # of a sequence along which gradients are followed
UNMOVED = 1e-4  # relative to the deviation of outputs, below which rounding decides
SATURATED = 4.0  # input of a sigmoid or tanh, which changes it by less than 2 % of its range from there
BOUNDED = (torch.sigmoid, Tensor.sigmoid, functional.sigmoid, torch.tanh, Tensor.tanh, functional.tanh)
NEXT = "t + 1"  # position of the token that outputs at t are to predict
ALIGNED = 0.98  # share of the targets that are tokens of the inputs


@torch.no_grad()
def influential(module: nn.Module, x: Tensor, names: Sequence[str], trained: set[str]) -> list[str] | None:
    """Which of the parameters outputs for ``x`` depend on; None if that cannot be seen.

    Layers that are called here but not in the training batches (``trained``), as with stochastic depth, are left out.
    """
    parameters = dict(module.named_parameters())
    layers: dict[str, list[str]] = {}
    for name in names:
        layers.setdefault(name.rpartition(".")[0], []).append(name)
    try:
        before, called = outputs_of_layers(module, x[:FEW])
        if not torch.equal(before, as_matrix(module(x[:FEW]), len(before))):
            return None
        found: list[str] = []
        for layer, of_layer in layers.items():
            if layer.removeprefix("network.") in called.keys() - trained:
                continue
            for name in of_layer:
                parameters[name].mul_(1.5).add_(torch.rand_like(parameters[name]))
            if not torch.equal(before, after := as_matrix(module(x[:FEW]), len(before))):
                found, before = [*found, *of_layer], after
    except CALL_ERRORS:
        return None
    return found


@torch.no_grad()
def inspect_forward(found: Inspection, module: nn.Module, x: Tensor, reorder: bool = True) -> None:
    """Compare outputs for the same samples: twice, in other company, and between two samples. In evaluation mode.

    What a forward pass with another purpose raises ends the comparison.
    """
    if len(x) < FEW:
        return
    x = x[:FEW]
    with suppress(*CALL_ERRORS):
        (again, of_again), (outputs, of_layers) = outputs_of_layers(module, x), outputs_of_layers(module, x)
        half, of_half = outputs_of_layers(module, x[: FEW // 2])
        found.randomness = difference(again, outputs) or 0.0
        found.mixing = difference(half, outputs[: FEW // 2], scale=outputs) or 0.0
        if reorder:  # else targets, which a step may give to the network, would belong to other samples
            reordered = as_matrix(module(x.flip(0)), len(x)).flip(0)
            found.mixing = max(found.mixing, difference(reordered, outputs) or 0.0)
        for name, first in of_layers.items():
            other = of_half.get(name)
            if other is None or other.shape[1] != first.shape[1]:
                continue
            if (difference(of_again.get(name, first), first) or 0.0) > DIFFERS:
                continue  # a layer that is called again with random inputs
            apart = difference(other, first[: FEW // 2], scale=first)
            if apart is not None and apart > DIFFERS and not found.mixing_layer:
                found.mixing, found.mixing_layer = max(found.mixing, apart), name
        found.curvature = curvature(module, x)


def holds_identifiers(module: nn.Module, x: Tensor) -> bool:
    """Whether some features may be numbers of rows of a table, which other numbers would miss."""
    whole = (x == x.round()).flatten(1).all(dim=0)
    return bool(whole.any()) and any(isinstance(part, nn.Embedding | nn.EmbeddingBag) for part in module.modules())


@torch.no_grad()
def curvature(module: nn.Module, x: Tensor) -> float | None:
    """How far from an affine map: between two samples, and beyond them. None if that cannot be seen."""
    if not x.is_floating_point() or len(x) < FEW or holds_identifiers(module, x):
        return None
    a, b = x[: FEW // 2], x[FEW // 2 : FEW]
    try:
        ends = [as_matrix(module(part), len(a)) for part in (a, b, (a + b) / 2, 2 * a - b)]
    except CALL_ERRORS:
        return None
    scale = torch.cat(ends[:2])
    middle = difference(ends[2], (ends[0] + ends[1]) / 2, scale=scale)
    beyond = difference(ends[3], 2 * ends[0] - ends[1], scale=scale)
    return None if middle is None or beyond is None else max(middle, beyond)


def outputs_of_layers(module: nn.Module, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """What the module returns for samples, and what each layer returns that has a row for each of them."""
    of_layers: dict[str, Tensor] = {}

    def keep(name: str, layer: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.is_floating_point() and len(output) == len(x):
            of_layers[name] = output.detach().reshape(len(x), -1).double()

    with ExitStack() as hooks:
        for name, layer in layers_of(module).items():
            hooks.enter_context(layer.register_forward_hook(partial(keep, name)))
        return as_matrix(module(x), len(x)), of_layers


def inspect_rank(found: Inspection, module: nn.Module, x: Tensor) -> None:
    """In how many independent directions the outputs of one sample move with its input, to first order."""
    x = x[:FEW].detach().clone().requires_grad_(x.is_floating_point())
    try:
        outputs = as_matrix(module(x), len(x)).float()
        if not outputs.requires_grad or not x.requires_grad or x.is_inference():
            return
        count = min(outputs.shape[1], MOST_OUTPUTS)
        slopes = [
            torch.autograd.grad(outputs[:, n].sum(), x, retain_graph=True, allow_unused=True)[0] for n in range(count)
        ]
    except CALL_ERRORS:
        return
    if any(slope is None or not slope.isfinite().all() for slope in slopes):
        return
    jacobians = torch.stack([slope.flatten(1) for slope in slopes], dim=1)
    ranks = torch.linalg.matrix_rank(jacobians.double(), rtol=SMALL)
    found.rank, found.full_rank = int(ranks.median()), min(jacobians.shape[1:])


def inspect_fading(found: Inspection, module: nn.Module, x: Tensor) -> None:
    """Follow the gradient of the outputs back through the steps of the sequences that recurrent layers read.

    A layer that is called once for each step of the inputs (B, T, F) is taken for a recurrence written by hand.
    """
    read: dict[str, Tensor] = {}
    called: Counter[str] = Counter()

    def keep(name: str, layer: nn.Module, args: Any) -> Any:
        if not isinstance(args[0], Tensor) or args[0].ndim != 3:  # a packed sequence, or one sample
            return args
        read[name] = args[0].clone() if args[0].requires_grad else args[0].detach().clone().requires_grad_()
        return read[name], *args[1:]

    def count(name: str, layer: nn.Module, args: Any) -> None:
        called[name] += 1

    recurrent = {name: part for name, part in module.named_modules() if isinstance(part, nn.RNNBase)}
    layers = layers_of(module)
    x = x.detach().clone().requires_grad_(x.is_floating_point())
    try:
        with ExitStack() as hooks, torch.backends.cudnn.flags(enabled=False):  # no gradient in evaluation mode
            for name, part in recurrent.items():
                hooks.enter_context(part.register_forward_pre_hook(partial(keep, name)))
            for name, layer in layers.items():
                hooks.enter_context(layer.register_forward_pre_hook(partial(count, name)))
            total = as_matrix(module(x), len(x)).sum()
            if not recurrent and x.requires_grad and x.ndim == 3:
                read = {name: x for name, times in called.items() if times == x.shape[1]}
            slopes = torch.autograd.grad(total, list(read.values()), allow_unused=True) if read else ()
    except CALL_ERRORS:
        return
    for name, slope in zip(read, slopes, strict=True):
        if slope is None or not slope.isfinite().all():
            continue
        layer = recurrent[name] if recurrent else layers[name]
        by_step = slope.transpose(0, 1) if getattr(layer, "batch_first", True) else slope
        norms = by_step.flatten(1).norm(dim=1)
        if len(norms) < FEWEST_STEPS or not norms.any():
            continue
        ratio = log10(max((norms[: len(norms) // 4].max() / norms.max()).item(), TINY))
        if found.fading is None or ratio < found.fading.ratio:
            has_gates = isinstance(layer, nn.LSTM | nn.GRU | nn.LSTMCell | nn.GRUCell)
            found.fading = Fading(ratio, name.removeprefix("network."), has_gates)


class FlatFunctions(TorchFunctionMode):
    """Note which share of what each sigmoid and tanh gets lies where it is flat."""

    def __init__(self) -> None:
        super().__init__()
        self.shares: dict[str, float] = {}

    def note(self, name: str, x: Tensor) -> None:
        share = (x.abs() > SATURATED).double().mean().item()
        self.shares[name] = max(self.shares.get(name, 0.0), share)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in BOUNDED and args:
            self.note(f"a {func.__name__}", args[0])
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def saturated_gates(module: nn.Module, run: Callable[[], Any]) -> tuple[str, float] | None:
    """The function or the recurrent layer most of whose gates are at the ends of their range, and their share.

    ``run`` calls the module.
    """
    flat = FlatFunctions()

    def measure(name: str, layer: nn.Module, args: Any, output: Any) -> None:
        read = args[0] if args else None
        if isinstance(read, Tensor) and read.ndim == (2 if isinstance(layer, nn.RNNCellBase) else 3):
            flat.note(name, gate_inputs(layer, *args, output=output))

    with ExitStack() as hooks:
        for name, part in module.named_modules():
            if isinstance(part, nn.LSTM | nn.GRU | nn.LSTMCell | nn.GRUCell):
                hooks.enter_context(part.register_forward_hook(partial(measure, name.removeprefix("network."))))
        hooks.enter_context(flat)
        run()
    return max(flat.shares.items(), key=lambda found: found[1], default=None)


def gate_inputs(layer: Any, x: Tensor, state: Any = None, *, output: Any) -> Tensor:
    """What the gates of a layer's first cell get, of all steps; without the states where these are not known."""
    cell = isinstance(layer, nn.RNNCellBase)
    weight, of_state = (layer.weight_ih, layer.weight_hh) if cell else (layer.weight_ih_l0, layer.weight_hh_l0)
    found = functional.linear(x, weight)
    if layer.bias:
        found = found + (layer.bias_ih + layer.bias_hh if cell else layer.bias_ih_l0 + layer.bias_hh_l0)
    if cell:
        before = state[0] if isinstance(state, tuple) else state
        return found if before is None else found + functional.linear(before, of_state)
    if layer.num_layers > 1 or layer.proj_size:
        return found
    before = output[0][..., : layer.hidden_size].roll(1, dims=int(layer.batch_first))
    before.select(int(layer.batch_first), 0).zero_()
    return found + functional.linear(before, of_state)


def inspect_future(found: Inspection, outputs: Callable[[Tensor], LossCall | None], x: Tensor) -> None:
    """Whether the outputs of a language model depend on the tokens that they are to predict.

    ``outputs`` returns what the loss gets for tokens (B, T). Targets are the next tokens, or the tokens themselves.
    """
    if x.is_floating_point() or x.ndim != 2 or x.shape[1] < FEWEST_STEPS:
        return
    place = x.shape[1] // 2
    other = x.clone()
    other[:, place] = x[:, place].roll(1)
    before, again, after = outputs(x), outputs(x), outputs(other)
    if before is None or again is None or after is None or before.outputs.shape != after.outputs.shape:
        return
    if not torch.equal(before.outputs, again.outputs):  # dropout in evaluation, say
        return
    if before.targets.numel() % len(x) or before.outputs.ndim not in (2, 3):
        return
    targets = before.targets.reshape(len(x), -1)
    steps = targets.shape[1]
    if not place < steps <= x.shape[1]:
        return
    apart = (before.outputs - after.outputs).abs()
    by_step = apart.amax(dim=1) if apart.ndim == 3 else apart.amax(dim=-1)  # (B, V, T) or (B * T, V)
    moved = by_step.reshape(len(x), steps).amax(dim=0) > UNMOVED * before.outputs.std()
    for shift in (0, 1):
        count = min(steps, x.shape[1] - shift)
        given = targets[:, :count] >= 0
        same = (targets[:, :count] == x[:, shift : shift + count])[given].double().mean().item()
        causal = not moved[:place].any()
        if same > ALIGNED and moved[place - shift] and (shift or causal):
            found.sees_targets = NEXT if shift else "t itself"


def as_matrix(outputs: Any, count: int) -> Tensor:
    """Raises: ValueError: the outputs are no rows for the samples."""
    if not isinstance(outputs, Tensor) or len(outputs) != count or not outputs.is_floating_point():
        raise ValueError("no rows of numbers")
    return outputs.reshape(count, -1).double()


def difference(found: Tensor, expected: Tensor, scale: Tensor | None = None) -> float | None:
    """The largest difference, relative to the deviation of the outputs over samples; None if they do not vary."""
    deviation = (expected if scale is None else scale).std(dim=0).max().item()
    largest = (found - expected).abs().max().item()
    size = expected.abs().max().item()
    return largest / deviation if deviation > CONSTANT * max(size, 1e-6) else None
