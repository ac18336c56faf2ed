"""Healthy networks of many kinds, as factories ``(in_shape, num_outputs)``. Nothing here knows the project."""

from collections.abc import Callable, Sequence
from math import pi, prod, sqrt

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, one_hot, relu, silu, softmax
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.rnn import pack_padded_sequence

Shape = Sequence[int]


class Of(nn.Module):
    """Any function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Plus(nn.Module):
    """A residual branch, scaled by one number for each channel."""

    def __init__(self, branch: nn.Module, channels: int = 1, scale: float | None = None) -> None:
        super().__init__()
        self.branch = branch
        self.scale = None if scale is None else nn.Parameter(torch.full((channels, 1, 1), scale))

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch(x)
        return x + (y if self.scale is None else self.scale * y)


def mlp(shape: Shape, outputs: int, width: int = 48, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(prod(shape), width), activation(), nn.Linear(width, width), activation(),
        nn.Linear(width, outputs),
    )  # fmt: skip


def normalized_first(shape: Shape, outputs: int) -> nn.Module:
    """Batch normalisation of the inputs, so that their units do not matter."""
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(prod(shape)), mlp([prod(shape)], outputs))


def resnet(shape: Shape, outputs: int, channels: int = 12) -> nn.Module:
    def block() -> nn.Module:
        return Plus(nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels),
        ))  # fmt: skip

    return nn.Sequential(
        nn.Conv2d(shape[0], channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(), block(), nn.ReLU(),
        nn.MaxPool2d(2), block(), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, outputs),
    )  # fmt: skip


class Dense(nn.Module):
    """Every layer reads all maps before it."""

    def __init__(self, shape: Shape, outputs: int, growth: int = 8, depth: int = 4) -> None:
        super().__init__()
        counts = [shape[0] + growth * n for n in range(depth)]
        self.layers = nn.ModuleList(nn.Conv2d(count, growth, 3, padding=1) for count in counts)
        self.head = nn.Linear(shape[0] + growth * depth, outputs)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, relu(layer(x))], 1)
        return self.head(x.amax((2, 3)))


def convnext(shape: Shape, outputs: int, channels: int = 16, scale: float = 1e-6) -> nn.Module:
    """Depthwise convolutions, with branches that start near zero."""
    blocks = [
        Plus(nn.Sequential(
            nn.Conv2d(channels, channels, 5, padding=2, groups=channels), nn.GroupNorm(1, channels),
            nn.Conv2d(channels, 2 * channels, 1), nn.GELU(), nn.Conv2d(2 * channels, channels, 1),
        ), channels, scale)
        for _ in range(3)
    ]  # fmt: skip
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(channels), nn.Linear(channels, outputs)]
    return nn.Sequential(nn.Conv2d(shape[0], channels, 2, stride=2), nn.GroupNorm(1, channels), *blocks, *head)


class UNet(nn.Module):
    """Down and up again with skips, then one number for each map."""

    def __init__(self, shape: Shape, outputs: int, width: int = 8) -> None:
        super().__init__()
        self.down, self.deep = nn.Conv2d(shape[0], width, 3, padding=1), nn.Conv2d(width, 2 * width, 3, padding=1)
        self.up = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.last, self.head = nn.Conv2d(2 * width, 2 * width, 3, padding=1), nn.Linear(2 * width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        kept = relu(self.down(x))
        up = self.up(relu(self.deep(nn.functional.max_pool2d(kept, 2))))
        return self.head(relu(self.last(torch.cat([kept, up], 1))).amax((2, 3)))


class Mixer(nn.Module):
    def __init__(self, shape: Shape, outputs: int, width: int = 24, patch: int = 2) -> None:
        super().__init__()
        count = shape[1] * shape[2] // patch**2
        self.patches = nn.Conv2d(shape[0], width, patch, stride=patch)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.places = nn.ModuleList(mlp([count], count, 32, nn.GELU) for _ in range(2))
        self.channels = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 48), nn.GELU(), nn.Linear(48, width)) for _ in range(2)
        )
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        for n in range(2):
            y = self.norms[2 * n](x).transpose(1, 2)
            x = x + self.places[n](y.reshape(-1, y.shape[2])).view(y.shape).transpose(1, 2)
            x = x + self.channels[n](self.norms[2 * n + 1](x))
        return self.head(x.mean(1))


class ViT(nn.Module):
    def __init__(self, shape: Shape, outputs: int, width: int = 24, patch: int = 2, batch_first: bool = True) -> None:
        super().__init__()
        count = shape[1] * shape[2] // patch**2
        self.patches = nn.Conv2d(shape[0], width, patch, stride=patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(0.02 * torch.randn(1, count + 1, width))
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, 0.1, "gelu", batch_first=batch_first, norm_first=True
        )  # fmt: skip
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.places
        return self.head(self.layers(x)[:, 0])


class Recurrent(nn.Module):
    """The last state of a recurrent network over (T, F), or over words."""

    def __init__(
        self, shape: Shape, outputs: int, kind: type[nn.RNNBase] = nn.LSTM, width: int = 32, words: int = 0
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, 16) if words else nn.Identity()
        self.recurrent = kind(16 if words else shape[1], width, batch_first=True)
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.recurrent(self.embedding(x))[0][:, -1])


def gru(shape: Shape, outputs: int) -> nn.Module:
    return Recurrent(shape, outputs, nn.GRU)


def gru_text(shape: Shape, outputs: int) -> nn.Module:
    return Recurrent(shape, outputs, nn.GRU, words=80)


def tcn(shape: Shape, outputs: int, channels: int = 16) -> nn.Module:
    """Dilated convolutions with weight normalisation."""
    normed = torch.nn.utils.parametrizations.weight_norm
    layers = [
        part
        for n in range(4)
        for part in (
            normed(nn.Conv1d(channels if n else shape[0], channels, 3, dilation=2**n, padding=2**n)), nn.ReLU()
        )
    ]  # fmt: skip
    return nn.Sequential(*layers, nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(channels, outputs))


class BagOfWords(nn.Module):
    """The mean of the words' vectors."""

    def __init__(self, shape: Shape, outputs: int, words: int = 80) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(words, 16), nn.Linear(16, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.words(x.long()).mean(1))


class TextCNN(nn.Module):
    def __init__(self, shape: Shape, outputs: int, words: int = 40) -> None:
        super().__init__()
        self.words = nn.Embedding(words, 16)
        self.wide, self.wider = nn.Conv1d(16, 24, 2), nn.Conv1d(16, 24, 3)
        self.dropout, self.head = nn.Dropout(0.2), nn.Linear(48, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.words(x).transpose(1, 2)
        return self.head(self.dropout(torch.cat([relu(conv(x)).amax(2) for conv in (self.wide, self.wider)], 1)))


class Entities(nn.Module):
    """A vector for each category beside the measurements."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.first, self.second = nn.Embedding(12, 4), nn.Embedding(30, 6)
        self.rest = mlp([10 + shape[0] - 2], outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(torch.cat([self.first(x[:, 0].long()), self.second(x[:, 1].long()), x[:, 2:]], 1))


class Experts(nn.Module):
    """Each sample is read by the two of four experts that a gate prefers."""

    def __init__(self, shape: Shape, outputs: int, experts: int = 4) -> None:
        super().__init__()
        self.gate = nn.Linear(shape[0], experts)
        self.experts = nn.ModuleList(mlp(shape, outputs, 24) for _ in range(experts))

    def forward(self, x: Tensor) -> Tensor:
        scores = self.gate(x)
        best = scores.topk(2, dim=1)
        weight = softmax(scores.masked_fill(scores < best.values[:, -1:], -torch.inf), dim=1)
        return (weight[:, :, None] * torch.stack([expert(x) for expert in self.experts], 1)).sum(1)


class Siren(nn.Module):
    """Sines as activations, started as Sitzmann et al. (2020) have it."""

    def __init__(self, shape: Shape, outputs: int, width: int = 48, frequency: float = 20.0) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(prod(shape), width), nn.Linear(width, width)
        self.head, self.frequency = nn.Linear(width, outputs), frequency
        nn.init.uniform_(self.first.weight, -1 / prod(shape), 1 / prod(shape))
        nn.init.uniform_(self.second.weight, -sqrt(6 / width) / frequency, sqrt(6 / width) / frequency)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.sin(self.frequency * self.first(x))
        return self.head(torch.sin(self.frequency * self.second(x)))


class Radial(nn.Module):
    """Radial basis functions around trained centres."""

    def __init__(self, shape: Shape, outputs: int, centres: int = 64) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(centres, prod(shape)))
        self.sharpness, self.head = nn.Parameter(torch.tensor(1.0)), nn.Linear(centres, outputs)

    def forward(self, x: Tensor) -> Tensor:
        distance = (x[:, None] - self.centres).square().mean(2)
        return self.head(torch.exp(-self.sharpness * distance))


def frozen_features(shape: Shape, outputs: int) -> nn.Module:
    """A wide random layer that is meant to stay as it is, and a head on it."""
    first = nn.Linear(prod(shape), 400)
    nn.init.normal_(first.weight, std=1.5 / sqrt(prod(shape)))
    for parameter in first.parameters():
        parameter.requires_grad_(False)
    return nn.Sequential(nn.Flatten(), first, nn.ReLU(), nn.Linear(400, outputs))


class Fourier(nn.Module):
    """Fixed sines and cosines of the inputs, kept in a buffer."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.register_buffer("waves", pi * torch.randn(prod(shape), 32, generator=torch.Generator().manual_seed(0)))
        self.rest = mlp([64], outputs)

    def forward(self, x: Tensor) -> Tensor:
        angles = x @ self.waves
        return self.rest(torch.cat([angles.sin(), angles.cos()], 1))


class DeepSet(nn.Module):
    """The elements of a sequence in any order; what counts is their sum."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.each = nn.Sequential(nn.Linear(shape[1], 32), nn.GELU(), nn.Linear(32, 32))
        self.all = mlp([32], outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.all(self.each(x).sum(1))


class Highway(nn.Module):
    """Gates that let most of the signal pass at first."""

    def __init__(self, shape: Shape, outputs: int, width: int = 32, depth: int = 6) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(prod(shape), width), nn.Linear(width, outputs)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.gates = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        for gate in self.gates:
            nn.init.constant_(gate.bias, -2.0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.flatten(1))
        for layer, gate in zip(self.layers, self.gates, strict=True):
            share = gate(x).sigmoid()
            x = share * gelu(layer(x)) + (1 - share) * x
        return self.head(x)


class Attention(nn.Module):
    """A learned query looks at all words."""

    def __init__(self, shape: Shape, outputs: int, words: int = 80) -> None:
        super().__init__()
        self.words, self.query = nn.Embedding(words, 16), nn.Parameter(torch.randn(1, 1, 16))
        self.attention, self.head = nn.MultiheadAttention(16, 2, batch_first=True), nn.Linear(16, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.words(x)
        return self.head(self.attention(self.query.expand(len(x), -1, -1), x, x)[0][:, 0])


class OneHot(nn.Module):
    """Answers as ones among zeros."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.rest = mlp([3 * shape[0]], outputs, 64)

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(one_hot(x.long(), 3).float().flatten(1))


def linear(shape: Shape, outputs: int) -> nn.Module:
    """Logistic regression."""
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), outputs))


def tanh(shape: Shape, outputs: int) -> nn.Module:
    return mlp(shape, outputs, activation=nn.Tanh)


def small_head(shape: Shape, outputs: int) -> nn.Module:
    """The head starts at zero, as in many recipes."""
    network = mlp(shape, outputs)
    nn.init.zeros_(network[-1].weight)
    return network


class WideAndDeep(nn.Module):
    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.wide, self.deep = nn.Linear(prod(shape), outputs), mlp(shape, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.wide(x.flatten(1)) + self.deep(x)


def selu(shape: Shape, outputs: int) -> nn.Module:
    """Self-normalising, with its own dropout."""
    layers = [part for _ in range(3) for part in (nn.Linear(48, 48), nn.SELU(), nn.AlphaDropout(0.05))]
    network = nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), 48), nn.SELU(), *layers, nn.Linear(48, outputs))
    for part in network:
        if isinstance(part, nn.Linear):
            nn.init.kaiming_normal_(part.weight, nonlinearity="linear")
    return network


class ReZero(nn.Module):
    """Twelve branches, each scaled by a number that starts at zero."""

    def __init__(self, shape: Shape, outputs: int, width: int = 32, depth: int = 12) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(prod(shape), width), nn.Linear(width, outputs)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.scales = nn.Parameter(torch.zeros(depth))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.flatten(1))
        for layer, scale in zip(self.layers, self.scales, strict=True):
            x = x + scale * relu(layer(x))
        return self.head(x)


class Cosines(nn.Module):
    """Logits are scaled cosines between features and a direction for each class."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.features, self.directions = mlp(shape, 32), nn.Parameter(torch.randn(outputs, 32))

    def forward(self, x: Tensor) -> Tensor:
        normalize = nn.functional.normalize
        return 16 * normalize(self.features(x), dim=1) @ normalize(self.directions, dim=1).T


class Gated(nn.Module):
    """Gated linear units behind layer normalisation."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.norm, self.first = nn.LayerNorm(prod(shape)), nn.Linear(prod(shape), 96)
        self.second, self.head = nn.Linear(48, 96), nn.Linear(48, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.glu(self.first(self.norm(x.flatten(1))))
        return self.head(nn.functional.glu(self.second(x)))


class Factorized(nn.Module):
    """A factorisation machine: pairs of features by products of short vectors."""

    def __init__(self, shape: Shape, outputs: int, rank: int = 6) -> None:
        super().__init__()
        self.linear, self.vectors = (
            nn.Linear(prod(shape), outputs),
            nn.Parameter(0.1 * torch.randn(outputs, prod(shape), rank)),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        sums = torch.einsum("bf,ofr->bor", x, self.vectors)
        squares = torch.einsum("bf,ofr->bor", x**2, self.vectors**2)
        return self.linear(x) + 0.5 * (sums**2 - squares).sum(2)


class Spectral(nn.Module):
    """The amplitudes of a Fourier transform, then a small network."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.rest = mlp([shape[-1] // 2 + 1], outputs, 32)

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(torch.fft.rfft(x.flatten(1)).abs().log1p())


class PooledBiLSTM(nn.Module):
    """Both directions, weighed by a score for each step."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(shape[1], 16, batch_first=True, bidirectional=True)
        self.score, self.head = nn.Linear(32, 1), nn.Linear(32, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.recurrent(x)[0]
        return self.head((self.score(x).softmax(1) * x).sum(1))


class SqueezeExcite(nn.Module):
    """Channels are weighed through a gate of two units."""

    def __init__(self, shape: Shape, outputs: int, channels: int = 16) -> None:
        super().__init__()
        self.first, self.second = (
            nn.Conv2d(shape[0], channels, 3, padding=1),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        self.squeeze, self.excite = nn.Linear(channels, 2), nn.Linear(2, channels)
        self.norm, self.head = nn.InstanceNorm2d(channels, affine=True), nn.Linear(channels, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.norm(self.first(x)))
        gate = self.excite(relu(self.squeeze(x.mean((2, 3))))).sigmoid()
        return self.head(relu(self.second(x * gate[:, :, None, None])).amax((2, 3)))


class LayerDrop(nn.Module):
    """Whole layers are left out at random in training."""

    def __init__(self, shape: Shape, outputs: int, width: int = 48, depth: int = 4) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(prod(shape), width), nn.Linear(width, outputs)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.flatten(1)).relu()
        for layer in self.layers:
            if not self.training or torch.rand(()) > 0.4:
                x = x + layer(x).relu()
        return self.head(x)


class WordTransformer(nn.Module):
    """Words and their places, two layers, the mean."""

    def __init__(self, shape: Shape, outputs: int, words: int = 40) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(words, 24), nn.Parameter(0.1 * torch.randn(shape[0], 24))
        layer = nn.TransformerEncoderLayer(24, 2, 48, 0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(24, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(self.words(x) + self.places).mean(1))


class Graph(nn.Module):
    """Messages between sensors along edges that are given."""

    def __init__(self, shape: Shape, outputs: int, width: int = 16) -> None:
        super().__init__()
        edges = torch.eye(shape[0]) + torch.eye(shape[0]).roll(1, 0) + torch.eye(shape[0]).roll(-1, 0)
        self.register_buffer("edges", edges / 3)
        self.first, self.second = nn.Linear(1, width), nn.Linear(width, width)
        self.head = nn.Linear(shape[0] * width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.first(x[:, :, None]))
        return self.head(relu(self.second(self.edges @ x)).flatten(1))


class Classified(nn.Module):
    """An autoencoder with eight units in its middle, from which the class is read."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.encoder, self.head = mlp(shape, 8, 64, nn.ELU), nn.Linear(8, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x))


class GruWithConvolutions(nn.Module):
    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(shape[0], 16, 5, stride=2)
        self.recurrent, self.head = nn.GRU(16, 24, batch_first=True), nn.Linear(24, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.recurrent(relu(self.convolution(x)).transpose(1, 2))[0]
        return self.head(x.amax(1))


def prelu_groups(shape: Shape, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(shape[0], 16, 3), nn.GroupNorm(4, 16), nn.PReLU(), nn.Conv2d(16, 24, 3), nn.GroupNorm(4, 24),
        nn.PReLU(24), nn.Flatten(), nn.LazyLinear(outputs),
    )  # fmt: skip


def dropped_mlp(shape: Shape, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(prod(shape), 96), nn.ReLU(), nn.Dropout(0.5), nn.Linear(96, 96), nn.ReLU(),
        nn.Dropout(0.5), nn.Linear(96, outputs),
    )  # fmt: skip


class Squares(nn.Module):
    """A polynomial: the inputs, and products of linear maps of them."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(prod(shape), 32), nn.Linear(prod(shape), 32)
        self.head = nn.Linear(prod(shape) + 32, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.cat([x, self.left(x) * self.right(x)], 1))


class PackedLSTM(nn.Module):
    """Both last states of a recurrent network that does not see the padding."""

    def __init__(self, shape: Shape, outputs: int, words: int = 60) -> None:
        super().__init__()
        self.words = nn.Embedding(words, 12, padding_idx=0)
        self.recurrent, self.head = nn.LSTM(12, 16, batch_first=True, bidirectional=True), nn.Linear(32, outputs)

    def forward(self, x: Tensor) -> Tensor:
        lengths = (x != 0).sum(1).cpu()
        packed = pack_padded_sequence(self.words(x.long()), lengths, batch_first=True, enforce_sorted=False)
        return self.head(self.recurrent(packed)[1][0].transpose(0, 1).flatten(1))


class MaskedMean(nn.Module):
    """The mean of the words before the padding, and the most of each of their features."""

    def __init__(self, shape: Shape, outputs: int, words: int = 60) -> None:
        super().__init__()
        self.words, self.each, self.head = nn.Embedding(words, 16), nn.Linear(16, 24), nn.Linear(48, outputs)

    def forward(self, x: Tensor) -> Tensor:
        mask = (x != 0)[:, :, None]
        x = self.each(self.words(x.long())).tanh()
        return self.head(torch.cat([(mask * x).sum(1) / mask.sum(1), x.masked_fill(~mask, -1.0).amax(1)], 1))


class GatedMlp(nn.Module):
    """A gMLP: half of the channels, mixed along the sequence, gate the other half."""

    def __init__(self, shape: Shape, outputs: int, width: int = 24, depth: int = 2) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(shape[1], width), nn.Linear(width, outputs)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.wide = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(depth))
        self.narrow = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.gate_norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.along = nn.ModuleList(nn.Conv1d(shape[0], shape[0], 1) for _ in range(depth))
        for along in self.along:
            nn.init.normal_(along.weight, std=1e-3)
            nn.init.ones_(along.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for n in range(len(self.norms)):
            kept, gate = gelu(self.wide[n](self.norms[n](x))).chunk(2, 2)
            x = x + self.narrow[n](kept * self.along[n](self.gate_norms[n](gate)))
        return self.head(x.mean(1))


def inverted_residuals(shape: Shape, outputs: int, channels: int = 12) -> nn.Module:
    """Wide inside and narrow outside, as in MobileNetV2."""

    def branch(inside: int = 36) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(channels, inside, 1, bias=False), nn.BatchNorm2d(inside), nn.ReLU6(),
            nn.Conv2d(inside, inside, 3, padding=1, groups=inside, bias=False), nn.BatchNorm2d(inside), nn.ReLU6(),
            nn.Conv2d(inside, channels, 1, bias=False), nn.BatchNorm2d(channels),
        )  # fmt: skip

    return nn.Sequential(
        nn.Conv2d(shape[0], channels, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU6(),
        Plus(branch()), nn.MaxPool2d(2), Plus(branch()), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1),
        nn.Linear(channels, outputs),
    )  # fmt: skip


class Swish(nn.Module):
    """Convolutions with Swish and a gate of all channels, as in EfficientNet."""

    def __init__(self, shape: Shape, outputs: int, channels: int = 16) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(shape[0], channels, 3, padding=1), nn.GroupNorm(4, channels)
        self.deep = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.gate = nn.Sequential(nn.Linear(channels, 4), nn.SiLU(), nn.Linear(4, channels), nn.Sigmoid())
        self.head = nn.Linear(channels, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = silu(self.deep(silu(self.norm(self.stem(x)))))
        return self.head((x * self.gate(x.mean((2, 3)))[:, :, None, None]).amax((2, 3)))


class Perceiver(nn.Module):
    """A few learned vectors look at all points, then at each other."""

    def __init__(self, shape: Shape, outputs: int, width: int = 24, count: int = 6) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(shape[1], width), nn.GELU(), nn.Linear(width, width))
        self.latents = nn.Parameter(0.5 * torch.randn(count, width))
        self.across, self.among = (nn.MultiheadAttention(width, 4, batch_first=True) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.rest, self.head = mlp([width], width, 48, nn.GELU), nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x, z = self.norms[0](self.stem(x)), self.latents.expand(len(x), -1, -1)
        z = z + self.across(z, x, x, need_weights=False)[0]
        y = self.norms[1](z)
        z = z + self.among(y, y, y, need_weights=False)[0]
        z = z.mean(1)
        return self.head(z + self.rest(self.norms[2](z)))


class Ngrams(nn.Module):
    """Pairs and triples of letters in buckets, as fastText has them."""

    def __init__(self, shape: Shape, outputs: int, buckets: int = 1021) -> None:
        super().__init__()
        self.pieces, self.head = nn.EmbeddingBag(buckets, 12, mode="mean", padding_idx=0), nn.Linear(12, outputs)
        self.buckets = buckets

    def forward(self, x: Tensor) -> Tensor:
        x = x.long()
        pairs, triples = 31 * x[:, :-1] + x[:, 1:], 961 * x[:, :-2] + 31 * x[:, 1:-1] + x[:, 2:]
        pieces = torch.cat([x, 31 + pairs % (self.buckets - 31), 31 + triples % (self.buckets - 31)], 1)
        inside = torch.cat([x, x[:, 1:], x[:, 2:]], 1) != 0
        return self.head(self.pieces(pieces * inside))


class DeepFM(nn.Module):
    """Products of the fields' vectors beside a network of them; numbers are hashed into buckets."""

    def __init__(self, shape: Shape, outputs: int, buckets: int = 211, width: int = 6) -> None:
        super().__init__()
        self.vectors = nn.ModuleList(nn.Embedding(buckets, width) for _ in range(shape[0]))
        self.biases = nn.ModuleList(nn.Embedding(buckets, outputs) for _ in range(shape[0]))
        self.deep, self.products = mlp([shape[0] * width], outputs, 32), nn.Linear(width, outputs)
        self.buckets = buckets
        for part in (*self.vectors, *self.biases):
            nn.init.normal_(part.weight, std=0.1)

    def forward(self, x: Tensor) -> Tensor:
        ids = x.long() % self.buckets
        v = torch.stack([part(ids[:, n]) for n, part in enumerate(self.vectors)], 1)
        first = sum(part(ids[:, n]) for n, part in enumerate(self.biases))
        return first + self.products((v.sum(1) ** 2 - (v**2).sum(1)) / 2) + self.deep(v.flatten(1))


class TwoTowers(nn.Module):
    """A vector of the user times a vector of the article; each number is hashed twice."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.users, self.articles = nn.Embedding(160, 8), nn.Embedding(160, 8)
        self.user, self.article = mlp([8 + 2], 16, 32), mlp([8], 16 * outputs, 32)

    def forward(self, x: Tensor) -> Tensor:
        x = x.long()
        user, article = (
            table(ids % 79) + table(80 + ids % 73)
            for table, ids in ((self.users, x[:, 0]), (self.articles, x[:, 1]))
        )  # fmt: skip
        hour = x[:, 2:] * (pi / 12)
        user = self.user(torch.cat([user, hour.sin(), hour.cos()], 1))
        return (user[:, None] * self.article(article).view(len(x), -1, 16)).sum(2)


class Additive(nn.Module):
    """A neural additive model: a small network for each feature, and their sum."""

    def __init__(self, shape: Shape, outputs: int, width: int = 24) -> None:
        super().__init__()
        count = shape[0]
        self.curves = nn.Sequential(
            nn.Conv1d(count, count * width, 1, groups=count), nn.ELU(),
            nn.Conv1d(count * width, count * width, 1, groups=count), nn.ELU(),
            nn.Conv1d(count * width, count * outputs, 1, groups=count, bias=False),
        )  # fmt: skip
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.curves(x[:, :, None]).view(len(x), x.shape[1], -1).sum(1) + self.bias


class SplineLayer(nn.Module):
    """A piecewise linear curve on each connection, beside a SiLU."""

    def __init__(self, inputs: int, outputs: int, knots: int = 9) -> None:
        super().__init__()
        self.register_buffer("knots", torch.linspace(-2, 2, knots))
        self.base = nn.Linear(inputs, outputs)
        self.heights = nn.Parameter(0.05 * torch.randn(outputs, inputs, knots))

    def forward(self, x: Tensor) -> Tensor:
        hats = relu(1 - (x[:, :, None] - self.knots).abs() / (self.knots[1] - self.knots[0]))
        return self.base(silu(x)) + torch.einsum("bik,oik->bo", hats, self.heights)


def splines(shape: Shape, outputs: int) -> nn.Module:
    """A Kolmogorov-Arnold network."""
    return nn.Sequential(SplineLayer(prod(shape), 8), SplineLayer(8, outputs))


class Prototypes(nn.Module):
    """Logits are the squared distances to three prototypes of each class, of which the nearest counts."""

    def __init__(self, shape: Shape, outputs: int, each: int = 3) -> None:
        super().__init__()
        self.features, self.places = mlp(shape, 12), nn.Parameter(torch.randn(outputs, each, 12))

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)[:, None, None]
        return -(x - self.places).square().sum(3).amin(2)


class Tied(nn.Module):
    """One layer six times over, with the inputs added each time."""

    def __init__(self, shape: Shape, outputs: int, width: int = 64) -> None:
        super().__init__()
        self.stem, self.layer = nn.Linear(prod(shape), width), nn.Linear(width, width)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        start = self.stem(x.flatten(1))
        x = relu(start)
        for _ in range(6):
            x = relu(self.norm(self.layer(x) + start))
        return self.head(x)


class Retention(nn.Module):
    """Attention without a softmax that forgets, each head at a speed of its own."""

    def __init__(self, shape: Shape, outputs: int, words: int = 20, width: int = 24) -> None:
        super().__init__()
        self.words, self.norm = nn.Embedding(words, width), nn.LayerNorm(width)
        self.queries, self.keys, self.values, self.gate = (nn.Linear(width, width) for _ in range(4))
        self.speed = nn.Parameter(torch.tensor([-3.0, -2.0, -1.0]))
        self.out, self.head = nn.Linear(width, width), nn.Linear(width, outputs)
        self.group = nn.GroupNorm(3, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.words(x.long())
        y = self.norm(x)
        q, k, v = (
            part(y).view(len(y), y.shape[1], 3, -1).transpose(1, 2) for part in (self.queries, self.keys, self.values)
        )
        place = torch.arange(y.shape[1], device=y.device)
        ago = (place[:, None] - place).clamp(min=0)
        decay = torch.exp(-self.speed.exp()[:, None, None] * ago).tril()
        kept = (q @ k.transpose(2, 3) / sqrt(q.shape[3]) * decay) @ v
        kept = self.group(kept.transpose(1, 2).flatten(0, 1).flatten(1)).view(y.shape)
        x = x + self.out(kept * silu(self.gate(y)))
        return self.head(x[:, -1])


class StateSpace(nn.Module):
    """Damped oscillations that the inputs excite, computed as one long convolution."""

    def __init__(self, shape: Shape, outputs: int, width: int = 12, states: int = 8) -> None:
        super().__init__()
        self.stem, self.skip = nn.Linear(shape[0], width), nn.Parameter(torch.ones(width))
        self.damping = nn.Parameter(torch.full((width, states), 0.05).log())
        self.speed = nn.Parameter(0.1 * torch.arange(1.0, states + 1).expand(width, states).clone())
        self.mix = nn.Parameter(torch.randn(width, states, 2) / states)
        self.between, self.head = nn.Linear(width, width), nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        u, count = self.stem(x.transpose(1, 2)).transpose(1, 2), x.shape[2]
        t = torch.arange(count, device=x.device)
        rates = torch.complex(-self.damping.exp(), self.speed)
        kernel = (torch.view_as_complex(self.mix)[:, :, None] * torch.exp(rates[:, :, None] * t)).sum(1).real
        long = torch.fft.irfft(torch.fft.rfft(u, 2 * count) * torch.fft.rfft(kernel, 2 * count))[..., :count]
        y = gelu(long + self.skip[:, None] * u).transpose(1, 2)
        return self.head(gelu(self.between(y)).square().mean(1))


class Maxout(nn.Module):
    """The largest of four linear maps as a unit."""

    def __init__(self, shape: Shape, outputs: int, width: int = 24) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(prod(shape), 4 * width), nn.Linear(width, 4 * width)
        self.dropout, self.head = nn.Dropout(0.1), nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.first, self.second):
            x = layer(x.flatten(1)).unflatten(1, (-1, 4)).amax(2)
        return self.head(self.dropout(x))


def critic(shape: Shape, outputs: int) -> nn.Module:
    """Spectral normalisation everywhere but in the head."""
    return nn.Sequential(
        spectral_norm(nn.Conv2d(shape[0], 16, 3, padding=1)), nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(16, 24, 4, stride=2, padding=1)), nn.LeakyReLU(0.2),
        nn.Flatten(), spectral_norm(nn.Linear(24 * (shape[1] // 2) * (shape[2] // 2), 32)), nn.LeakyReLU(0.2),
        nn.Linear(32, outputs),
    )  # fmt: skip


class SwiGlu(nn.Module):
    """The blocks of a language model for a table: RMSNorm, gated by a SiLU, no biases."""

    def __init__(self, shape: Shape, outputs: int, width: int = 32, depth: int = 3) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(prod(shape), width), nn.Linear(width, outputs, bias=False)
        self.norms = nn.ModuleList(nn.RMSNorm(width) for _ in range(depth + 1))
        self.up, self.gate, self.down = (
            nn.ModuleList(nn.Linear(a, b, bias=False) for _ in range(depth))
            for a, b in ((width, 2 * width), (width, 2 * width), (2 * width, width))
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.flatten(1))
        for n in range(len(self.up)):
            y = self.norms[n](x)
            x = x + self.down[n](silu(self.gate[n](y)) * self.up[n](y))
        return self.head(self.norms[-1](x))


class Adapted(nn.Module):
    """A frozen layer with a trained correction of low rank, which starts at zero."""

    def __init__(self, layer: nn.Linear, rank: int = 8) -> None:
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.down, self.up = nn.Linear(layer.in_features, rank, bias=False), nn.Linear(rank, layer.out_features)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + 2 * self.up(self.down(x))


def low_rank_adapters(shape: Shape, outputs: int, width: int = 384) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), Adapted(nn.Linear(prod(shape), width)), nn.GELU(), Adapted(nn.Linear(width, width)), nn.GELU(),
        nn.Linear(width, outputs),
    )  # fmt: skip


class NBeats(nn.Module):
    """Each block explains a part of the series and forecasts with it; the next reads what is left."""

    def __init__(self, shape: Shape, outputs: int, blocks: int = 3) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(mlp(shape, 48, 64) for _ in range(blocks))
        self.back = nn.ModuleList(nn.Linear(48, prod(shape)) for _ in range(blocks))
        self.ahead = nn.ModuleList(nn.Linear(48, outputs) for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        forecast = torch.zeros((), device=x.device)
        for block, back, ahead in zip(self.blocks, self.back, self.ahead, strict=True):
            y = relu(block(x))
            x, forecast = x - back(y), forecast + ahead(y)
        return forecast


class OneHeadEach(nn.Module):
    """A shared trunk, and a head for each number."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(prod(shape), 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU())
        self.heads = nn.ModuleList(mlp([64], 1, 16, nn.SiLU) for _ in range(outputs))

    def forward(self, x: Tensor) -> Tensor:
        x = self.trunk(x.flatten(1))
        return torch.cat([head(x) for head in self.heads], 1)


class Ensemble(nn.Module):
    """The mean logits of four networks."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(mlp(shape, outputs, 32) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([member(x) for member in self.members]).mean(0)


def deep(shape: Shape, outputs: int, depth: int = 6) -> nn.Sequential:
    layers = [part for _ in range(depth) for part in (nn.Linear(40, 40), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), 40), nn.ReLU(), *layers, nn.Linear(40, outputs))


def normed_mlp(shape: Shape, outputs: int, momentum: float = 0.1) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(prod(shape), 64), nn.BatchNorm1d(64, momentum=momentum), nn.ReLU(),
        nn.Linear(64, 64), nn.BatchNorm1d(64, momentum=momentum), nn.ReLU(), nn.Linear(64, outputs),
    )  # fmt: skip
