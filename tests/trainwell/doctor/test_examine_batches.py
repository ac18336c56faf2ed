"""Batches of other forms than pairs: inputs alone, dictionaries, tokens; and what is found by the steps of a module."""

from collections.abc import Callable
from dataclasses import replace
from math import log
from typing import Any

import pytest
import torch
from doctor_examples import InMemory
from lightning import LightningDataModule, LightningModule
from sklearn.datasets import load_digits
from test_examine import CLASSES, FEATURES, problem
from test_examine_networks import (
    SEQUENCES,
    WIDTH,
    BroadcastingByHand,
    Dropping,
    Numbers,
    Own,
    PositiveRates,
    by,
    numbers,
)
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss, softplus
from torch.optim import Adam, AdamW
from torch.utils.data import DataLoader
from trainwell.data import standardize
from trainwell.data.batches import Samples
from trainwell.doctor.baselines import baseline_share
from trainwell.doctor.inspection import is_as_torch_starts
from trainwell.doctor.loss_calls import LossCall, constant_loss
from trainwell.doctor.problem import Problem, problem_of
from trainwell.doctor.rules.data import findings_in_data, unlearnable
from trainwell.doctor.rules.splits import findings_between_splits
from trainwell.findings import Finding, healthy

TOKENS, LENGTH = 20, 16


class Loaders(LightningDataModule):
    """Ordinary loaders of examples in any form."""

    def __init__(self, train: list[Any], val: list[Any]) -> None:
        super().__init__()
        self.train, self.val = train, val

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, batch_size=32, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.val, batch_size=100)


def alone(x: Tensor, val: int = 200) -> Loaders:
    """Batches ``[x]``."""
    examples = [(each,) for each in x]
    return Loaders(examples[val:], examples[:val])


def text(count: int) -> Tensor:
    """Each token is followed by one of two others."""
    generator = torch.Generator().manual_seed(0)
    tokens = [0]
    for choice in torch.randint(2, (count - 1,), generator=generator).tolist():
        tokens.append((3 * tokens[-1] + 7 * choice + 1) % TOKENS)
    return torch.tensor(tokens)


def pieces(stride: int) -> Loaders:
    """Windows of one text in another order."""
    windows = text(LENGTH + 1200 * stride).unfold(0, LENGTH, stride)[:1200]
    return alone(windows[torch.randperm(len(windows), generator=torch.Generator().manual_seed(0))])


class Language(LightningModule):
    """Predicts the next token; a reader in both directions sees it, and so do targets that are not shifted."""

    def __init__(self, both_directions: bool = False, shift: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.shift = shift
        self.tokens = nn.Embedding(TOKENS, WIDTH)
        self.reader = nn.GRU(WIDTH, WIDTH, batch_first=True, bidirectional=both_directions)
        self.head = nn.Linear(WIDTH * (1 + both_directions), TOKENS)

    def loss(self, batch: Any) -> Tensor:
        x = batch[0]
        inputs, targets = x[:, : LENGTH - self.shift], x[:, self.shift :]
        logits = self.head(self.reader(self.tokens(inputs))[0])
        return cross_entropy(logits.flatten(0, 1), targets.flatten())

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_index: int) -> None:
        self.log("val/loss", self.loss(batch))

    def configure_optimizers(self) -> Any:
        return Adam(self.parameters(), lr=0.01)


class Padded(Language):
    """Targets that are left out have an index of their own."""

    def loss(self, batch: Any) -> Tensor:
        x = batch[0]
        logits = self.head(self.reader(self.tokens(x[:, :-1]))[0])
        targets = x[:, 1:].masked_fill(torch.arange(LENGTH - 1) % 5 == 0, -1)
        return cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)


class Forced(Language):
    """Reads the targets so far beside the inputs, and adds a number of its own to what it returns."""

    def __init__(self) -> None:
        super().__init__()
        self.reader = nn.GRU(2 * WIDTH, WIDTH, batch_first=True)
        self.shift_of_outputs = nn.Parameter(torch.tensor(0.0))

    def loss(self, batch: Any) -> Tensor:
        source, target = batch
        before = nn.functional.pad(target[:, :-1], (1, 0))
        read, _ = self.reader(torch.cat([self.tokens(source), self.tokens(before)], dim=2))
        logits = self.head(read - self.shift_of_outputs)
        return cross_entropy(logits.flatten(0, 1), target.flatten())


class Segmented(Own):
    """A class for each of four parts of a sample; the rare class counts more."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(FEATURES, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Linear(WIDTH, 2 * FEATURES)
        )

    def loss(self, batch: Any) -> Tensor:
        masks = (batch[0] > 1.5).long()
        return cross_entropy(self(batch[0]).unflatten(1, (2, FEATURES)), masks, weight=torch.tensor([0.1, 1.0]))


class FrozenEncoder(Own):
    """Several networks, and no forward; one of them is frozen at random."""

    forward = LightningModule.forward

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(FEATURES, 8 * WIDTH), nn.ReLU(), nn.Linear(8 * WIDTH, 1))
        self.network = nn.Sequential(nn.ReLU(), nn.Linear(1, CLASSES))
        self.encoder.requires_grad_(False)

    def loss(self, batch: Any) -> Tensor:
        return cross_entropy(self.network(self.encoder(batch[0] * 1.0)), batch[1])


class Waves(Language):
    """An autoencoder of sequences, which are read along their steps or along the batch."""

    def __init__(self, batch_first: bool = True) -> None:
        super().__init__()
        self.reader = nn.GRU(2, WIDTH, batch_first=batch_first)
        self.head = nn.Linear(WIDTH, 2)

    def loss(self, batch: Any) -> Tensor:
        return mse_loss(self.head(self.reader(batch[0])[0]), batch[0])


class Summed(Waves):
    """The errors of a sample are added, as in a variational autoencoder."""

    def loss(self, batch: Any) -> Tensor:
        return mse_loss(self.head(self.reader(batch[0])[0]), batch[0], reduction="sum") / len(batch[0])


class Forgetful(Language):
    """Drops units in evaluation too, and sees no later token."""

    def loss(self, batch: Any) -> Tensor:
        x = batch[0]
        read, _ = self.reader(self.tokens(x[:, :-1]))
        return cross_entropy(self.head(nn.functional.dropout(read, 0.3)).flatten(0, 1), x[:, 1:].flatten())


class RecurrentByHand(Own):
    """A state that forgets a share of itself in every step of forty."""

    def __init__(self, forgets: float) -> None:
        super().__init__()
        self.forgets = forgets
        self.read, self.head = nn.Linear(2, WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), WIDTH)
        for step in range(x.shape[1]):
            state = (1 - self.forgets) * state + self.read(x[:, step]).tanh()
        return self.head(state)


class Named(Own):
    """Batches are dictionaries."""

    def loss(self, batch: Any) -> Tensor:
        return cross_entropy(self(batch["features"]), batch["label"])


class BroadcastTheOtherWay(BroadcastingByHand):
    def loss(self, batch: Any) -> Tensor:
        return (self(batch[0])[:, 0] - batch[1][:, None]).square().mean()


class NeverZero(PositiveRates):
    def forward(self, x: Tensor) -> Tensor:
        return softplus(Own.forward(self, x)) + 1e-4


class MostlyDropped(Dropping):
    def drop(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.95, self.training)


class OtherMasks(Own):
    """Labels of 24 parts of a sample, that of another one or its own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(24, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 24))

    def loss(self, batch: Any) -> Tensor:
        return binary_cross_entropy_with_logits(self(batch[0]), batch[1])


class Ratings(Own):
    """Products of what people and things are like, of which batches give the numbers and a rating."""

    def __init__(self, factors: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.people, self.things = nn.Embedding(60, factors), nn.Embedding(60, factors)
        self.network = nn.Identity()

    def loss(self, batch: Any) -> Tensor:
        person, thing, rating = batch
        return mse_loss((self.people(person) * self.things(thing)).sum(dim=1), rating)

    def configure_optimizers(self) -> Any:
        return Adam(self.parameters(), lr=0.05)


class AlsoContrasted(FrozenEncoder):
    """Logits of the samples as they are; a second loss compares them with parts of other samples."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(FEATURES, WIDTH), nn.ReLU())
        self.network = nn.Linear(WIDTH, CLASSES)

    def loss(self, batch: Any) -> Tensor:
        x, y = batch
        others = torch.where(torch.rand_like(x) < 0.3, x[torch.randperm(len(x))], x)
        read = self.encoder(x)
        apart = (read - self.encoder(others)).square().mean()
        return cross_entropy(self.network(read), y) + 0.1 * apart

    def validation_step(self, batch: Any, batch_index: int) -> None:
        self.loss(batch)


class DecayedTokens(Own):
    def configure_optimizers(self) -> Any:
        return AdamW(self.parameters(), lr=0.003, weight_decay=20)


class Scaled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.float() / 255


def waves(scale: float = 1.0, offset: float = 0.0) -> Loaders:
    generator = torch.Generator().manual_seed(0)
    frequency = torch.rand(900, 1, generator=generator) * 0.7 + 0.1
    phase = frequency * torch.arange(LENGTH)
    noise = 0.05 * torch.randn(900, LENGTH, 2, generator=generator)
    return alone(scale * (torch.stack([phase.sin(), phase.cos()], dim=-1) + noise) + offset)


def masks(shift: int) -> InMemory:
    x = torch.randn(1000, 24, generator=torch.Generator().manual_seed(0))
    whole = Samples(x, (x > 0).float().roll(shift, 0))
    return InMemory(whole.at(torch.arange(800)), whole.at(torch.arange(800, 1000)), 0)


def ratings(count: int) -> Loaders:
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randperm(3600, generator=generator)[: count + 400]
    of_people, of_things = torch.randn(2, 60, 2, generator=generator)
    examples = [(pair // 60, pair % 60, of_people[pair // 60] @ of_things[pair % 60]) for pair in pairs]
    return Loaders(examples[400:], examples[:400])


def noisy(count: int) -> InMemory:
    """Numbers of which the inputs explain half."""
    x = torch.randn(count + 300, FEATURES, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(count + 300, generator=torch.Generator().manual_seed(1))
    whole = Samples(x, (x[:, 0] + noise) / 2**0.5)
    return InMemory(whole.at(torch.arange(300, count + 300)), whole.at(torch.arange(300)), 0)


def wide(data: InMemory) -> list[Finding]:
    module = Numbers(nn.Identity())
    torch.manual_seed(0)
    module.network = nn.Sequential(
        nn.Linear(FEATURES, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 1)
    )
    return by(module, data)


def token_texts() -> InMemory:
    x = torch.randint(TOKENS, (1500, LENGTH), generator=torch.Generator().manual_seed(0))
    whole = Samples(x, x[:, 0] % CLASSES)
    return InMemory(whole.at(torch.arange(1000)), whole.at(torch.arange(1000, 1500)), CLASSES)


def decayed_tokens() -> LightningModule:
    module = DecayedTokens()
    module.network = of_tokens().network
    return module


def named() -> Loaders:
    splits = [
        [{"features": x, "label": y} for x, y in zip(*part, strict=True)] for part in (problem().train, problem().val)
    ]
    return Loaders(*splits)


def all_validated() -> InMemory:
    x = torch.randint(TOKENS, (800, LENGTH), generator=torch.Generator().manual_seed(0))
    whole = Samples(x, x[:, 0] % CLASSES)
    return InMemory(whole.at(torch.arange(600)), whole, CLASSES)


def of_tokens(outputs: int = CLASSES) -> LightningModule:
    torch.manual_seed(0)
    module = Own()
    module.network = nn.Sequential(nn.Embedding(TOKENS, 8), nn.Flatten(), nn.Linear(8 * LENGTH, outputs))
    return module


def rated() -> InMemory:
    """A token that only texts of one kind have, somewhere in them."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randint(1, TOKENS, (800, LENGTH), generator=generator), torch.arange(800) % 2
    place = torch.randint(LENGTH, (800,), generator=generator)
    x[torch.arange(800), place] = torch.where(y == 1, 0, x[torch.arange(800), place])
    whole = Samples(x, y)
    return InMemory(whole.at(torch.arange(600)), whole.at(torch.arange(600, 800)), 2)


def translated() -> Loaders:
    examples = [(row, (row + 3) % TOKENS) for (row,) in (*pieces(LENGTH).train, *pieces(LENGTH).val)]
    return Loaders(examples[200:], examples[:200])


def dropped_by_function() -> LightningModule:
    module = Own()
    module.network = MostlyDropped(always=False)
    return module


FAULTY: dict[str, tuple[str, Callable[[], list[Finding]]]] = {
    "read along the batch": ("mixed_samples", lambda: by(Waves(batch_first=False), waves())),
    "in pascal": ("unscaled_input", lambda: by(Waves(), waves(scale=900.0, offset=101325.0))),
    "read in both directions": ("target_leak", lambda: by(Language(both_directions=True), pieces(LENGTH))),
    "its own token": ("target_leak", lambda: by(Language(shift=0), pieces(LENGTH))),
    "windows of a text": ("validation_leak", lambda: by(Language(), pieces(2))),
    "all tokens validated": ("validation_leak", lambda: by(of_tokens(), all_validated())),
    "rating in the text": ("target_leak", lambda: by(of_tokens(2), rated())),
    "dropped tokens": ("dropout_in_evaluation", lambda: by(Forgetful(), pieces(LENGTH))),
    "a random encoder": ("frozen_parameters", lambda: by(FrozenEncoder())),
    "forgetful": ("vanishing_gradient", lambda: by(RecurrentByHand(0.6), SEQUENCES)),
    "broadcast the other way": ("loss_mismatch", lambda: by(BroadcastTheOtherWay(nn.Identity()), numbers(1.0))),
    "rates that are never 0": ("output_activation", lambda: by(NeverZero((-1,)), numbers(1.0))),
    "masks of other samples": ("unlearnable_labels", lambda: by(OtherMasks(), masks(1))),
    "memorized ratings": ("overfitting", lambda: by(Ratings(32), ratings(1000))),
    "memorized numbers": ("overfitting", lambda: wide(noisy(100))),
    "decayed tokens": ("excess_weight_decay", lambda: by(decayed_tokens(), token_texts())),
    "dropped by a function": ("excess_dropout", lambda: by(dropped_by_function())),
}
HEALTHY: dict[str, Callable[[], list[Finding]]] = {
    "read along the steps": lambda: by(Waves(), waves()),
    "one direction": lambda: by(Language(), pieces(LENGTH)),
    "padded": lambda: by(Padded(), pieces(LENGTH)),
    "teacher forcing": lambda: by(Forced(), translated()),
    "weighted masks": lambda: by(Segmented(), alone(torch.cat([problem().train.x, problem().val.x]))),
    "summed": lambda: by(Summed(), waves()),
    "dictionaries": lambda: by(Named(), named()),
    "contrasted as well": lambda: by(AlsoContrasted()),
    "masks": lambda: by(OtherMasks(), masks(0)),
    "ratings": lambda: by(Ratings(2), ratings(3000)),
    "many numbers": lambda: wide(noisy(2000)),
    "texts": lambda: by(of_tokens(), token_texts()),
    "remembering": lambda: by(RecurrentByHand(0.01), SEQUENCES),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_mistake_in_batches_of_any_form_is_named_first(name: str) -> None:
    code, examination = FAULTY[name]
    findings = examination()
    assert [findings[0].code, healthy(findings)] == [code, False], findings


@pytest.mark.parametrize("name", HEALTHY)
def test_its_twin_in_batches_of_that_form_gets_notes_at_most(name: str) -> None:
    findings = HEALTHY[name]()
    assert healthy(findings), findings


def test_the_token_that_is_named_is_the_users() -> None:
    from trainwell.doctor.rules.splits import leaking_feature

    data = rated()
    samples = [Samples(torch.where(part.x == 0, 600, part.x), part.y) for part in (data.train, data.val)]
    (finding,) = leaking_feature(Problem(*samples, 2, 32, 32))
    assert finding.where == "token 600"


def test_bytes_and_a_missing_validation_loader_are_examined() -> None:
    x = torch.randint(256, (300, FEATURES), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    module = Own()
    module.network = nn.Sequential(Scaled(), module.network)
    by(module, InMemory(Samples(x[:200], x[:200, 0].long() % 4), Samples(x[200:], x[200:, 0].long() % 4), CLASSES))

    class NoValidation(Loaders):
        def val_dataloader(self) -> Any:
            return []

    train = [(row, label) for row, label in zip(*problem().train, strict=True)]
    by(Own(), NoValidation(train, []))


@pytest.mark.parametrize("form", ["tensor", "list", "dictionary", "other names"])
def test_batches_are_made_again_as_the_loader_makes_them(form: str) -> None:
    x, y = torch.randn(8, 3), torch.arange(8) % 2
    examples: dict[str, list[Any]] = {
        "tensor": list(x),
        "list": [(row,) for row in x],
        "dictionary": [{"x": row, "label": label} for row, label in zip(x, y, strict=True)],
        "other names": [{"tokens": row, "icd": label} for row, label in zip(x, y, strict=True)],
    }
    data = Loaders(examples[form], examples[form])
    found = problem_of(data)
    assert found is not None
    (batch,) = data.val_dataloader()
    again = found.batch(found.val, torch.device("cpu")).collated
    assert type(again) is type(batch)
    assert str(again) == str(batch)
    assert found.num_classes == (2 if form in ("dictionary", "other names") else 0)


def test_the_loss_of_a_constant_guess_of_classes_is_their_entropy() -> None:
    targets = torch.tensor([0, 0, 1, 2, -100])  # the last one is ignored
    call = LossCall("cross_entropy", torch.zeros(5, 3), "", targets, 0.0)
    assert constant_loss(call) == pytest.approx(0.5 * log(2) + 0.5 * log(4))


def test_a_feature_that_varies_in_validation_alone_does_not_hide_what_can_be_learned() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(500, 5, generator=generator)
    x[:, 4] = 0.0
    x[400:405, 4] = 1.0
    whole = Samples(x, x[:, 0] - x[:, 1])
    samples = Problem(whole.at(torch.arange(400)), whole.at(torch.arange(400, 500)), 0, 32, 32)
    assert baseline_share(samples) > 0.95


def table(seed: int, copied: bool) -> Problem:
    """Independent rows of numbers and categories, one-hot, or each of them twice, with a little noise."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn(600, 3, generator=generator)
    categories = [torch.randint(count, (600,), generator=generator) for count in (3, 4, 2 + seed)]
    columns = [numbers, *(nn.functional.one_hot(each).float() for each in categories)]
    x = torch.cat(columns, dim=1)
    if copied:
        noise = torch.zeros_like(x)
        noise[:, :3] = 0.003 * torch.randn(600, 3, generator=generator)
        x = torch.cat([x, x + noise])
    x = x[torch.randperm(len(x), generator=generator)]
    whole = Samples(x, torch.zeros(len(x), dtype=torch.int64))
    return Problem(whole.at(torch.arange(200, len(x))), whole.at(torch.arange(200)), 2, 32, 32)


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("seed", range(1, 7))
def test_rows_of_one_category_are_no_copies_of_each_other(seed: int, copied: bool) -> None:
    found = [finding.code for finding in findings_in_data(table(seed, copied))]
    assert found == ["validation_leak"] * copied


def test_rows_with_equal_columns_are_no_windows() -> None:
    """Of 0 and 1 for each category, most columns of two rows are equal, whatever the rows are."""
    generator = torch.Generator().manual_seed(0)
    amounts = torch.randn(1200, 2, generator=generator).exp()
    years, late = (torch.randint(most, (1200, 1), generator=generator).float() for most in (60, 4))
    jobs = torch.eye(6)[torch.randint(6, (1200,), generator=generator)]
    whole = Samples(torch.cat([amounts, years, late, jobs], dim=1), torch.zeros(1200, dtype=torch.int64))
    samples = Problem(whole.at(torch.arange(200, 1200)), whole.at(torch.arange(200)), 2, 32, 32)
    assert "validation_leak" not in {finding.code for finding in findings_in_data(samples)}


@pytest.mark.parametrize("stride", [6, 24])
def test_windows_that_overlap_are_seen_behind_a_standardization_of_each_step(stride: int) -> None:
    steps = torch.arange(24 + 300 * stride, dtype=torch.float64)
    series = 500 + (steps / 7).sin() + 0.1 * torch.randn(len(steps), generator=torch.Generator().manual_seed(0))
    x = series.unfold(0, 24, stride)[:300]
    x = x[torch.randperm(300, generator=torch.Generator().manual_seed(1))]
    standardizer = standardize.fit([x[60:]])
    whole = Samples(standardizer(x), torch.zeros(300))
    samples = Problem(whole.at(torch.arange(60, 300)), whole.at(torch.arange(60)), 0, 32, 32, standardizer=standardizer)
    assert [finding.code for finding in findings_in_data(samples)] == ["validation_leak"] * (stride < 24)


@pytest.mark.parametrize(("later", "earlier"), [(1, 1), (3, 3), (3, 0)])
def test_a_single_window_that_overlaps_may_be_chance_and_in_order_of_time_some_do(later: int, earlier: int) -> None:
    x = torch.randn(248, 24, generator=torch.Generator().manual_seed(0))
    x[:later, :18] = x[8 : 8 + later, 6:]
    x[4 : 4 + earlier, 6:] = x[20 : 20 + earlier, :18]
    whole = Samples(x, torch.zeros(248))
    samples = Problem(whole.at(torch.arange(8, 248)), whole.at(torch.arange(8)), 0, 32, 32)
    codes = {finding.code for finding in findings_in_data(samples)}
    assert ("validation_leak" in codes) == (later > 1 and earlier > 1)


@pytest.mark.parametrize("stride", [4, 32])
def test_a_series_that_goes_on_in_validation_may_have_changed(stride: int) -> None:
    """Windows that overlap show that it is one series."""
    steps = 32 + 300 * stride
    series = torch.randn(steps, generator=torch.Generator().manual_seed(0)) + torch.linspace(0, 8, steps)
    whole = Samples(series.unfold(0, 32, stride)[:300], torch.zeros(300))
    samples = Problem(whole.at(torch.arange(200)), whole.at(torch.arange(200, 300)), 0, 32, 32)
    found = [finding.code for finding in findings_between_splits(samples)]
    assert found == ["shifted_validation"] * (stride == 32)


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_rare_class_that_few_samples_show_can_be_learned(shuffled: bool) -> None:
    """Scores by which a fifth of the samples is chosen: of so few, accuracy is that of a constant guess."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(420, 30, generator=generator)
    score = x[:, :4].sum(dim=1) / 2 + 0.7 * torch.randn(420, generator=generator)
    y = (score > score.quantile(0.8)).long()
    whole = Samples(x, y[torch.randperm(420, generator=generator)] if shuffled else y)
    samples = Problem(whole.at(torch.arange(80, 420)), whole.at(torch.arange(80)), 2, 32, 32)
    assert [finding.code for finding in unlearnable(samples, None)] == ["unlearnable_labels"] * shuffled


def test_weights_of_a_layer_that_was_never_trained_are_recognized() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(FEATURES, WIDTH)
    assert is_as_torch_starts(layer.weight)
    assert not is_as_torch_starts(nn.init.kaiming_normal_(torch.empty(WIDTH, FEATURES)))
    assert not is_as_torch_starts(layer.weight + 0.1)
    words = nn.Embedding(100, FEATURES, padding_idx=0).weight
    assert is_as_torch_starts(words, of_embedding=True)
    assert not is_as_torch_starts(0.8 * words, of_embedding=True)
    assert not is_as_torch_starts(words.sign(), of_embedding=True)


@pytest.mark.parametrize(("divided", "codes"), [(True, ["constant_input"]), (False, [])])
def test_divided_integers_leave_nothing_of_most_pixels(divided: bool, codes: list[str]) -> None:
    """Of 16 shades, only the brightest is not rounded down to 0; half of them are where a threshold is chosen."""
    images, y = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
    x = (images // 16 if divided else images >= 8).float().reshape(-1, 1, 8, 8)
    problem = Problem(Samples(x[:1400], y[:1400]), Samples(x[1400:], y[1400:]), 10, 64, 64)
    found = [finding.code for finding in findings_in_data(problem)]
    assert [code for code in found if code == "constant_input"] == codes


def test_copies_with_noise_are_seen_before_features_of_noise_are_scaled_up() -> None:
    """Half of the features are constant but for noise, as the margins of images."""
    generator = torch.Generator().manual_seed(0)
    drawn = 10 * torch.randn(60, 40, generator=generator) * (torch.arange(40) < 6)
    x = drawn.repeat(5, 1) + 0.2 * torch.randn(300, 40, generator=generator)
    standardizer = standardize.fit([x])
    whole = Samples(standardizer(x), torch.zeros(300))
    problem = Problem(whole.at(torch.arange(240)), whole.at(torch.arange(240, 300)), 0, 32, 32)
    found = [
        [finding.code for finding in findings_in_data(samples)]
        for samples in (problem, replace(problem, standardizer=standardizer))
    ]
    assert found == [[], ["validation_leak"]]


def test_lagging_statistics_are_seen_in_double_precision() -> None:
    from test_examine_networks import normalised

    module = Own()
    module.network = normalised(1e-4)
    assert by(module, precision="64-true")[0].code == "batch_norm"
