"""Rules about parameters that are not trained, and optimizers that do not step as they should.

What they find is seen, not suspected: it needs no trial to confirm it.
"""

from collections.abc import Iterator, Sequence

from ...findings import Finding
from ..history import History
from ..inspection import Inspection
from .signal_flow import and_more

MUCH, ALL = 0.02, 0.999  # of all parameters
SOON = 100  # batches, after which every optimizer should have stepped


def optimizer_never_steps(history: History) -> Iterator[Finding]:
    seen = history.inspection
    if seen.batches and not seen.steps:
        evidence = f"no optimizer has stepped in {seen.batches} batches"
        advice = ("in training_step, after self.manual_backward(loss):", "    self.optimizers().step()")
        yield Finding("optimizer_never_steps", "error", "training_step", evidence, advice=advice)
    elif history.rates and not any(history.rates.values()) and nothing_moves(history):
        evidence = f"the learning rate is 0 in each of the first {history.steps + 1} steps"
        advice = (
            "in the schedule, divide without rounding:",
            "    lambda step: min(1.0, (step + 1) / warmup_steps)  # no //",
        )
        yield Finding("optimizer_never_steps", "error", "scheduler", evidence, advice=advice)
    elif seen.idle and seen.batches >= SOON:
        evidence = f"{seen.idle} of {seen.optimizers} optimizers have not stepped in {seen.batches} batches"
        advice = ("in training_step, step each of them:", "    for optimizer in self.optimizers(): optimizer.step()")
        yield Finding("optimizer_never_steps", "warning", "training_step", evidence, advice=advice)


def nothing_moves(history: History) -> bool:
    return not any(ratio for layer in history.layers("update_ratio") for ratio in history.over("update_ratio", layer))


def accumulated_gradients(history: History) -> Iterator[Finding]:
    seen = history.inspection
    if seen.uncleared >= 2:
        evidence = f"in {seen.uncleared} of the first steps the gradients still held those of the step before"
        advice = ("in training_step, before self.manual_backward(loss):", "    self.optimizers().zero_grad()")
        yield Finding("accumulated_gradients", "error", "training_step", evidence, advice=advice)


def unregistered_layers(history: History) -> Iterator[Finding]:
    seen = history.inspection
    if seen.unregistered:
        name, size = next(iter(seen.unregistered.items()))
        if seen.renewed:
            evidence = f"every batch meets {size} new parameters, which are in no parameters() of the module"
            advice = ("make layers once, in __init__:", "    self.hidden = nn.Linear(...)")
        else:
            evidence = f"{size} parameters that the loss depends on are in no parameters() of the module, "
            evidence += "so none is trained"
            advice = (
                f"{name}: register its layers, in a ModuleList or ModuleDict, or in a class derived from nn.Module:",
                f"    self.{name.rpartition('.')[2]} = nn.ModuleList(...)",
            )
        yield Finding("unregistered_layers", "error", name, evidence, advice=advice)


def frozen_parameters(history: History) -> Iterator[Finding]:
    """Parameters that get no gradient, or that no optimizer has."""
    seen = history.inspection
    if not seen.steps:
        return
    total = max(sum(seen.sizes.values()), 1)
    for names, how, advice, chosen in untrained(history, seen):
        share = sum(seen.sizes[name] for name in names) / total
        if share > MUCH:
            layers = list(dict.fromkeys(layer_of(name) or name for name in names))
            evidence = f"{share:.0%} of the parameters {how}"
            severity = "warning" if chosen and share < ALL else "error"  # what was chosen may be meant
            yield Finding("frozen_parameters", severity, and_more(layers), evidence, advice=advice)
            return


def no_gradient(history: History) -> Iterator[Finding]:
    """The loss does not change with the outputs, though they are connected."""
    alive = max(history.dead.values(), default=0.0) < 1
    if history.gradient and not any(history.gradient.values()) and alive:
        evidence = f"all gradients are exactly 0 in each of the first {history.steps + 1} steps"
        advice = (
            "let the loss compare the outputs themselves:",
            "    outputs.sigmoid()  # instead of (outputs > 0).float()",
        )
        yield Finding("frozen_parameters", "error", "whole network", evidence, advice=advice)


def untrained(history: History, seen: Inspection) -> Iterator[tuple[list[str], str, Sequence[str], bool]]:
    """Parameters, why they are not trained, what to change, and whether somebody seems to have chosen it."""
    yield (
        seen.not_given,
        "are in no optimizer",
        ("in configure_optimizers:", "    torch.optim.Adam(self.parameters(), lr=...)"),
        True,
    )
    called = [name for name in seen.unreached if layer_of(name) in seen.called]
    yield (
        called if seen.cut is None else seen.cut,
        "get no gradient, though outputs depend on them: something cuts them from the graph",
        ("behind this layer, remove what cuts the graph:", "    .detach(), .data, .numpy(), torch.no_grad(), argmax"),
        False,
    )
    yield (
        seen.aside if history.learns is False else [],
        "get no gradient from the loss of the outputs, though these depend on them",
        ("let the gradient through to this layer:", "    distribution.rsample(), no .sample(), .detach() or .data"),
        False,
    )
    if seen.flat:
        norms = {layer: history.over("gradient_norm", layer) for layer in history.layers("gradient_norm")}
        still = {layer for layer, found in norms.items() if found and not any(found)}
        stopped = [name for name in seen.sizes if layer_of(name) in still]
        flat = seen.flat.removesuffix("Backward0").lower()
        advice = (f"behind this layer, let the gradient pass the {flat}:", f"    x = x + (x.{flat}() - x).detach()")
        yield stopped, f"get gradients of exactly 0, behind a {flat}, whose derivative is 0", advice, False
    yield (
        seen.frozen,
        "are frozen: requires_grad is False" + (", with random weights" if seen.frozen_at_random else ""),
        ("train them, unless they hold weights that were trained before:", "    parameter.requires_grad_(True)"),
        True,
    )


def layer_of(parameter: str) -> str:
    """The layer as statistics name it."""
    return parameter.rpartition(".")[0].removeprefix("network.")
