"""The forward passes of released networks, written down once more from the released files alone, in float64."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def weights_of(path: Path) -> dict[str, Tensor]:
    """The state dict of a file, in double precision."""
    content: Any = torch.load(path, map_location="cpu", weights_only=True)
    state = content.get("model", content)
    return {name: value.double() for name, value in state.items()}


def pairs(n: int) -> tuple[Tensor, Tensor]:
    """All (x, y) in row-major order."""
    return torch.arange(n).repeat_interleave(n), torch.arange(n).repeat(n)


def transposed_transformer(w: dict[str, Tensor], tokens: Tensor, *, causal: bool, rate: float, classes: int) -> Tensor:
    """One layer of Nanda et al. and Zhong et al.: weights act from the left; A = rate · softmax + (1 - rate)."""
    length = tokens.shape[1]
    x = w["embed.W_E"].T[tokens] + w["pos_embed.W_pos"][:length]
    q, k, v = (torch.einsum("bpm,hem->bphe", x, w[f"blocks.0.attn.W_{letter}"]) for letter in "QKV")
    scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / q.shape[-1] ** 0.5
    if causal:
        scores = scores.masked_fill(~torch.ones(length, length).tril().bool(), -torch.inf)
    attention = rate * scores.softmax(-1) + (1 - rate)
    x = x + torch.einsum("bhqk,bkhe->bqhe", attention, v).flatten(2) @ w["blocks.0.attn.W_O"].T
    neurons = functional.relu(x @ w["blocks.0.mlp.W_in"].T + w["blocks.0.mlp.b_in"])
    x = x + neurons @ w["blocks.0.mlp.W_out"].T + w["blocks.0.mlp.b_out"]
    return x[:, -1] @ w["unembed.W_U"][:, :classes]


def nanda(path: Path, p: int = 113) -> Tensor:
    """Logits [pair, class]; the tokens are a, b and p."""
    a, b = pairs(p)
    tokens = torch.stack([a, b, torch.full_like(a, p)], 1)
    return transposed_transformer(weights_of(path), tokens, causal=True, rate=1.0, classes=p)


def pizza(path: Path, rate: float, *, own_rows: bool, p: int = 59) -> Tensor:
    """Logits [pair, class]; with rows of its own, b is the token p + b."""
    a, b = pairs(p)
    tokens = torch.stack([a, b + p if own_rows else b], 1)
    return transposed_transformer(weights_of(path), tokens, causal=False, rate=rate, classes=p)


def linear(path: Path, p: int = 59) -> Tensor:
    """Logits [pair, class] of a type B: a ReLU after each of two layers on the sum of the embeddings."""
    w, (a, b) = weights_of(path), pairs(p)
    x = w["embed.weight"][a] + w["embed.weight"][b]
    for layer in ("l1", "l2"):
        x = functional.relu(functional.linear(x, w[f"{layer}.weight"], w[f"{layer}.bias"]))
    return x @ w["unembed.weight"].T


def chughtai_mlp(path: Path, n: int) -> Tensor:
    """Logits [pair, class], in their order of elements."""
    w, (x, y) = weights_of(path), pairs(n)
    return functional.relu(torch.cat([w["W_x"][x], w["W_y"][y]], 1) @ w["W"]) @ w["W_U"]
