"""Weight decay: what it adds to the loss or takes from the weights, and from which of them."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import AdamW
from trainwell.data.batches import Samples

from your_package.techniques import normalisation, weight_decay
from your_package.techniques.weight_decay import WeightDecay, split

from tests.fitting import (
    classification_of,
    fit,
    linear_classification,
    small_network,
    some_samples,
)

SAMPLES = some_samples(24)
STRENGTH = 0.03

l2, decoupled, sklearn = (
    partial(technique, include=[], exclude=[])
    for technique in (weight_decay.l2, weight_decay.decoupled, weight_decay.sklearn)
)


def two_layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 3)).double()


PENALTIES = {  # with the factor of the squared weights, for a batch of 10 samples
    "none": (weight_decay.none(), 0.0),
    "l2": (l2(strength=0.03), 0.03),
    "sklearn": (sklearn(alpha=0.7), 0.7 / (2 * 10)),
    "decoupled": (decoupled(strength=0.03), 0.0),  # it acts on the weights, not on the loss
}


@pytest.mark.parametrize(("decay", "factor"), PENALTIES.values(), ids=PENALTIES.keys())
def test_a_penalty_is_its_factor_times_the_squares_of_the_weights_alone(decay: WeightDecay, factor: float) -> None:
    network, batch = two_layers(), SAMPLES.at(torch.arange(10))
    loss = classification_of(network, decay=decay).training_step(batch, 0)
    squares = sum((network[map].weight.detach().numpy() ** 2).sum() for map in (0, 3))
    without = cross_entropy(network(batch.x), batch.y)
    assert loss.item() == pytest.approx(without.item() + factor * squares, rel=1e-14)


def weights_and_others(network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    weights, others = split(network, weight_decay.none())
    return [p.detach().clone() for p in weights], [p.detach().clone() for p in others]


def test_decoupled_shrinks_the_weights_by_exactly_one_minus_lr_times_lambda() -> None:
    nowhere = Samples(torch.zeros_like(SAMPLES.x), SAMPLES.y)  # inputs of zero give the weights no gradient
    network, plain = linear_classification().network, linear_classification().network
    (weight,), (bias,) = weights_and_others(network)
    steps, lr, strength = 4, 0.1, 0.5
    decaying = classification_of(network, optimizer=partial(AdamW, lr=lr), decay=decoupled(strength=strength))
    fit(decaying, nowhere, 6, gradient_clip_val=0.1)
    fit(classification_of(plain, optimizer=partial(AdamW, lr=lr)), nowhere, 6, gradient_clip_val=0.1)
    (decayed,), (moved,) = weights_and_others(network)
    torch.testing.assert_close(decayed, weight * (1 - lr * strength) ** steps, rtol=1e-14, atol=0)
    torch.testing.assert_close(moved, plain.bias.detach(), rtol=1e-12, atol=0)
    assert not torch.allclose(moved, bias)


class OwnScale(nn.Module):
    """A parameter with several axes in a module of one's own: nobody else can know whether it is a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(4, 3)
        self.scale = nn.Module()
        self.scale.gamma = nn.Parameter(torch.ones(2, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.map(x * self.scale.gamma[0])


def names_of_weights(network: nn.Module, decay: WeightDecay) -> set[str]:
    names = {id(p): name for name, p in network.named_parameters()}
    weights, others = split(network, decay)
    split_names = sorted(names[id(p)] for p in weights + others)
    assert split_names == sorted(name for name, p in network.named_parameters() if p.requires_grad)
    return {names[id(p)] for p in weights}


@pytest.mark.parametrize("option", ["mlp", "cnn", "transformer"])
def test_of_the_networks_here_all_linear_maps_decay_and_neither_biases_nor_positions(option: str) -> None:
    network = small_network(option, normalisation=normalisation.layer)
    owners = {name.rpartition(".")[0]: name for name in names_of_weights(network, l2(strength=STRENGTH))}
    maps = [name for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    assert owners == {name: f"{name}.weight" for name in maps}


def test_a_parameter_that_no_rule_covers_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"no rule for scale\.gamma: .*'weight_decay\.exclude=\[scale\.gamma\]'"):
        classification_of(OwnScale(), decay=l2(strength=STRENGTH))
    assert names_of_weights(OwnScale(), weight_decay.none()) == {"map.weight"}


def test_patterns_decide() -> None:
    decay = weight_decay.l2(strength=1, include=["scale.*"], exclude=[])
    assert names_of_weights(OwnScale(), decay) == {"map.weight", "scale.gamma"}
    decay = weight_decay.decoupled(strength=1, include=["*.bias"], exclude=["*.gamma", "map.weight"])
    assert names_of_weights(OwnScale(), decay) == {"map.bias"}


def test_the_optimizer_holds_every_trainable_parameter_in_exactly_one_group() -> None:
    network = two_layers()
    network[0].requires_grad_(False)
    task = classification_of(network, decay=decoupled(strength=STRENGTH))
    fit(task, SAMPLES, 24)
    groups = task.trainer.optimizers[0].param_groups
    assert [group["weight_decay"] for group in groups] == [STRENGTH, 0]
    names = {id(p): name for name, p in network.named_parameters()}
    held = [[names[id(p)] for p in group["params"]] for group in groups]
    assert held == [["3.weight"], ["1.weight", "1.bias", "3.bias"]]
