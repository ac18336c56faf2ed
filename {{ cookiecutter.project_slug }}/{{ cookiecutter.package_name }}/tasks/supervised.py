"""The training step of supervised learning, the same for every network: loss, weight decay, clipping, metrics."""

from collections.abc import Callable, Mapping
from typing import Any, Self, cast

from lightning import LightningDataModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import Metric
from trainwell.callbacks.training_stats import gradient_norm
from trainwell.metrics import EpochMetrics
from trainwell.step_graph import GraphedModule

from ..networks.build import network_for
from ..techniques.gradient_clipping import clip
from ..techniques.weight_decay import WeightDecay, split
from . import checks
from .baseline import constant_outputs_scored
from .callback_attributes import CallbackAttributes
from .parameter_groups import parameter_groups, rates_by_parameter, without_lr_of


class SupervisedTask(GraphedModule, CallbackAttributes):
    """Train ``network``, from inputs to outputs, on batches ``(x, y)``.

    ``optimizer`` is called with the parameter groups, ``scheduler`` with the optimizer and the number of steps. Logs
    ``<split>/loss``, without the weight decay penalty, and ``<split>/<name>`` for every metric.
    """

    metrics_say = ""  # what torchmetrics calls the number of outputs, if it must know

    def __init__(
        self,
        network: nn.Module,
        *,
        loss: Callable[[Tensor, Tensor], Tensor],
        metrics: Mapping[str, Metric],
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[[Optimizer, int], dict[str, Any] | None],
        weight_decay: WeightDecay,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.optimizer, lr_of = without_lr_of(optimizer)
        self.rates = rates_by_parameter(network, lr_of)
        self.scheduler = scheduler
        self.weight_decay = weight_decay
        self.weights, self.others = split(network, weight_decay)
        copies = {name: {key: metric.clone() for key, metric in metrics.items()} for name in ("train", "val", "test")}
        self.metrics = nn.ModuleDict({f"{name}_metrics": EpochMetrics(copy) for name, copy in copies.items()})

    @classmethod
    def from_data(
        cls,
        data: LightningDataModule,
        *,
        targets: str,
        network: Callable[[tuple[int, ...], int], nn.Module],
        metrics: Mapping[str, Callable[..., Metric]],
        compile: bool | str,
        **parts: Any,
    ) -> Self:
        """Build the task for ``data``, whose targets must be ``targets``, and try all parts on a few samples.

        Raises: ValueError: the parts do not fit together.
        """
        checks.refuse_other_targets(data, targets)
        num_outputs = checks.num_outputs_of(data, targets)
        x, y = checks.first_batch(data)
        built = network_for(data, network, x, num_outputs)
        checks.refuse_misfit(built, x[:2], num_outputs)
        task = cls(built, metrics=checks.metrics_for(metrics, {cls.metrics_say: num_outputs}), **parts)
        task.read_targets(data)
        checks.refuse_unusable_parts(task, x, y)
        task.graph_steps = compile == "graph"
        if compile is True:
            built.compile()
        return task

    def read_targets(self, data: LightningDataModule) -> None:
        """Take from the train targets what the task must know of them."""

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def compute_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of outputs, as ``forward`` returns them."""
        return self.loss(outputs, targets)

    def compared(self, targets: Tensor) -> Tensor:
        """Targets as the metrics take them."""
        return targets

    def loss_and_outputs(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self.network(x)
        return self.compute_loss(outputs, y), outputs

    def objective(self, batch: Any) -> tuple[Tensor, Tensor, Tensor]:
        """What training minimises, the mean loss and the outputs of a batch."""
        x, y = batch
        loss, outputs = self.loss_and_outputs(x, y)
        penalty = self.weight_decay.penalty
        return loss if penalty is None else loss + penalty(self.weights, len(y)), loss, outputs

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        objective, loss, outputs = self.graphed(self.objective, batch)
        self.update_metrics("train", loss, outputs, batch[1])
        return objective

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.evaluate(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.evaluate(batch, "test")

    def evaluate(self, batch: Any, name: str) -> None:
        self.update_metrics(name, *self.loss_and_outputs(*batch), batch[1])

    def update_metrics(self, name: str, loss: Tensor, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch to the epoch's metrics."""
        cast(EpochMetrics, self.metrics[f"{name}_metrics"]).update(loss, outputs, self.compared(targets))

    def on_train_epoch_end(self) -> None:
        self.log_metrics("train")

    def on_validation_epoch_end(self) -> None:
        self.log_metrics("val")

    def on_test_epoch_end(self) -> None:
        self.log_metrics("test")

    def log_metrics(self, name: str) -> None:
        values = cast(EpochMetrics, self.metrics[f"{name}_metrics"]).compute()
        self.log_dict({f"{name}/{key}": value for key, value in values.items()}, sync_dist=True)

    def constant(self, data: LightningDataModule) -> Tensor:
        """The best outputs that are the same for every sample, (num_outputs,), as far as the train targets tell."""
        raise NotImplementedError(f"{type(self).__name__} must define constant")

    def baseline(self, data: LightningDataModule) -> dict[str, float]:
        """What these outputs reach on the validation split, ``val/loss`` and every metric: for ``summary.json``."""
        return constant_outputs_scored(self, data)

    def configure_optimizers(self) -> Any:
        decays = [(self.weights, self.weight_decay.shrinkage), (self.others, 0.0)]
        optimizer = self.optimizer(parameter_groups(decays, self.rates))
        optimizer.defaults["weight_decay"] = 0.0  # of groups that a callback adds
        scheduler = self.scheduler(optimizer, int(self.trainer.estimated_stepping_batches))
        if scheduler is None:
            return optimizer
        if "monitor" in scheduler:  # epochs without validation have no value
            scheduler["frequency"] = self.trainer.check_val_every_n_epoch or 1
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        if gradient_clip_val is not None:
            clip(optimizer, gradient_norm(self.trainer, optimizer), gradient_clip_val, gradient_clip_algorithm)
