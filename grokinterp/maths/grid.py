"""Functions on the p × p grid of pairs (a, b), listed in row-major order: example a·p + b.

The 2-D spectrum of x at (uk, vk), Σ_ab x[a, b] e^{-iw_k(ua + vb)}, is the 1-D spectrum at k of the sums
of x along the lines ua + vb = t (projection-slice theorem): a few sums replace a 2-D FFT, for any p.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.maths.fourier import waves

FUNDAMENTAL = ((0, 1), (1, 0), (1, 1), (1, -1))
MIXED = ((1, 2), (1, -2), (2, 1), (2, -1))
ROWS_AT_ONCE = 256
"""Examples per block of ``line_sums``, so that a block stays in the cache while all its sums are computed."""

CELLS_AT_ONCE = 2**24
"""Numbers per block of ``mean_by_sum``, which avoids a copy of large arrays."""

ROUNDING = 1e-12
"""A variance below this share of the mean square is rounding error: the function is constant."""


class BlockEnergies(NamedTuple):
    """Squared norms of centered functions x[a, b, neuron] and of parts of their 2-D spectrum.

    ``fundamental``: the part at {0, k} × {0, k}; ``harmonic``: at {0, k, 2k} × {0, k, 2k}.
    """

    total: Float[Tensor, "neuron"]
    fundamental: Float[Tensor, "frequency neuron"]
    harmonic: Float[Tensor, "frequency neuron"]


def sum_order(p: int, device: torch.device | str | None = None) -> Int[Tensor, "sum a"]:
    """Return the examples with a + b ≡ s (mod p), for every s, ordered by a.

    >>> sum_order(3).tolist()
    [[0, 5, 7], [1, 3, 8], [2, 4, 6]]
    """
    a = torch.arange(p, device=device)
    return a * p + (a[:, None] - a) % p


def mean_by_sum(x: Float[Tensor, "example class"]) -> Float[Tensor, "sum class"]:
    """Return the means over the examples with the same (a + b) mod p.

    >>> mean_by_sum(torch.tensor([[1.0], [2.0], [4.0], [3.0]])).tolist()
    [[2.0], [3.0]]
    """
    order = sum_order(round(x.shape[0] ** 0.5), x.device)
    some = max(1, CELLS_AT_ONCE // max(1, order.shape[1] * x.shape[1]))
    parts = [x.index_select(0, part.flatten()).view(*part.shape, -1).mean(1) for part in order.split(some)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def without_sum_frequency(
    x: Float[Tensor, "example *rest"], *, p: int, frequency: int
) -> Float[Tensor, "example *rest"]:
    """Remove from an activation the part at frequency k of a + b: x - P_k x.

    P_k projects x, as a function of the pair (a, b), on cos(w_k(a + b)) and sin(w_k(a + b)), w_k = 2πk/p. Both depend
    only on a + b, so P_k x is a small sum over the means of x along a + b = const. Linear functions of x, such as the
    logits of the final residual stream, lose the same part.

    >>> a, b = torch.arange(5).repeat_interleave(5), torch.arange(5).repeat(5)
    >>> wave = torch.cos(2 * torch.pi * 2 * (a + b).double() / 5)
    >>> without_sum_frequency(wave + 3, p=5, frequency=2).round(decimals=6).unique().tolist()
    [3.0]

    Args:
        x: on all p² pairs, in row-major order.
        p: the modulus.
        frequency: k, from 1 to ⌊p/2⌋.

    Raises:
        ValueError: if the frequency is out of range, or x does not have p² examples.

    Source: Nanda et al. 2023, §5.1 (excluded loss).
    """
    if not 1 <= frequency <= p // 2:
        raise ValueError(f"frequency={frequency}: must be an integer from 1 to {p // 2} for p={p}")
    if x.shape[0] != p * p:
        raise ValueError(f"x has {x.shape[0]} examples: must have all p² = {p * p} pairs for p={p}")
    cos, sin = (wave[frequency - 1].to(x.dtype) for wave in waves(p, x.device))
    table = mean_by_sum(x.flatten(1) if x.ndim > 1 else x[:, None])
    part = (torch.outer(cos, cos @ table) + torch.outer(sin, sin @ table)) / cos.square().sum()
    residue = torch.arange(p, device=x.device)
    return x - part[(residue[:, None] + residue).flatten() % p].view(x.shape)


def line_sums(x: Float[Tensor, "example neuron"], p: int) -> tuple[Tensor, Tensor]:
    """Return T[d, t, neuron] = Σ_{ua + vb ≡ t} x for every direction d = (u, v), and Σ_ab x²."""
    a = torch.arange(p, device=x.device)
    a, b = a.repeat_interleave(p), a.repeat(p)
    lines = [(u * a + v * b) % p for u, v in FUNDAMENTAL + MIXED]
    sums, squares = x.new_zeros(len(lines), p, x.shape[1]), x.new_zeros(x.shape[1])
    for start in range(0, p * p, ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        squares += x[rows].square().sum(0)
        for total, line in zip(sums, lines, strict=True):
            total.index_add_(0, line[rows], x[rows])
    return sums, squares


def block_energies(x: Float[Tensor, "example neuron"], p: int) -> BlockEnergies:
    """Return energies of x around its mean: total, at frequency k of a and b, and at k with its harmonic 2k.

    The real components {0, cos k, sin k}² without the constant contain the complex components at (0, ±k), (±k, 0), (±k,
    ±k); each complex pair of opposite sign counts once, for every p.
    """
    sums, squares = line_sums(x, p)
    total = squares - sums[0].sum(0).square() / p**2
    total = torch.where(total > ROUNDING * squares, total, 0)
    cos, sin = waves(p, x.device)
    flat = sums.transpose(0, 1).flatten(1)
    energy = ((cos @ flat).square() + (sin @ flat).square()).unflatten(1, (-1, x.shape[1]))
    double, weights = harmonics(p)
    single_weight, double_weight = (torch.from_numpy(w).to(x.device) for w in weights)
    fundamental = torch.einsum("kd,kdn->kn", single_weight[:, :4], energy[:, :4])
    overtones = torch.einsum("kd,kdn->kn", single_weight[:, 4:], energy[:, 4:])
    overtones = overtones + torch.einsum("kd,kdn->kn", double_weight, energy[torch.from_numpy(double).to(x.device), :4])
    return BlockEnergies(total, fundamental, fundamental + overtones)


@lru_cache(maxsize=8)
def harmonics(p: int) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Return the position of 2k among the frequencies, and how often each line's energy counts, divided by p².

    A line ua + vb at k represents the spectrum at ±(uk, vk): it counts twice, once if both are the same point, and not
    at all if an earlier line covers it (2k ≡ -k for p = 3k, …) or it is the constant. The first table has the eight
    lines at k, the second the four of ``FUNDAMENTAL`` at 2k.
    """
    n = p // 2
    lines = [(u, v) for u, v in FUNDAMENTAL + MIXED] + [(2 * u, 2 * v) for u, v in FUNDAMENTAL]
    order = [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7]
    weight = np.zeros((n, len(lines)))
    for k in range(1, n + 1):
        seen = {(0, 0)}
        for line in order:
            u, v = lines[line]
            points = {(u * k % p, v * k % p), (-u * k % p, -v * k % p)} - seen
            weight[k - 1, line] = len(points) / p**2
            seen |= points
    double = 2 * np.arange(1, n + 1) % p
    double = np.maximum(np.minimum(double, p - double), 1) - 1  # 2k ≡ 0 has weight 0: any index will do
    return double, (weight[:, :8], weight[:, 8:])
