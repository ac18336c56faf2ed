"""Multilabel classification: any number of labels for each sample."""

from lightning import LightningDataModule
from torch import Tensor
from trainwell.data.targets import train_targets

from .supervised import SupervisedTask


class Multilabel(SupervisedTask):
    """Train a network from inputs to a logit for each label, (B, *in_shape) -> (B, L), on labels (B, L), 0 or 1."""

    metrics_say = "num_labels"

    def compute_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.loss(outputs, targets.to(outputs.dtype))

    def compared(self, targets: Tensor) -> Tensor:
        return targets.long()

    def constant(self, data: LightningDataModule) -> Tensor:
        y = train_targets(data)
        return y.double().mean(dim=0).clamp(0.5 / len(y), 1 - 0.5 / len(y)).logit()  # half a sample: always finite
