"""The logits of exact clocks and pizzas, written out over all triples."""

import math

import torch
from torch import Tensor


def triples(n: int) -> tuple[Tensor, Tensor, Tensor]:
    """a, b and c of every logit, [pair, class]."""
    a, b, c = (x.reshape(n * n, n) for x in torch.meshgrid(*[torch.arange(n)] * 3, indexing="ij"))
    return a, b, c


def clock(k: int, n: int) -> Tensor:
    a, b, c = triples(n)
    return torch.cos(2 * math.pi * k / n * (a + b - c).double())


def pizza(k: int, n: int, phase: float = 0.0, offset: float = 0.0) -> Tensor:
    a, b, c = triples(n)
    w = 2 * math.pi * k / n
    half = (w * (a + b - c).double() + offset) / 2
    return torch.cos((w * (a - b).double() + phase) / 2).abs() * (half.cos().abs() - half.sin().abs())


def drawn(n: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed)).double()
