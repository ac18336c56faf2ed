"""The transformer: what it computes, and what it knows of positions."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from your_package.networks.transformer import Attention, Transformer

from tests.fitting import layer_factories


def network(
    in_shape: tuple[int, ...], *, width: int = 8, heads: int = 2, patch: int = 5, stride: int = 1, **changes: Any
) -> Transformer:
    torch.manual_seed(0)
    layers = layer_factories(**{"depth": 4, **changes})
    return Transformer(in_shape, 5, width=width, heads=heads, patch=patch, stride=stride, layers=layers).double()


def test_attention_is_that_of_torch_with_the_same_weights() -> None:
    torch.manual_seed(0)
    attention = Attention(8, heads=2).double()
    witness = nn.MultiheadAttention(8, 2, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        witness.in_proj_weight.copy_(torch.cat([attention.query.weight, attention.key.weight, attention.value.weight]))
        no_effect = torch.randn(8)  # of a key's bias
        witness.in_proj_bias.copy_(torch.cat([attention.query.bias, no_effect, attention.value.bias]))
        witness.out_proj.weight.copy_(torch.eye(8))
        witness.out_proj.bias.zero_()
    x = torch.randn(3, 6, 8, dtype=torch.float64)
    torch.testing.assert_close(attention(x), witness(x, x, x)[0], rtol=1e-12, atol=1e-12)


def attended(h: np.ndarray, W: dict[str, np.ndarray], name: str, heads: int) -> np.ndarray:
    """Attention written out, one sample, one head and one position after the other."""
    q = h @ W[f"{name}.query.weight"].T + W[f"{name}.query.bias"]
    k = h @ W[f"{name}.key.weight"].T
    v = h @ W[f"{name}.value.weight"].T + W[f"{name}.value.bias"]
    mixed = np.empty_like(v)
    for sample in range(len(h)):
        for head in np.split(np.arange(h.shape[-1]), heads):
            for position in range(h.shape[1]):
                match = np.exp(k[sample][:, head] @ q[sample, position, head] / np.sqrt(len(head)))
                mixed[sample, position, head] = match / match.sum() @ v[sample][:, head]
    return mixed


def test_layers_of_attention_and_of_linear_maps_alternate_between_patches_and_a_head_on_the_mean() -> None:
    transformer = network((12,), patch=3, stride=2)
    W = {name: p.detach().numpy() for name, p in transformer.named_parameters()}
    x = np.random.default_rng(0).standard_normal((3, 12))
    padded = np.pad(x, [(0, 0), (1, 1)])
    patches = np.stack([padded[:, start : start + 3] for start in range(0, 12, 2)], axis=1)
    h = patches @ W["stem.map.weight"][:, 0].T + W["stem.map.bias"] + W["positions"]
    for layer in range(4):
        inner, outer = (f"layers.{layer}.branch.{part}" for part in ("inner", "outer"))
        if layer in (0, 2):
            hidden = attended(h, W, inner, heads=2)
        else:
            hidden = np.maximum(0, h @ W[f"{inner}.weight"].T + W[f"{inner}.bias"])
        h = h + hidden @ W[f"{outer}.weight"].T + W[f"{outer}.bias"]
    logits = h.mean(axis=1) @ W["head.weight"].T + W["head.bias"]
    np.testing.assert_allclose(transformer(torch.from_numpy(x)).detach(), logits, rtol=1e-11)


@pytest.mark.parametrize("in_shape", [(1,), (5,), (40,), (8, 8), (1, 7), (3, 8, 8), (6, 1, 40)], ids=str)
@pytest.mark.parametrize(("patch", "stride"), [(1, 1), (5, 2), (3, 3)])
def test_sequences_and_images_of_any_size_become_logits(in_shape: tuple[int, ...], patch: int, stride: int) -> None:
    transformer = network(in_shape, patch=patch, stride=stride)
    assert transformer(torch.randn(2, *in_shape).double()).shape == (2, 5)


def test_heads_that_cannot_share_the_width_are_refused_by_their_key() -> None:
    with pytest.raises(ValueError, match=r"network\.heads must divide network\.width, 10, got 4"):
        network((12,), width=10, heads=4)
