"""Building a network: by its path, from weights in a file, frozen in parts, with learning rates of its own."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW

from your_package.networks.build import build
from your_package.techniques import weight_decay

from tests.fitting import (
    classification_of,
    fit,
    network_factory,
    quiet_trainer,
    small_data,
    some_samples,
)

PLAIN: dict[str, Any] = {"weights": None, "weights_strict": True, "freeze": []}


class Own(nn.Module):
    """Somebody's network, as timm has them: its own rule about weight decay, a parameter of its own, a head."""

    def __init__(self, in_shape: tuple[int, ...], num_outputs: int, *, width: int = 5) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(1, 1, width))
        self.body = nn.Sequential(nn.Linear(in_shape[0], width), nn.Tanh(), nn.BatchNorm1d(width))
        self.head = nn.Linear(width, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x) + self.shift[0])

    def no_weight_decay(self) -> set[str]:
        return {"shift"}


def own(seed: int = 0, num_outputs: int = 3, **keys: Any) -> nn.Module:
    torch.manual_seed(seed)
    return build((4,), num_outputs, factory=f"{__name__}.Own", **{**PLAIN, **keys})


def test_a_custom_network_is_found_by_its_path_and_called_with_shapes_and_keys() -> None:
    network = own(width=7)
    assert isinstance(network, Own)
    assert network.head.weight.shape == (3, 7)


@pytest.mark.parametrize("factory", ["nowhere.build", "torch.nn.Linea", "torch..nn", ""])
def test_a_custom_network_that_does_not_exist_is_refused_by_its_key(factory: str) -> None:
    with pytest.raises(ValueError, match=r"network\.factory must name .* got"):
        build((4,), 3, factory=factory, **PLAIN)


# Weights


@pytest.mark.parametrize("kind", ["state dict", "checkpoint", "behind an input layer"])
def test_weights_are_loaded_by_name_from_what_was_saved(kind: str, tmp_path: Path) -> None:
    state = own(seed=1).state_dict()
    prefixed = {f"network.{name}": value for name, value in state.items()}
    behind = {f"network.network.{name}": value for name, value in state.items()}
    content = {
        "state dict": state,
        "checkpoint": {"state_dict": prefixed | {"loss.weight": torch.ones(3)}, "epoch": 3},
        "behind an input layer": {"state_dict": behind | {"network.input_layer.weight": torch.ones(2)}},
    }
    torch.save(content[kind], tmp_path / "weights.pt")
    found = own(weights=str(tmp_path / "weights.pt")).state_dict()
    assert all(torch.equal(found[name], state[name]) for name in state)


# Freezing


@pytest.mark.parametrize("option", ["mlp", "cnn", "transformer"])
def test_frozen_parameters_stay_as_they_are_and_the_others_learn(option: str) -> None:
    torch.manual_seed(0)
    data = small_data("classes")
    network = network_factory(option, start={"freeze": ["stem.*", "layers.0.*"]})((8, 8), 3)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    decay = weight_decay.l2(strength=0.1, include=[], exclude=[])
    task = classification_of(network, optimizer=partial(SGD, lr=0.1), decay=decay).float()
    quiet_trainer(precision="32-true", max_epochs=2).fit(task, datamodule=data)
    still = {name for name, parameter in network.named_parameters() if torch.equal(parameter, before[name])}
    assert still == {name for name in before if name.startswith(("stem.", "layers.0."))}


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        (["bodi.*"], "network.freeze must match parameters of the network, got bodi.*; there are shift, body.0.weight"),
        (["*"], "network.freeze=['*'] leaves no parameter to train"),
    ],
)
def test_patterns_that_freeze_nothing_or_everything_are_refused(freeze: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        own(freeze=freeze)


# Learning rates


def groups_of(optimizer: Any, network: nn.Module) -> list[tuple[list[str], float, float]]:
    """Names, learning rate and weight decay of the optimizer's groups after a fit."""
    task = classification_of(
        network, optimizer=optimizer, decay=weight_decay.decoupled(strength=0.1, include=[], exclude=[])
    )
    fit(task, some_samples(8), 4)
    names = {parameter: name for name, parameter in network.named_parameters()}
    groups = task.trainer.optimizers[0].param_groups
    return [
        ([names[parameter] for parameter in group["params"]], group["lr"], group["weight_decay"]) for group in groups
    ]


def test_learning_rates_are_those_of_the_first_pattern_that_matches() -> None:
    optimizer = partial(AdamW, lr=0.01, lr_of={"body.0.*": 0.001, "body.*": 0.002})
    assert groups_of(optimizer, own()) == [
        (["head.weight"], 0.01, 0.1),
        (["shift", "head.bias"], 0.01, 0.0),
        (["body.0.weight"], 0.001, 0.1),
        (["body.0.bias"], 0.001, 0.0),
        (["body.2.weight", "body.2.bias"], 0.002, 0.0),
    ]


# Gradual unfreezing
