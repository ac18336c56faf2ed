"""What Lightning's own callbacks look for in a task."""

from collections.abc import Callable
from functools import partial
from typing import cast

from torch import nn
from torch.optim import Optimizer

from ..networks.build import all_but_head


class CallbackAttributes:
    network: nn.Module
    optimizer: Callable[..., Optimizer]

    @property
    def learning_rate(self) -> float:
        """What LearningRateFinder reads and sets."""
        return cast(partial[Optimizer], self.optimizer).keywords["lr"]

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self.optimizer = partial(self.optimizer, lr=rate)

    @property
    def backbone(self) -> nn.Module:
        """All of the network but its head: what BackboneFinetuning freezes, and unfreezes later."""
        return all_but_head(self.network)
