"""Mistakes in modules that read tokens or sequences: each is named first, and its twin gets notes at most."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from doctor_examples import InMemory
from lightning import LightningDataModule, LightningModule
from test_examine_networks import SEQUENCES, Own, Steps, by
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot
from torch.nn.utils.rnn import pad_sequence
from torch.optim import Adam
from torch.utils.data import DataLoader
from trainwell.data.batches import Samples
from trainwell.findings import Finding, healthy

WORDS, TAGS, LENGTH = 60, 8, 8


class Tagger(Steps):
    """As many tags as words in a sentence, so that either axis passes for that of the classes."""

    def __init__(self, by_tag: bool, in_one_order: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.by_tag, self.in_one_order = by_tag, in_one_order
        self.net = nn.Sequential(nn.Embedding(WORDS, 32), nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, TAGS))

    def loss(self, batch: Any) -> Tensor:
        outputs = self.net(batch[0])
        if not self.in_one_order:
            return cross_entropy(outputs.flatten(0, 1), batch[1].T.flatten())
        return cross_entropy(outputs.transpose(1, 2) if self.by_tag else outputs, batch[1])

    def configure_optimizers(self) -> Any:
        return Adam(self.parameters(), lr=0.01)


class Reshaped(Tagger):
    def __init__(self) -> None:
        super().__init__(by_tag=True)
        self.net = nn.Sequential(nn.Embedding(WORDS, 32), nn.Linear(32, 12))

    def loss(self, batch: Any) -> Tensor:
        return cross_entropy(self.net(batch[0]).reshape(len(batch[0]), 12, LENGTH), batch[1])


class OfChannels(Tagger):
    """A convolution has its channels along axis 1; they are moved to the last one, or only reshaped."""

    def __init__(self, moved: bool) -> None:
        super().__init__(by_tag=True)
        self.moved, self.words, self.net = moved, nn.Embedding(WORDS, 32), nn.Conv1d(32, 12, 1)

    def loss(self, batch: Any) -> Tensor:
        outputs = self.net(self.words(batch[0]).transpose(1, 2))
        return cross_entropy((outputs.transpose(1, 2) if self.moved else outputs).reshape(-1, 12), batch[1].flatten())


class Sentences(LightningDataModule):
    """Texts and targets of the same length, by a function of their number and a seed."""

    def __init__(self, make: Callable[..., list[tuple[Tensor, Tensor]]]) -> None:
        super().__init__()
        self.make = make

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.make(1000), batch_size=50, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.make(200, seed=1), batch_size=50)


def sentences(count: int, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    """Each word has a tag."""
    x = torch.randint(WORDS, (count, LENGTH), generator=torch.Generator().manual_seed(seed))
    return list(zip(x, x * 7 % WORDS % TAGS, strict=True))


class Gated(nn.Module):
    """Reads sequences; the gates of a loud one start at the ends of their range."""

    def __init__(self, cell: type[nn.LSTM | nn.GRU], loud: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.reader, self.head = cell(2, 16, batch_first=True), nn.Linear(16, 4)
        for weight in self.reader.parameters() if loud else ():
            nn.init.normal_(weight, std=20.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.reader(x)[0].mean(dim=1))


class ByKeyword(Gated):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(input=self.head(self.reader(input=x)[0].mean(dim=1))).logit()


def reader(cell: type[nn.LSTM | nn.GRU], loud: bool) -> Own:
    module = Own()
    module.network = Gated(cell, loud)
    return module


def by_keyword() -> Own:
    module = Own()
    module.network = ByKeyword(nn.GRU, loud=False)
    return module


class Vectors(Steps):
    """A mean of frozen word vectors: drawn at random, or those of a training."""

    def __init__(self, trained: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        vectors = torch.randn(400, 4)
        if trained:
            vectors[:, 0] = torch.arange(400) % 2 - 0.5
        self.words = nn.EmbeddingBag.from_pretrained(vectors, freeze=True)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

    def loss(self, batch: Any) -> Tensor:
        return cross_entropy(self.net(self.words(batch[0])), batch[1])

    def configure_optimizers(self) -> Any:
        return Adam(self.parameters(), lr=0.01)


def reviews() -> InMemory:
    """The class is the parity that most words have."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(2, (900,), generator=generator)
    odd = torch.rand(900, 10, generator=generator) < 0.3 + 0.4 * y[:, None]
    x = 2 * torch.randint(200, (900, 10), generator=generator) + odd
    return InMemory(Samples(x[:600], y[:600]), Samples(x[600:], y[600:]), 2)


class Texts(LightningDataModule):
    """Batches of texts of different lengths, which the loader fills up; hardly a word of them is known, or all are."""

    def __init__(self, known: bool) -> None:
        super().__init__()
        self.known = known

    def texts(self, count: int, seed: int) -> list[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(seed)
        found = []
        for number in range(count):
            length = int(torch.randint(4, 30, (), generator=generator))
            x = torch.randint(2, 50, (length,), generator=generator) + 50 * (number % 2)
            unknown = torch.rand(length, generator=generator) < (0.0 if self.known else 0.99)
            found.append((x.masked_fill(unknown, 1), torch.tensor(number % 2)))
        return found

    def loader(self, count: int, seed: int) -> DataLoader:
        def collate(examples: Any) -> Any:
            x, y = zip(*examples, strict=True)
            return pad_sequence(x, batch_first=True), torch.stack(y)

        return DataLoader(self.texts(count, seed), batch_size=32, shuffle=seed == 0, collate_fn=collate)

    def train_dataloader(self) -> DataLoader:
        return self.loader(800, 0)

    def val_dataloader(self) -> DataLoader:
        return self.loader(200, 1)


class Bag(Steps):
    """Counts tokens, padding left out."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(100, 16), nn.ReLU(), nn.Linear(16, 2))

    def loss(self, batch: Any) -> Tensor:
        counts = one_hot(batch[0], 100).sum(dim=1).float()
        return cross_entropy(self.net(counts * (torch.arange(100) > 0)), batch[1])


class Repeats(Steps):
    """A decoder that repeats what it read; it gets the word before each target, or the target itself."""

    def __init__(self, shifted: bool = True, reshaped: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.shifted, self.reshaped = shifted, reshaped
        self.words, self.reader = nn.Embedding(WORDS, 32), nn.GRU(32, 16, batch_first=True, bidirectional=True)
        self.writer, self.net = nn.GRU(32, 32, batch_first=True), nn.Linear(32, WORDS)

    def loss(self, batch: Any) -> Tensor:
        x, y = batch
        ends = self.reader(self.words(x))[1]
        state = ends.reshape(1, len(x), 32) if self.reshaped else torch.cat([ends[0], ends[1]], dim=1)[None]
        before = torch.cat([torch.zeros_like(y[:, :1]), y[:, :-1]], dim=1) if self.shifted else y
        return cross_entropy(self.net(self.writer(self.words(before), state)[0]).flatten(0, 1), y.flatten())

    def configure_optimizers(self) -> Any:
        return Adam(self.parameters(), lr=0.01)


def repeated(count: int, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    """Texts that repeat four words."""
    x = torch.randint(1, WORDS, (count, 4), generator=torch.Generator().manual_seed(seed)).repeat(1, 2)
    return list(zip(x, x, strict=True))


class OverNodes(Steps):
    """Attention between the nodes of a graph, or of all graphs of a batch."""

    def __init__(self, along_nodes: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.into, self.read = nn.Linear(4, 16), nn.Linear(16, 2)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=along_nodes)

    def loss(self, batch: Any) -> Tensor:
        nodes = self.into(batch["nodes"])
        attended, _ = self.attention(nodes, nodes, nodes)
        weights = batch["known"] / batch["known"].sum(dim=1, keepdim=True)
        return cross_entropy(self.read(((nodes + attended) * weights[..., None]).sum(dim=1)), batch["label"])

    def configure_optimizers(self) -> Any:
        return Adam(self.parameters(), lr=0.01)


class Graphs(LightningDataModule):
    """The class is the sign of the sum of the first feature over the known nodes."""

    def graphs(self, count: int, seed: int) -> DataLoader:
        generator = torch.Generator().manual_seed(seed)
        nodes = torch.randn(count, 6, 4, generator=generator)
        known = (torch.rand(count, 6, generator=generator) < 0.8).float() + 1e-3
        label = ((nodes[..., 0] * known).sum(dim=1) > 0).long()
        examples = [{"nodes": a, "known": b, "label": c} for a, b, c in zip(nodes, known, label, strict=True)]
        return DataLoader(examples, batch_size=40, shuffle=seed == 0)

    def train_dataloader(self) -> DataLoader:
        return self.graphs(1000, 0)

    def val_dataloader(self) -> DataLoader:
        return self.graphs(400, 1)


FAULTY: dict[str, tuple[str, LightningModule, LightningDataModule]] = {
    "classes on the wrong axis": ("loss_mismatch", Tagger(by_tag=False), Sentences(sentences)),
    "classes reshaped to axis 1": ("loss_mismatch", Reshaped(), Sentences(sentences)),
    "channels reshaped": ("loss_mismatch", OfChannels(moved=False), Sentences(sentences)),
    "targets in another order": ("loss_mismatch", Tagger(by_tag=True, in_one_order=False), Sentences(sentences)),
    "a decoder that gets its targets": ("target_leak", Repeats(shifted=False), Sentences(repeated)),
    "states that are reshaped": ("mixed_samples", Repeats(reshaped=True), Sentences(repeated)),
    "attention between graphs": ("mixed_samples", OverNodes(along_nodes=False), Graphs()),
    "saturated gates of an LSTM": ("saturated_units", reader(nn.LSTM, loud=True), SEQUENCES),
    "saturated gates of a GRU": ("saturated_units", reader(nn.GRU, loud=True), SEQUENCES),
    "frozen vectors at random": ("frozen_parameters", Vectors(trained=False), reviews()),
    "texts of unknown words": ("constant_input", Bag(), Texts(known=False)),
}
HEALTHY: dict[str, Callable[[], list[Finding]]] = {
    "classes on axis 1": lambda: by(Tagger(by_tag=True), Sentences(sentences)),
    "a decoder that gets the word before": lambda: by(Repeats(), Sentences(repeated)),
    "attention between nodes": lambda: by(OverNodes(along_nodes=True), Graphs()),
    "channels moved": lambda: by(OfChannels(moved=True), Sentences(sentences)),
    "gates of an LSTM": lambda: by(reader(nn.LSTM, loud=False), SEQUENCES),
    "gates that are called by keyword": lambda: by(by_keyword(), SEQUENCES),
    "gates of a GRU": lambda: by(reader(nn.GRU, loud=False), SEQUENCES),
    "frozen vectors of a training": lambda: by(Vectors(trained=True), reviews()),
    "texts of known words": lambda: by(Bag(), Texts(known=True)),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_mistake_is_named_first(name: str) -> None:
    code, module, data = FAULTY[name]
    findings = by(module, data)
    assert [findings[0].code, healthy(findings)] == [code, False], findings


@pytest.mark.parametrize("name", HEALTHY)
def test_its_twin_gets_notes_at_most(name: str) -> None:
    findings = HEALTHY[name]()
    assert healthy(findings), findings
