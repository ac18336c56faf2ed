"""Networks from elsewhere: weights that do not fit, wrong patterns, gradual unfreezing."""

import logging
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import BackboneFinetuning
from my_network.networks.build import all_but_head, build
from my_network.techniques import scheduler
from tests.fitting import (
    classification_of,
    fit,
    small_network,
    some_samples,
)
from tests.test_build import groups_of, own
from torch.optim import SGD, AdamW


def test_keys_that_a_network_does_not_take_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Own is called with .in_shape, num_outputs. and its own keys: .*'depth'"):
        own(depth=3)


@pytest.mark.parametrize(
    ("source", "message"),
    [("def build(*_): pass", "must return an nn.Module, got None"), ("def build(:", r"invalid syntax .*, line 1")],
)
def test_a_factory_that_makes_no_network_is_refused(
    source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"mine_{len(source)}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=rf"network.factory.*{message}"):
        build((3,), 2, factory=f"{name}.build", weights=None, weights_strict=True, freeze=[])


def test_weights_that_do_not_fit_are_listed_and_refused_unless_that_is_allowed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state, path = own(seed=1, num_outputs=4).state_dict(), str(tmp_path / "weights.pt")
    torch.save({**state, "extra.bias": torch.ones(1)}, path)
    listed = r"head.weight is \(4, 5\) in the file, \(3, 5\) in the network; .*extra.bias is not in the network"
    with pytest.raises(ValueError, match=f"network.weights=.*{listed}; network.weights_strict=false loads the others"):
        own(weights=path)
    with caplog.at_level(logging.INFO):
        network = own(weights=path, weights_strict=False)
    assert torch.equal(network.body[0].weight, state["body.0.weight"])
    assert torch.equal(network.head.weight, own().head.weight)
    assert re.search(listed, "; ".join(record.getMessage().strip() for record in caplog.records))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"other": torch.ones(1)},
            "does not fit the network: shift is not in the file; .*other is not in the network$",
        ),
        (own, "cannot be read with weights_only=True: "),
        ({"epoch": 3}, "holds no tensors with names"),
    ],
    ids=["of another network", "code", "no tensors"],
)
def test_a_file_without_weights_for_this_network_is_refused(content: Any, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=f"^network.weights=.*{message}") as refusal:
        own(weights=str(tmp_path / "weights.pt"), weights_strict=False)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("lr_of", [None, {}])
def test_without_patterns_there_are_the_groups_of_weights_and_others(lr_of: dict[str, float] | None) -> None:
    groups = groups_of(partial(AdamW, lr=0.01, lr_of=lr_of), own())
    assert [(rate, decay) for _, rate, decay in groups] == [(0.01, 0.1), (0.01, 0.0)]


@pytest.mark.parametrize(
    ("lr_of", "message"),
    [
        ({"bodi.*": 0.1}, "optimizer.lr_of must match trainable parameters of the network, got bodi.*"),
        ({"body.*": 0.0}, "optimizer.lr_of must give rates above 0, got 0.0 for body.*"),
    ],
)
def test_patterns_without_parameters_and_rates_of_nothing_are_refused(lr_of: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        classification_of(own(), optimizer=partial(AdamW, lr=0.01, lr_of=lr_of))


@pytest.mark.parametrize("option", ["mlp", "cnn", "transformer"])
def test_the_backbone_is_all_but_the_head(option: str) -> None:
    network = small_network(option)
    names = {parameter: name for name, parameter in network.named_parameters()}
    backbone = {names[parameter] for parameter in all_but_head(network).parameters()}
    assert {names[parameter] for parameter in network.parameters()} - backbone == {"head.weight", "head.bias"}


@pytest.mark.parametrize(
    "schedule", [scheduler.constant, partial(scheduler.cosine, warmup_steps=1)], ids=["constant", "cosine"]
)
def test_lightning_unfreezes_the_backbone_when_it_is_told_to(schedule: Any) -> None:
    network = own()
    start = {name: parameter.detach().double() for name, parameter in network.named_parameters()}
    moved: list[set[str]] = []

    class Unfreezing(BackboneFinetuning):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            moved.append({name for name, parameter in network.named_parameters() if (parameter != start[name]).any()})

    task = classification_of(network, optimizer=partial(SGD, lr=0.1), schedule=schedule)
    unfreezing = Unfreezing(unfreeze_backbone_at_epoch=1, backbone_initial_lr=0.01, train_bn=False)
    fit(task, some_samples(16), 8, max_epochs=2, callbacks=[unfreezing])
    batch_norm = {"body.2.weight", "body.2.bias"}  # Lightning leaves it to train
    assert moved == [{"head.weight", "head.bias"} | batch_norm, set(start)]
