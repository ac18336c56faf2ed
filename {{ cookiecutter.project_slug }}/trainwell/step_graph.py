"""The whole training step as one CUDA graph: a small network's step is mostly the time of launching its kernels."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from typing import Any

import torch
from lightning import Callback, LightningModule
from torch import Tensor
from torch.optim import Optimizer

from .callbacks.training_stats import TrainingStats, norm_of_gradient, tensors_in

log = logging.getLogger(__name__)

WARM_UP = 3  # steps before a capture, in which libraries set up what must not be captured
DEVICE = "cuda"
CAPTURES = 5  # after which a step that keeps changing is captured no more
HOOKS = ("on_before_backward", "on_after_backward", "on_before_optimizer_step", "on_before_zero_grad")

Objective = Callable[[Any], tuple[Tensor, ...]]  # of a batch: what is minimised, and other tensors of the step


class GraphedModule(LightningModule):
    """A module whose training steps are replayed as a CUDA graph while ``graph_steps`` is true.

    ``training_step`` must compute what it minimises by ``self.graphed(objective, batch)``. Forward, backward, clipping
    and the optimizer's step are then captured once and replayed, with the learning rate as a tensor, which torch's
    schedulers fill. The first steps, those that the doctor measures and those with a batch of another shape run as
    always; so do all steps if something cannot be captured, which is logged once.

    Source: https://docs.pytorch.org/docs/stable/notes/cuda.html#whole-network-capture
    """

    graph_steps = False

    def __init__(self) -> None:
        super().__init__()
        self.step_graph = StepGraph()

    def graphed(self, objective: Objective, batch: Any) -> tuple[Tensor, ...]:
        """What ``objective(batch)`` returns, computed by replaying the step where that is possible."""
        if self.step_graph.replaying:
            return self.step_graph.replayed(batch)
        self.step_graph.objective = objective
        return objective(batch)

    def on_train_start(self) -> None:
        self.step_graph = StepGraph()
        if self.graph_steps and (reason := reason_against(self)):
            self.run_one_by_one(reason)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self.step_graph.next_batch = batch

    def on_train_end(self) -> None:
        self.step_graph = StepGraph()  # lets go of the GPU's memory

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        measured = any(getattr(part, "measuring", False) for part in callbacks_of(self))
        if self.graph_steps and not measured:
            prepare(optimizer.optimizer)
            if self.step_graph.is_ready(self, optimizer.optimizer):
                self.step_by_replay(optimizer.optimizer, optimizer_closure)
                return
        with side_stream(self.device) if self.graph_steps and self.device.type == "cuda" else nullcontext():
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)

    def step_by_replay(self, optimizer: Optimizer, closure: Any) -> None:
        self.step_graph.replaying = True
        try:
            closure()  # Lightning's: training_step, optimizer_zero_grad, backward
        finally:
            self.step_graph.replaying = False
        for part in callbacks_of(self):
            part.on_before_optimizer_step(self.trainer, self, optimizer)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        if not self.step_graph.replaying:
            super().backward(loss, *args, **kwargs)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        if not self.step_graph.replaying:
            super().optimizer_zero_grad(epoch, batch_idx, optimizer)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store what the graph keeps on the device as numbers, for a run that goes on without it."""
        for state in checkpoint.get("optimizer_states", []):
            for group in state["param_groups"]:
                if isinstance(group.get("lr"), Tensor):
                    group["lr"] = float(group["lr"])
                    group.update({"capturable": False} if "capturable" in group else {})

    def run_one_by_one(self, reason: str) -> None:
        log.warning(f"compile=graph: steps are run one by one, because {reason}")
        self.graph_steps = False


class StepGraph:
    """A captured step, and what it was captured with."""

    objective: Objective
    next_batch: Any  # of the step that is about to run
    batch: Any  # the tensors that the graph reads
    results: tuple[Tensor, ...]  # and those that it writes
    norm: Tensor
    statistics: list[TrainingStats]  # callbacks that record the norm
    replaying = False

    def __init__(self) -> None:
        self.replay: Callable[[], None] | None = None
        self.captured_with: Any = None
        self.captures = self.warm_steps = 0

    def is_ready(self, module: GraphedModule, optimizer: Optimizer) -> bool:
        """Whether the next step can be replayed; captures it if it is time to."""
        now = constants_of(optimizer)
        if self.replay is not None and now == self.captured_with:
            return shapes(self.next_batch) == shapes(self.batch)
        self.replay = None
        if self.captures == CAPTURES:
            module.run_one_by_one("its optimizer or what it trains keeps changing")
        elif self.warm_steps < WARM_UP:
            self.warm_steps += 1
        else:
            self.batch = deepcopy(self.next_batch)
            self.replay = captured(lambda: self.step(module, optimizer))
            self.captured_with, self.captures, self.warm_steps = now, self.captures + 1, 0
        return self.replay is not None

    def step(self, module: GraphedModule, optimizer: Optimizer) -> None:
        """What is captured: as Lightning does it, without its hooks."""
        trainer = module.trainer
        optimizer.zero_grad(set_to_none=True)
        with trainer.precision_plugin.train_step_context():
            results = self.objective(self.batch)
        results[0].backward()
        self.norm = norm_of_gradient(optimizer)
        self.statistics = [part for part in callbacks_of(module) if isinstance(part, TrainingStats)]
        for part in self.statistics:
            part.latest = (id(optimizer), self.norm)
        module.configure_gradient_clipping(optimizer, trainer.gradient_clip_val, trainer.gradient_clip_algorithm)
        optimizer.step()
        self.results = tuple(tensor.detach() for tensor in results)

    def replayed(self, batch: Any) -> tuple[Tensor, ...]:
        assert self.replay is not None
        for known, new in zip(tensors_in(self.batch), tensors_in(batch), strict=True):
            known.copy_(new)
        self.replay()
        for part in self.statistics:
            part.known = self.norm.clone()
        return tuple(tensor.clone() for tensor in self.results)


def callbacks_of(module: LightningModule) -> list[Callback]:
    return module.trainer.callbacks  # type: ignore[attr-defined]


def shapes(batch: Any) -> list[tuple[Any, ...]]:
    return [(tensor.shape, tensor.dtype) for tensor in tensors_in(batch)]


def constants_of(optimizer: Optimizer) -> list[Any]:
    """What a captured step takes for constant: which parameters are trained, and all settings but the learning rate."""
    groups = optimizer.param_groups
    return [{**group, "lr": None, "params": [p.requires_grad for p in group["params"]]} for group in groups]


def prepare(optimizer: Optimizer) -> None:
    """Keep on the device what the optimizer reads in every step."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            continue
        device = group["params"][0].device
        group["lr"] = torch.tensor(group["lr"], dtype=torch.float32, device=device)
        if "capturable" in group and device.type == "cuda":
            group["capturable"] = True
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            if "step" in state:
                state["step"] = state["step"].to(device)


def reason_against(module: LightningModule) -> str | None:
    """Why no step of this training can be captured."""
    trainer, optimizers = module.trainer, module.trainer.optimizers
    kinds = [type(part) for part in callbacks_of(module) if not type(part).__module__.startswith("trainwell.")]
    hooked = [kind.__name__ for kind in kinds if any(getattr(kind, hook) != getattr(Callback, hook) for hook in HOOKS)]
    group = optimizers[0].param_groups[0]
    can_be_captured = len(optimizers) == 1 and ("capturable" in group or bool(group.get("fused")))
    reasons = {
        f"a graph needs a CUDA device, not {module.device.type}": module.device.type != DEVICE,
        "a graph is made for one device": trainer.world_size > 1,
        "trainer.precision=16-mixed scales on the processor; bf16-mixed does not": trainer.precision == "16-mixed",
        "trainer.accumulate_grad_batches is above 1": trainer.accumulate_grad_batches > 1,
        f"{', '.join(hooked)} acts between backward and the optimizer's step": bool(hooked),
        "torch cannot capture the optimizer; it can adamw, and sgd with optimizer.fused=true": not can_be_captured,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def captured(step: Callable[[], None]) -> Callable[[], None]:
    """A function that repeats on the GPU what ``step`` has done there."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


@contextmanager
def side_stream(device: torch.device) -> Iterator[None]:
    """Run the block's kernels in a stream of their own, as torch asks for before a capture."""
    stream, main = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    stream.wait_stream(main)
    with torch.cuda.stream(stream):
        yield
    main.wait_stream(stream)
