"""What can be seen of a network without judging how well it trains: its graph, its optimizers, its forward pass."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..data.standardize import Standardizer
from .loss_calls import LossCall, nodes_behind

FLAT = ("Round", "Floor", "Ceil", "Trunc", "Sign", "Heaviside")  # operations with a derivative of zero
GRAPHS = 3  # batches whose graph is walked
BLOCKED_STEPS = 3
FEWEST_WEIGHTS, NEARLY = 32, 0.2  # of a weight whose distribution is known; of its deviation
MOST_SIGMAS, MOMENTS = 4.0, torch.tensor([1.0, 2.0, 96.0])  # variances of x, x**2 and x**4 of a standard normal
ROUNDED = 1e-2  # of a gradient, since it is the difference between two large ones
FAINT = {True: -3.0, False: -2.0}  # powers of ten, by whether the layer has gates
TINY = 1e-30  # replaces zero in logarithms


@dataclass
class Inspection:
    """Names of parameters and layers, and differences between outputs relative to their deviation."""

    sizes: dict[str, int] = field(default_factory=dict)  # of every parameter
    frozen: list[str] = field(default_factory=list)  # parameters that ask for no gradient
    frozen_at_random: bool = False  # whether some of these hold what torch starts layers with
    not_given: list[str] = field(default_factory=list)  # ask for one, and no optimizer has them
    unreached: list[str] = field(default_factory=list)  # no graph of a loss leads to them
    cut: list[str] | None = None  # those of them that outputs depend on; None: not known
    aside: list[str] = field(default_factory=list)  # outputs depend on them, and only another term trains them
    flat: str = ""  # an operation in the graph that passes no gradient
    called: set[str] = field(default_factory=set)  # layers that the forward pass calls
    unregistered: dict[str, int] = field(default_factory=dict)  # trained by the loss, and no parameters of the module
    renewed: bool = False  # these are others in every batch
    uncleared: int = 0  # steps of which the gradient was added to that of the step before
    steps: int = 0
    batches: int = 0
    optimizers: int = 0
    idle: int = 0  # optimizers that have not stepped, though others have
    calls: Sequence[LossCall] = ()
    mixing: float | None = None  # how far outputs depend on the other samples of a batch, in evaluation mode
    mixing_layer: str = ""  # the first in which they do
    dropped: float = 0.0  # share of units, in evaluation mode
    normalises_batches: bool = False  # whether a validation step puts batch normalisation into training mode
    randomness: float | None = None  # how far two evaluations of the same samples differ
    curvature: float | None = None  # how far the network is from an affine map
    rank: int | None = None  # directions of the input, of those that there are, that can change outputs; a median
    full_rank: int = 0  # the most that there could be
    penalty: dict[str, float] = field(default_factory=dict)  # parameter -> factor of its value in the loss's gradient
    fading: "Fading | None" = None  # the recurrent layer with the smallest ratio
    gates: tuple[str, float] | None = None  # where most gates start saturated, and their share
    sees_targets: str = ""  # the position of the token that outputs of a language model see although it is their target
    raw: Sequence["RawPart"] = ()  # unscaled inputs in batches of more than inputs and targets
    log_probability: float = 0.0  # the highest that kl_div got
    apart: float = 0.0  # share of the targets of a sample that a loss compares with outputs of others
    batch_norm: tuple[float, float] | None = None  # train loss with running statistics, and with those of the batch

    @property
    def call(self) -> LossCall | None:
        """The last one."""
        return self.calls[-1] if self.calls else None


class Fading(NamedTuple):
    """How little of the gradient of a recurrent layer's outputs reaches the first quarter of a sequence."""

    ratio: float  # of its largest norm at any step, as a power of ten
    layer: str
    has_gates: bool

    @property
    def is_faint(self) -> bool:
        return self.ratio < FAINT[self.has_gates]


class RawPart(NamedTuple):
    """A part of a batch, by its place among the tensors, and what would scale it."""

    place: int
    name: str
    scaled: Standardizer


class Inspector:
    """Fill in an ``Inspection`` during the first batches of a training."""

    def __init__(self) -> None:
        self.found = Inspection()
        self.reached: set[int] = set()
        self.compared: set[int] = set()  # parameters that the results of loss functions lead to
        self.foreign: dict[int, Tensor] = {}
        self.foreign_of_batch: list[set[int]] = []
        self.cleared: dict[int, bool] = {}  # optimizer -> whether its gradients were empty since its last step
        self.stepped: set[int] = set()  # optimizers

    def start(self, module: nn.Module, optimizers: Sequence[Optimizer]) -> None:
        named = {name: parameter for name, parameter in module.named_parameters() if is_known(parameter)}
        self.found.frozen = [name for name, parameter in named.items() if not parameter.requires_grad]
        trained = [parameter for parameter in named.values() if parameter.requires_grad]
        tables = {id(part.weight) for part in module.modules() if isinstance(part, nn.Embedding | nn.EmbeddingBag)}
        self.found.frozen_at_random = any(
            is_as_torch_starts(named[name], id(named[name]) in tables) and not is_copied(named[name], trained)
            for name in self.found.frozen
        )
        self.cleared = {number: True for number in range(len(optimizers))}

    def before_backward(self, module: nn.Module, optimizers: Sequence[Optimizer], loss: Tensor) -> None:
        for number, optimizer in enumerate(optimizers):
            gradients = (p.grad for group in optimizer.param_groups for p in group["params"])
            if self.found.batches < 2 * BLOCKED_STEPS and not any(g is not None and g.any() for g in gradients):
                self.cleared[number] = True
        if self.found.batches < GRAPHS:
            own = {id(parameter) for parameter in module.parameters()}
            self.foreign_of_batch.append(set())
            for node in nodes_behind(loss):
                if node.name().startswith(FLAT):
                    self.found.flat = node.name()
                variable = getattr(node, "variable", None)  # of the nodes that accumulate gradients
                if isinstance(variable, Tensor):
                    self.reached.add(id(variable))
                    if id(variable) not in own and isinstance(variable, nn.Parameter):
                        self.foreign[id(variable)] = variable
                        self.foreign_of_batch[-1].add(id(variable))

    def note_results(self, results: Iterable[Tensor]) -> None:
        """What the loss functions of a batch have returned, which may be parts of its loss."""
        if self.found.batches < GRAPHS:
            variables = (getattr(node, "variable", None) for result in results for node in nodes_behind(result))
            self.compared |= {id(variable) for variable in variables if isinstance(variable, Tensor)}

    def before_first_backward(self, module: nn.Module, loss: Tensor, result: Tensor) -> None:
        """Look for weights that are decayed by a term of the loss: ``result`` is what the loss function returned."""
        weights = {name: p for name, p in module.named_parameters() if is_known(p) and p.requires_grad and p.ndim > 1}
        if torch.equal(loss, result) or not (loss - result).requires_grad or not weights:
            return
        try:
            slopes = torch.autograd.grad(loss - result, list(weights.values()), retain_graph=True, allow_unused=True)
        except RuntimeError:  # part of the graph only knows backward(), as with reentrant checkpoints
            return
        for (name, weight), slope in zip(weights.items(), slopes, strict=True):
            if slope is None or slope.is_sparse or not slope.any():
                continue
            factor = ((weight * slope).sum() / weight.square().sum()).item()
            if factor > 0 and (slope - factor * weight).norm() < ROUNDED * slope.norm():
                self.found.penalty[name] = factor

    def before_step(self, optimizers: Sequence[Optimizer], optimizer: Optimizer) -> None:
        for number, each in enumerate(optimizers):
            if each is not getattr(optimizer, "optimizer", optimizer):
                continue
            self.stepped.add(number)
            if self.found.batches < 2 * BLOCKED_STEPS:
                self.found.uncleared += not self.cleared[number]
                self.cleared[number] = False

    def after_batch(self, stepped: bool, called: Iterable[str]) -> None:
        """``called`` are the layers that forward passes have called so far."""
        self.found.batches += 1
        self.found.steps += stepped
        if self.found.batches <= GRAPHS:
            self.found.called = set(called)

    def end(self, module: nn.Module, optimizers: Sequence[Optimizer], calls: Sequence[LossCall]) -> Inspection:
        """What was found; hooks may have changed layers after the start, so the optimizers are read only now."""
        found = self.found
        named = {name: parameter for name, parameter in module.named_parameters() if is_known(parameter)}
        given = {id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
        found.sizes = {name: parameter.numel() for name, parameter in named.items()}
        found.not_given = [name for name, p in named.items() if p.requires_grad and id(p) not in given]
        self.foreign = {key: parameter for key, parameter in self.foreign.items() if key not in given}
        if self.reached:
            found.unreached = [
                name for name, p in module.named_parameters() if p.requires_grad and id(p) not in self.reached
            ]
            aside = self.reached - self.compared if self.compared else set()
            found.aside = [name for name, p in module.named_parameters() if p.requires_grad and id(p) in aside]
        found.unregistered = {name: size for name, size in unregistered_layers(module, self.foreign)}
        batches = self.foreign_of_batch
        if len(batches) > 1 and all(batches) and not set.intersection(*batches):  # kept alive, so that ids differ
            found.renewed = True
            found.unregistered = {"forward": sum(self.foreign[key].numel() for key in batches[0] & self.foreign.keys())}
        found.optimizers, found.idle = len(optimizers), len(optimizers) - len(self.stepped) if self.stepped else 0
        found.calls = [call for call in calls if call.name != "difference"] or calls
        return found


def is_as_torch_starts(weight: Tensor, of_embedding: bool = False) -> bool:
    """Whether a weight was never trained: uniform between plus and minus ``1 / sqrt(fan_in)``, or standard normal."""
    if weight.ndim < 2 or weight.numel() < FEWEST_WEIGHTS:
        return False
    if of_embedding:
        values = weight[weight.any(dim=1)].flatten().cpu().double()  # that of padding is 0
        moments = torch.stack([values.mean(), values.square().mean() - 1, values.pow(4).mean() - 3])
        return bool((moments.abs() < MOST_SIGMAS * (MOMENTS / len(values)).sqrt()).all())
    bound = weight[0].numel() ** -0.5
    return bool(weight.abs().max() <= bound and abs(weight.std().item() / bound * sqrt(3) - 1) < NEARLY)


def is_copied(weight: Tensor, others: Iterable[Tensor]) -> bool:
    """Whether another weight is the same, as those of a network and its target are before the first step."""
    return any(weight.shape == other.shape and torch.equal(weight, other) for other in others)


def is_known(parameter: Tensor) -> bool:
    return not isinstance(parameter, nn.parameter.UninitializedParameter)


def unregistered_layers(module: nn.Module, foreign: dict[int, Tensor]) -> Iterator[tuple[str, int]]:
    """The lists and other attributes that hold modules with these parameters, and how many values."""
    if not foreign:
        return
    for name, part in module.named_modules():
        for attribute, value in vars(part).items():
            if attribute.startswith("_"):
                continue
            size = sum(p.numel() for each in modules_in(value) for p in each.parameters() if id(p) in foreign)
            if size:
                yield f"{name}.{attribute}".removeprefix("network.").removeprefix("."), size


def modules_in(value: Any, deep: int = 3) -> Iterator[nn.Module]:
    """Modules in lists, dicts and attributes of objects that are no modules themselves."""
    if isinstance(value, nn.Module):
        yield value
    elif deep and isinstance(value, list | tuple | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from modules_in(each, deep - 1)
    elif deep and hasattr(value, "__dict__") and not isinstance(value, Tensor | type):
        yield from modules_in(vars(value), deep - 1)
