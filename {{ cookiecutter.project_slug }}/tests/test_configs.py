"""Every word of every group: it is there, builds, trains, and its keys are those of its function."""

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from your_package import check, composition
from your_package.build import build
from your_package.loader import Batches

from tests.conftest import PROJECT

CONFIGS = PROJECT / "configs"
TECHNIQUES = ("activation", "residual", "initialisation", "dropout", "weight_decay", "normalisation")
PROMISED = {
    "activation": "relu leaky_relu elu selu gelu silu mish tanh sigmoid",
    "residual": "none shallow medium deep very_deep",
    "initialisation": "torch_default he xavier lecun orthogonal normal zero_residual",
    "dropout": "none standard",
    "weight_decay": "none l2 decoupled sklearn",
    "normalisation": "none layer batch rms",
    "network": "mlp cnn transformer own",
    "data": "mnist1d digits arrays mapped",
    "optimizer": "adamw adam sgd",
    "scheduler": "constant cosine one_cycle plateau",
    "trainer": "default cpu gpu ddp smoke",
    "callbacks": "default",
    "logger": "wandb csv tensorboard none",
}


def words_of(*groups: str) -> list[str]:
    return [f"{group}={path.stem}" for group in groups for path in sorted((CONFIGS / group).glob("*.yaml"))]


@pytest.mark.parametrize("group", PROMISED)
def test_a_group_has_the_words_that_are_promised(group: str) -> None:
    assert set(PROMISED[group].split()) <= {path.stem for path in (CONFIGS / group).glob("*.yaml")}


@pytest.mark.parametrize("network", [word for word in words_of("network") if word != "network=own"])
@pytest.mark.parametrize("word", words_of(*TECHNIQUES, "optimizer", "scheduler"))
def test_a_technique_builds_and_takes_a_step_that_moves_every_parameter(
    word: str, network: str, compose: Callable[..., DictConfig]
) -> None:
    config = compose("data=digits", network, "network.width=16", word)
    data, classifier = build(config)
    batch = next(iter(Batches(data.train, 32, seed=0)))
    if "zero_residual" in config.initialisation._target_:  # a zero map stops the gradient of what lies before it
        for layer in classifier.network.layers:
            torch.nn.init.normal_(layer.branch.outer.weight, std=0.1)
    loss = classifier.training_step(batch, 0)
    loss.backward()
    assert loss.isfinite()
    for name, parameter in classifier.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    "path", [path for path in CONFIGS.rglob("*.yaml") if "_target_" in path.read_text()], ids=lambda path: path.stem
)
def test_the_keys_of_a_file_are_parameters_of_its_function(path: Path) -> None:
    def visit(node: DictConfig) -> None:
        target = OmegaConf.to_container(node).get("_target_", "")
        if target and "${" not in target:
            function = get_object(target)
            keys = {key for key in node if not key.startswith("_") and key not in ("batch_size", "path", "standardise")}
            parameters = inspect.signature(function).parameters
            required = {
                name
                for name, parameter in parameters.items()
                if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty
            }
            assert keys <= set(parameters), target
            assert required <= set(node), target
        for key in node:
            given = not OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(node, key)
            if given and isinstance(node[key], DictConfig):
                visit(node[key])

    config = OmegaConf.load(path)
    assert isinstance(config, DictConfig)
    visit(config)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", words_of("experiment"))
def test_an_experiment_is_a_lab_note_without_mistakes(experiment: str, compose: Callable[..., DictConfig]) -> None:
    note = (CONFIGS / f"{experiment.replace('=', '/')}.yaml").read_text()
    assert all(heading in note for heading in ("# Question:", "# Command:", "# Result:"))
    config = compose(f"+{experiment}")
    assert composition.mistakes("train", config, HydraConfig.get()) == []


def test_the_defaults_have_no_mistake(compose: Callable[..., DictConfig]) -> None:
    assert composition.mistakes("train", compose(), HydraConfig.get()) == []


def test_every_rule_is_about_a_key_that_some_file_has() -> None:
    keys = {"run", "split"} | {
        f"{path.parent.name}.{key}" if path.parent != CONFIGS else key
        for path in CONFIGS.rglob("*.yaml")
        for key, _ in [
            *check.leaves(OmegaConf.load(path)),
            *((key, None) for key in check.missing(OmegaConf.load(path))),
        ]
    }
    assert set(check.RULES) <= keys
