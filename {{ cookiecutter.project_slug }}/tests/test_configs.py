"""Every option of every group: it is there, builds, trains, and its keys are those of its function."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from your_package.techniques import residual

from tests.conftest import CONFIGS
from tests.fitting import classification_of, fit, small_network, some_samples

PROMISED = {
    "activation": "relu leaky_relu elu selu gelu silu mish tanh sigmoid",
    "residual": "none shallow medium deep very_deep",
    "initialisation": "torch_default he xavier lecun orthogonal normal zero_residual",
    "dropout": "none standard stochastic_depth",
    "weight_decay": "none l2 decoupled sklearn",
    "normalisation": "none layer batch rms",
    "task": "classification regression multilabel",
    "loss": "cross_entropy label_smoothing focal mse mae huber bce",
    "network": "mlp cnn transformer custom",
    "data": "mnist1d digits arrays table images",
    "optimizer": "adamw adam sgd",
    "scheduler": "constant cosine one_cycle plateau",
    "trainer": "default cpu gpu ddp smoke",
    "callbacks": "default",
    "logger": "wandb csv tensorboard none",
}
OWN = "your_package."


def options_of(*groups: str) -> list[str]:
    return [f"{group}={path.stem}" for group in groups for path in sorted((CONFIGS / group).glob("*.yaml"))]


def part(option: str) -> Any:
    """What the file of ``GROUP=NAME`` makes, apart from all others."""
    return instantiate(OmegaConf.load(CONFIGS / f"{option.replace('=', '/')}.yaml"))


def factory_of(option: str) -> dict[str, Any]:
    """The entries of LayerFactories that a technique sets."""
    group = option.partition("=")[0]
    if group == "residual":
        config = part(option)
        return {"depth": config.depth, "connection": getattr(residual, config.connection)}
    return {group: part(option)}


@pytest.mark.parametrize("group", PROMISED)
def test_a_group_has_the_options_that_are_promised(group: str) -> None:
    assert set(PROMISED[group].split()) <= {path.stem for path in (CONFIGS / group).glob("*.yaml")}


@pytest.mark.parametrize("network", ["mlp", "cnn", "transformer"])
@pytest.mark.parametrize("option", options_of("activation", "residual", "initialisation", "dropout", "normalisation"))
def test_every_parameter_gets_a_finite_gradient_that_is_not_zero(option: str, network: str) -> None:
    made = small_network(network, **factory_of(option))
    if option == "initialisation=zero_residual":  # a zero map stops the gradient of what lies before it
        for layer in made.layers:
            nn.init.normal_(layer.branch.outer.weight, std=0.1)
    loss = nn.functional.cross_entropy(made(torch.randn(32, 8, 8)), torch.arange(32) % 10)
    loss.backward()
    assert loss.isfinite()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("option", options_of("weight_decay", "optimizer", "scheduler"))
def test_training_with_every_option_moves_every_parameter(option: str) -> None:
    group, _, name = option.partition("=")
    chosen = {"weight_decay": "none", "optimizer": "adamw", "scheduler": "constant"} | {group: name}
    decay, optimizer, schedule = (part(f"{group}={name}") for group, name in chosen.items())
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    before = [parameter.detach().double() for parameter in network.parameters()]
    fit(classification_of(network, optimizer=optimizer, decay=decay, schedule=schedule), some_samples(120), 2)
    for (name, parameter), start in zip(network.named_parameters(), before, strict=True):
        assert parameter.isfinite().all(), name
        assert (parameter != start).any(), name


@pytest.mark.parametrize("option", options_of("loss"))
def test_a_loss_is_finite_and_lower_for_the_right_outputs(option: str) -> None:
    loss, classes = part(option), torch.tensor([0, 2])
    outputs = 10 * nn.functional.one_hot(classes, 3).double()
    targets = {"bce": outputs / 10, "mse": outputs, "mae": outputs, "huber": outputs}.get(option[5:], classes)
    right, wrong = loss(outputs, targets), loss(outputs.flip(1), targets)
    assert 0 <= right < wrong < torch.inf


def targets_in(node: Any) -> list[tuple[str, set[str]]]:
    """The address and the keys of everything of this project's package that a file builds."""
    if not isinstance(node, dict):
        return []
    found = [pair for value in node.values() for pair in targets_in(value)]
    target = node.get("_target_", "")
    if target.startswith(OWN) and "${" not in target:
        found.append((target, {key for key in node if not key.startswith("_")}))
    if node.get("factory", "???") != "???":  # what a network is made of gets the keys that building it leaves
        own = {name for name, _ in keyword_only(target)}
        found.append((node["factory"], {key for key in node if not key.startswith("_")} - own))
    return found


def keyword_only(target: str) -> list[tuple[str, inspect.Parameter]]:
    parameters = inspect.signature(get_object(target)).parameters
    return [(name, found) for name, found in parameters.items() if found.kind is found.KEYWORD_ONLY]


FILES = [path for path in sorted(CONFIGS.rglob("*.yaml")) if OWN in path.read_text("utf-8")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_keys_of_a_file_are_the_keyword_only_parameters_of_its_function(path: Path) -> None:
    for target, keys in targets_in(OmegaConf.to_container(OmegaConf.load(path))):
        parameters = inspect.signature(get_object(target)).parameters.values()
        own = {name for name, _ in keyword_only(target)}
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):  # it passes others on
            assert own <= keys, target
        else:
            assert {parameter.name for parameter in parameters} >= keys >= own, target


NOTES = sorted((CONFIGS / "experiment").rglob("*.yaml"))


@pytest.mark.parametrize("path", NOTES, ids=lambda path: path.stem)
def test_an_experiment_is_a_lab_note(path: Path) -> None:
    note = path.read_text("utf-8")
    assert all(heading in note for heading in ("# Question:", "# Command:", "# Result:"))


@pytest.mark.parametrize("name", [path.stem for path in NOTES if path.parent.name == "experiment"])
def test_an_experiment_composes(name: str, compose: Callable[..., DictConfig]) -> None:
    assert compose(f"+experiment={name}").trainer.max_epochs > 0
