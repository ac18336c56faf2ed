"""Which loss function a training calls, on what, and which operation the network's outputs come from."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

LOSSES: dict[Callable[..., Any], str] = {
    functional.cross_entropy: "cross_entropy",
    functional.nll_loss: "nll_loss",
    functional.binary_cross_entropy: "binary_cross_entropy",
    functional.binary_cross_entropy_with_logits: "binary_cross_entropy_with_logits",
    functional.mse_loss: "mse_loss",
    functional.l1_loss: "l1_loss",
    functional.smooth_l1_loss: "smooth_l1_loss",
    functional.huber_loss: "huber_loss",
    functional.poisson_nll_loss: "poisson_nll_loss",
}
IGNORED = -100  # the class index that torch's cross-entropy leaves out
DIFFERENCES = (torch.sub, Tensor.sub, Tensor.__sub__, Tensor.__rsub__)
RESHAPES = (
    "View", "Reshape", "Squeeze", "Unsqueeze", "Alias", "Transpose", "TBackward", "Permute", "ToCopy", "Clone",
    "Select", "Slice",
)  # fmt: skip

AFFINE = (
    *RESHAPES, "Addmm", "Mm", "SparseMm", "Convolution", "AddBackward", "Sub", "Neg", "Sum", "Mean", "Cat", "Stack",
    "Expand", "Repeat", "IndexSelect", "IndexAdd", "IndexBackward", "Gather", "ScatterAdd", "AvgPool", "ConstantPad",
    "Split", "Unbind", "UnsafeView", "AsStrided", "torch::autograd::AccumulateGrad",
)  # fmt: skip


@dataclass(frozen=True)
class LossCall:
    """One call of a loss function: what the network returned, after which operation, the targets and the value."""

    name: str
    outputs: Tensor
    operation: str  # such as SoftmaxBackward0, maybe with a constant added; empty if the outputs have no graph
    targets: Tensor
    value: float
    shifted: bool = False  # whether a constant was added to what the operation gave
    log_input: bool = True  # of a Poisson likelihood
    weight: Tensor | None = None  # of the classes, in a cross-entropy
    unmoved: bool = False  # whether the axis of the classes is another one in the layer that made them
    affine: bool = False  # whether all operations that made the outputs are linear in the inputs


class LossCalls(TorchFunctionMode):
    """Note calls of torch's loss functions for as long as it is entered; of nested calls the outermost."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[LossCall] = []
        self.results: list[Tensor] = []  # with their graphs, until they are cleared
        self.dropped = 0.0  # the highest share of units that is dropped
        self.log_probability = 0.0  # the highest that kl_div gets

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = dict(zip(("input", "target", "weight"), args, strict=False)) | (kwargs or {})
        if func is functional.dropout:
            self.dropped = max(self.dropped, dropout_rate(*args, **(kwargs or {})))
        name = LOSSES.get(func)
        outputs, targets = given.get("input"), given.get("target")
        if func is functional.kl_div and isinstance(outputs, Tensor):
            self.log_probability = max(self.log_probability, outputs.detach().max().item())
        if func in DIFFERENCES and (pair := each_with_all(args)):
            name, (outputs, targets) = "difference", pair
        if name and isinstance(outputs, Tensor) and isinstance(targets, Tensor) and isinstance(result, Tensor):
            targets, weight = targets.detach(), None
            if func is functional.cross_entropy:
                weight = given.get("weight")
                if targets.dtype == torch.int64:
                    targets = targets.where(targets != given.get("ignore_index", IGNORED), IGNORED)
            value = result.detach().float().mean().item()
            if given.get("reduction") == "sum":  # to compare it with a mean
                shares = func is functional.cross_entropy and targets.is_floating_point()
                value /= max(len(targets) if shares else targets.numel(), 1)
            through = ("MulBackward", "DivBackward") if func is functional.poisson_nll_loss else ()  # an exposure
            operation, shifted = operation_behind(outputs, through)
            logs = bool((kwargs or {}).get("log_input", True))
            made = (operation, targets, value, shifted, logs, weight, are_unmoved(outputs), are_affine(outputs))
            self.found.append(LossCall(name, outputs.detach(), *made))
            self.results.append(result)
        return result


def dropout_rate(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> float:
    """What a call of ``torch.nn.functional.dropout`` with these arguments drops."""
    return p if training else 0.0


def each_with_all(values: Sequence[Any]) -> tuple[Tensor, Tensor] | None:
    """Outputs and targets, if one is (B, 1) and the other (B,), and these are what is subtracted."""
    pair = [value for value in values[:2] if isinstance(value, Tensor)]
    outputs = [value for value in pair if value.requires_grad]
    targets = [value for value in pair if not value.requires_grad]
    if len(outputs) != 1 or len(targets) != 1 or not outputs[0].ndim:
        return None
    shapes = {tuple(value.shape) for value in pair}
    return (outputs[0], targets[0]) if shapes == {(len(outputs[0]),), (len(outputs[0]), 1)} != {(1,), (1, 1)} else None


def operation_behind(outputs: Tensor, through: tuple[str, ...] = ()) -> tuple[str, bool]:
    """The operation that made the values, before they were reshaped; and whether a constant was added to them.

    ``through`` are operations with a constant that are passed as well.
    """
    node, shifted = outputs.grad_fn, False
    while node is not None and node.next_functions:
        before = [each for each, _ in node.next_functions if each is not None]
        with_constant = node.name().startswith(("AddBackward", *through)) and len(before) == 1
        if not with_constant and not node.name().startswith(RESHAPES):
            break
        shifted = shifted or (with_constant and node.name().startswith("AddBackward"))
        node = before[0] if with_constant else node.next_functions[0][0]
    return ("" if node is None else node.name()), shifted


def are_unmoved(outputs: Tensor) -> bool:
    """Whether views alone, without a transposition, have brought what a layer made into the form that a loss takes.

    Of a linear layer, which has classes along the last axis, to (B, C, T); of a convolution, which has them along
    axis 1, to (N, C).
    """
    node = outputs.grad_fn
    while node is not None and node.name().startswith(("View", "UnsafeView", "ReshapeAlias", "AddBackward")):
        node = node.next_functions[0][0]
    if node is None or outputs.ndim < 2:
        return False
    if node.name().startswith("Convolution"):
        weight = getattr(node.next_functions[1][0], "variable", None)
        if outputs.ndim > 2 or weight is None or len(weight) != outputs.shape[1]:
            return False
        read = getattr(node, "_saved_input", None)
        return read is not None and len(outputs) > len(read)
    transposed = [before for before, _ in node.next_functions if before is not None and before.name() == "TBackward0"]
    weights = [getattr(before, "variable", None) for node in transposed for before, _ in node.next_functions]
    linear = outputs.ndim > 2 and node.name().startswith(("Addmm", "Mm"))
    return linear and any(weight is not None and len(weight) == outputs.shape[1] for weight in weights)


def are_affine(outputs: Tensor) -> bool:
    """Whether no operation between inputs and outputs bends anything; products are those with what has no gradient."""
    if outputs.grad_fn is None:
        return False
    for node in nodes_behind(outputs):
        name, before = node.name(), [each for each, _ in node.next_functions if each is not None]
        product = name.startswith(("Mul", "Div", "Bmm")) and len(before) == 1
        if not product and not name.startswith(AFFINE):
            return False
        if name.startswith("Mm") and not any(each.name() == "TBackward0" for each in before) and len(before) > 1:
            return False  # a product of two values, as in attention
    return True


def nodes_behind(loss: Tensor) -> Iterator[Any]:
    """Every node of the graph that leads to a loss, once."""
    seen, waiting = set(), [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [before for before, _ in node.next_functions]
            yield node


@torch.no_grad()
def constant_loss(call: LossCall) -> float | None:
    """The loss of the best outputs that are the same for every sample; None if it is not known for this function."""
    if call.name == "cross_entropy" and call.targets.dtype == torch.int64:
        known = call.targets[call.targets >= 0]
        counts = known.bincount(None if call.weight is None else call.weight[known].double())
        return torch.special.entr(counts / counts.sum()).sum().item()
    y = call.targets.double()
    if call.name == "binary_cross_entropy_with_logits" or call.name == "binary_cross_entropy":
        share = y.mean(dim=0)
        return (torch.special.entr(share) + torch.special.entr(1 - share)).mean().item()
    if call.name == "mse_loss":
        return (y - y.mean(dim=0)).square().mean().item()
    if call.name in ("l1_loss", "smooth_l1_loss", "huber_loss"):
        loss = getattr(functional, call.name)
        return loss(y.median(dim=0).values.expand_as(y), y).item()
    return None
