"""Healthy networks of many kinds, as factories ``(in_shape, num_outputs)``. Nothing here knows the project."""

from collections.abc import Callable, Sequence
from math import pi, prod, sqrt

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, one_hot, relu, softmax

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
