"""Changes to a trial that may remove a fault: with them the trial is repeated, on the same batches."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import count
from math import sqrt
from typing import Any, cast

import torch
from lightning import Callback, LightningModule, Trainer
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrize import is_parametrized
from torch.overrides import TorchFunctionMode

from ..data import standardize
from ..data.batches import Samples
from ..data.standardize import Standardizer
from .forward_checks import holds_identifiers
from .history import History
from .inspection import RawPart
from .layer_statistics import layers_of
from .problem import Problem

RATES = ("lr", "initial_lr", "max_lr", "min_lr")  # what a parameter group may keep of its learning rate
GENTLE = 0.2  # dropout rate
DROPPING = (
    functional.dropout,
    functional.dropout1d,
    functional.dropout2d,
    functional.dropout3d,
    functional.alpha_dropout,
    functional.feature_alpha_dropout,
)
SMALLER = 0.02
EMBEDDED = 0.05  # deviation of small embeddings, whose products do not start far from 0
OPEN = 3.0  # bias of a gate that keeps 95 % of the state in every step
FLAT = (nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Hardsigmoid, nn.Softsign)


@dataclass(frozen=True)
class Treatment:
    """What is changed; ``remedy`` are the overrides that do the same, empty if none do."""

    name: str
    remedy: str = ""
    module: Callable[[LightningModule], None] = lambda module: None
    problem: Callable[[Problem], Problem] | None = None  # needs samples in memory
    callback: Callable[[], Callback] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    advice: tuple[str, ...] = ()  # what does the same in code

    def fits(self, module: LightningModule, problem: Problem | None) -> bool:
        clips = "gradient_clip_val" in self.settings
        if self.problem is with_standardized and problem and holds_identifiers(module, problem.train.x):
            return False
        return not (clips and not module.automatic_optimization) and not (self.problem and problem is None)


class ChangeGroups(Callback):
    """Change the parameter groups of all optimizers before the first step."""

    def __init__(self, change: Callable[[dict[str, Any]], None], factor: float = 1.0) -> None:
        self.change, self.factor = change, factor

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                self.change(group)
        for config in trainer.lr_scheduler_configs:
            if hasattr(config.scheduler, "base_lrs"):
                config.scheduler.base_lrs = [self.factor * rate for rate in config.scheduler.base_lrs]


class NoDecay(ChangeGroups):
    """Neither decay by the optimizer nor by a penalty in the loss, which gave these factors of the weights."""

    def __init__(self, penalty: dict[str, float]) -> None:
        super().__init__(lambda group: group.update(weight_decay=0.0))
        self.penalty = penalty

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        for name, parameter in pl_module.named_parameters():
            if name in self.penalty and parameter.grad is not None:
                parameter.grad.sub_(parameter.detach(), alpha=self.penalty[name])


class Decay(Callback):
    """Add ``strength`` times the square of each weight to the loss, but not of biases and other vectors."""

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        for parameter in pl_module.parameters():
            if parameter.ndim > 1 and parameter.grad is not None:
                parameter.grad.add_(parameter.detach(), alpha=2 * self.strength)


class TrainAll(Callback):
    """Add the parameters that no optimizer holds to the first one."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        given = {id(p) for each in trainer.optimizers for group in each.param_groups for p in group["params"]}
        left = [parameter for parameter in pl_module.parameters() if id(parameter) not in given]
        trainer.optimizers[0].param_groups[0]["params"].extend(left)


class GentleDropout(TorchFunctionMode):
    """Drop no more than a share ``GENTLE``, in layers and in calls of torch's functions."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in DROPPING:
            given = kwargs.pop("p") if "p" in kwargs else args[1] if len(args) > 1 else 0.5
            args = (*args[:1], min(given, GENTLE), *args[2:])
        return func(*args, **kwargs)


class DropLess(Callback):
    """Drop less in training steps."""

    def __init__(self) -> None:
        self.mode = ExitStack()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.mode.enter_context(GentleDropout())

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self.mode.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.mode.close()


def rate_times(history: History, factor: float) -> Treatment:
    """The learning rate times ``factor``, rounded to one digit."""
    remedy = history.rate_times(factor)
    rate = remedy.partition("=")[2]
    factor = float(rate) / max(history.learning_rate, 1e-30)

    def change(group: dict[str, Any]) -> None:
        for key in RATES:
            if key in group:
                group[key] = factor * group[key]

    return Treatment(f"a learning rate of {rate}", remedy, callback=lambda: ChangeGroups(change, factor))


def lower_momentum(group: dict[str, Any]) -> None:
    group.update({"momentum": 0.9} if "momentum" in group else {})


def with_standardized(problem: Problem) -> Problem:
    """Each feature by its mean and deviation over the train samples."""
    standardized = standardize.fit([problem.train.x])
    train, val = (Samples(standardized(part.x), part.y) for part in (problem.train, problem.val))
    return replace(problem, train=train, val=val, in_memory=True)


def with_scaled(raw: Sequence[RawPart]) -> Treatment:
    """Steps that scale these parts of their batches."""
    scaled = {part.place: part.scaled for part in raw}

    def step(name: str, kind: type[LightningModule]) -> Callable[..., Any]:
        def with_scaled_batch(self: LightningModule, batch: Any, *others: Any) -> Any:
            places = count()
            known = apply_to_collection(batch, Tensor, lambda part: scaled_like(part, scaled.get(next(places))))
            return getattr(kind, name)(self, known, *others)

        return with_scaled_batch

    def change(module: LightningModule) -> None:
        kind = type(module)
        steps = {name: step(name, kind) for name in ("training_step", "validation_step")}
        module.__class__ = type(kind.__name__, (kind,), steps)

    return Treatment("standardized inputs", module=change)


def scaled_like(part: Tensor, scaled: Standardizer | None) -> Tensor:
    return part if scaled is None else scaled(part.cpu()).to(part.device)


def resplit(problem: Problem) -> Problem:
    both = Samples(*(torch.cat(parts) for parts in zip(problem.train, problem.val, strict=True)))
    order = torch.randperm(len(both.y), generator=torch.Generator().manual_seed(0))
    train, val = order[len(problem.val.y) :], order[: len(problem.val.y)]
    return replace(problem, train=both.at(train), val=both.at(val), in_memory=True)


def with_aligned(problem: Problem) -> Problem:
    """Each feature of the validation samples with the mean and the deviation of the train samples."""
    (deviation, mean), (of_val, val_mean) = (
        torch.std_mean(part.x.float(), dim=0) for part in (problem.train, problem.val)
    )
    x = (problem.val.x.float() - val_mean) * torch.where(of_val > 0, deviation / of_val, 1.0) + mean
    return replace(problem, val=Samples(x, problem.val.y), in_memory=True)


@torch.no_grad()
def start_again(module: LightningModule) -> None:
    """Every layer as torch starts it."""
    for part in module.modules():
        reset = getattr(part, "reset_parameters", None)
        if is_parametrized(part, "weight"):  # whose weight is computed: what is assigned to it sets the parameters
            part.weight = nn.init.kaiming_uniform_(torch.empty_like(cast(Tensor, part.weight)), a=sqrt(5))
        elif callable(reset):
            reset()
        else:  # parameters without a layer: Glorot's deviation, if theirs is larger
            for parameter in part.parameters(recurse=False):
                if parameter.ndim == 2 and parameter.std() > (deviation := sqrt(2 / sum(parameter.shape))):
                    parameter.mul_(deviation / parameter.std())


@torch.no_grad()
def shrink(module: LightningModule) -> None:
    for layer in layers_of(module).values():
        for parameter in layer.parameters(recurse=False):
            parameter.mul_(SMALLER)


@torch.no_grad()
def shrink_embeddings(module: LightningModule) -> None:
    for part in module.modules():
        if isinstance(part, nn.Embedding | nn.EmbeddingBag) and part.weight.std() > EMBEDDED:
            part.weight.mul_(EMBEDDED / part.weight.std())


def start_again_small(module: LightningModule) -> None:
    start_again(module)
    shrink_embeddings(module)


def rectify(module: LightningModule) -> None:
    """Activations that do not saturate, and weights that suit them."""
    replaced(module, FLAT, lambda part: nn.ReLU())
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(part.weight)


@torch.no_grad()
def remember(module: LightningModule) -> None:
    """Recurrent layers with gates, which keep the state at first."""
    replaced(module, nn.RNN, gated)
    for part in module.modules():
        if isinstance(part, nn.LSTM | nn.GRU):
            for name, parameter in part.named_parameters(recurse=False):
                if name.startswith("bias_hh"):  # the second quarter or third: of the forget gate, or the update gate
                    parameter[part.hidden_size : 2 * part.hidden_size] = OPEN


def gated(plain: nn.RNN) -> nn.GRU:
    sizes = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")
    return nn.GRU(**{name: getattr(plain, name) for name in sizes}).to(next(plain.parameters()))


def leak(module: LightningModule) -> None:
    replaced(module, nn.ReLU, lambda part: nn.LeakyReLU(0.1))


def train_all(module: LightningModule) -> None:
    for parameter in module.parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_(True)


def bent(order: Sequence[str]) -> Treatment:
    """A ReLU behind each layer but the last."""

    def change(module: LightningModule) -> None:
        layers = layers_of(module)
        for name in order[:-1]:
            layers[name].register_forward_hook(lambda layer, args, output: output.relu())

    return Treatment("a ReLU between layers", module=change)


def dropping(order: Sequence[str]) -> Treatment:
    """Dropout before each layer but the first."""

    def drop(layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        def dropped(value: Any) -> Any:
            units = isinstance(value, Tensor) and value.is_floating_point()
            return functional.dropout(value, 0.5, layer.training) if units else value

        return tuple(map(dropped, args))

    def change(module: LightningModule) -> None:
        layers = layers_of(module)
        for name in order[1:]:
            layers[name].register_forward_pre_hook(drop)

    return Treatment("half of the units dropped", "dropout=standard", module=change)


def replaced(module: nn.Module, kinds: type | tuple[type, ...], new: Callable[[Any], nn.Module]) -> None:
    for part in list(module.modules()):
        for name, child in part.named_children():
            if isinstance(child, kinds):
                setattr(part, name, new(child))


def copied(module: LightningModule, treatment: Treatment) -> LightningModule:
    """A copy to train, changed."""
    copy = deepcopy(module)
    treatment.module(copy)
    return copy


def against(code: str, history: History) -> Iterator[Treatment]:
    """What may help against a finding, the likeliest first."""
    lower = (rate_times(history, 0.1), rate_times(history, 0.01)) if history.learning_rate > 0 else ()
    fading = history.inspection.fading
    if code == "vanishing_gradient" and fading is not None and fading.is_faint:
        yield REMEMBERING
    if code == "learning_rate_too_low":
        longest = history.longest_step()
        factor = min(10 ** (-2.3 - longest), 1e6) if longest > -12 else 100.0
        rates = (max(factor, 10.0), max(3 * factor, 30.0), max(factor / 10, 3.0))
        yield from (rate_times(history, each) for each in dict.fromkeys(rates))
    elif code in ("learning_rate_too_high", "oscillating_loss"):
        yield from lower
        if history.momentum > GENTLE_MOMENTUM:
            yield LESS_MOMENTUM
    elif code == "excess_weight_decay":
        penalty = history.inspection.penalty
        yield Treatment("no weight decay", "" if penalty else "weight_decay=none", callback=lambda: NoDecay(penalty))
    elif code == "overfitting":
        yield from (dropping(history.order), DECAYED)
    elif code == "linear_network":
        yield bent(history.order)
    elif code == "unscaled_input" and history.inspection.raw:
        yield with_scaled(history.inspection.raw)
    elif code in TREATMENTS:
        yield from TREATMENTS[code]
        if code in ("exploding_gradient", "dead_units"):
            yield from lower[:1]


GENTLE_MOMENTUM = 0.95
NOTHING = Treatment("nothing")
CLIPPED = Treatment("clipping", "trainer.gradient_clip_val=1.0", settings={"gradient_clip_val": 1.0})
DECAYED = Treatment("weight decay", "weight_decay=l2 weight_decay.strength=0.01", callback=lambda: Decay(0.01))
STANDARDIZED = Treatment("standardized inputs", "data.standardize=true", problem=with_standardized)
SPLIT_AT_RANDOM = Treatment("a random split", "data.split.column=null", problem=resplit)
ALIGNED = Treatment("validation samples scaled as the train samples are", problem=with_aligned)
STARTED_AGAIN = Treatment("torch's own initial weights", "initialisation=torch_default", module=start_again)
SHRUNK = Treatment(f"initial weights times {SMALLER}", module=shrink)
RECTIFIED = Treatment("ReLU and He's initial weights", "activation=relu initialisation=he", module=rectify)
REMEMBERING = Treatment("gates that keep the state at first", module=remember)
SMALL_EMBEDDINGS = Treatment(
    f"embeddings with a deviation of {EMBEDDED}",
    module=shrink_embeddings,
    advice=("start embeddings small:", f"    nn.init.normal_(embedding.weight, std={EMBEDDED})"),
)
RANDOM_EMBEDDINGS = replace(SMALL_EMBEDDINGS, module=start_again_small)
LEAKY = Treatment("leaky ReLU", "activation=leaky_relu", module=leak)
LESS_DROPOUT = Treatment("less dropout", f"dropout.rate={GENTLE}", callback=DropLess)
LESS_MOMENTUM = Treatment("less momentum", "optimizer.momentum=0.9", callback=lambda: ChangeGroups(lower_momentum))
ALL_TRAINED = Treatment("every layer trained", "network.freeze=[]", module=train_all, callback=TrainAll)
TREATMENTS: dict[str, Sequence[Treatment]] = {
    "unscaled_input": (STANDARDIZED,),
    "exploding_gradient": (STARTED_AGAIN, RECTIFIED, CLIPPED),
    "vanishing_gradient": (RECTIFIED, STARTED_AGAIN),
    "dead_units": (STARTED_AGAIN, LEAKY),
    "saturated_units": (STARTED_AGAIN, RECTIFIED, SHRUNK),
    "bad_initial_loss": (STARTED_AGAIN, SMALL_EMBEDDINGS),
    "symmetric_units": (STARTED_AGAIN, RANDOM_EMBEDDINGS),
    "excess_dropout": (LESS_DROPOUT,),
    "frozen_parameters": (ALL_TRAINED,),
    "shifted_validation": (SPLIT_AT_RANDOM, ALIGNED),
}
OF_RATES = {"learning_rate_too_low", "learning_rate_too_high", "oscillating_loss"}
SUSPICIONS = TREATMENTS.keys() | OF_RATES | {"excess_weight_decay", "linear_network"}
