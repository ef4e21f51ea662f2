"""Templates for the logits of clocks and pizzas, and the share of given logits that they explain.

Both templates are functions of the difference d = a - b and the offset e = a + b - c alone, so only the mean of the
logits over the n triples (a, b, c) with the same d and e matters. Operand circles that are rotated against each other
shift d by a phase, and a rotated unembedding shifts e by another phase.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.maths.fourier import waves

PHASES = 360
"""Number of phases of the difference in the search: steps of one degree miss the best correlation by at most 1e-4."""


class LogitTable(NamedTuple):
    """Centered logits L[a, b, c], reduced to the values that templates depend on.

    means: means over the triples with a - b = d and a + b - c = e. variance: variance of all logits.
    """

    means: Float[Tensor, "difference offset"]
    variance: Float[Tensor, ""]


class Waves(NamedTuple):
    """The part of the logits at each frequency of the offset, x(d) cos(w_k e) + y(d) sin(w_k e).

    cosine, sine: x and y. angle: w_k d.
    """

    cosine: Float[Tensor, "key difference"]
    sine: Float[Tensor, "key difference"]
    angle: Float[Tensor, "key difference"]


class CircleFits(NamedTuple):
    """Fits of one clock, and of one pizza at its best phase, to the waves of each frequency.

    energy: mean square of the waves over all d and e. clock, pizza: share of the energy that each template explains,
    with free phases. difference: phase of d in the best pizza. clock_offset, pizza_offset: phases of e.
    """

    energy: Float[Tensor, "key"]
    clock: Float[Tensor, "key"]
    pizza: Float[Tensor, "key"]
    difference: Float[Tensor, "key"]
    clock_offset: Float[Tensor, "key"]
    pizza_offset: Float[Tensor, "key"]


def logit_table(logits: Float[Tensor, "pair exponent"]) -> LogitTable:
    """Average the logits of all pairs of exponents, in row-major order, over equal differences and offsets.

    >>> table = logit_table(torch.tensor([[3.0, 1.0], [1.0, 3.0], [1.0, 3.0], [3.0, 1.0]]))
    >>> table.means.tolist(), table.variance.item()
    ([[1.0, -1.0], [1.0, -1.0]], 1.0)
    """
    n, mean = logits.shape[1], logits.mean()
    b = torch.arange(n, device=logits.device)
    means = offset_means(logits[difference_pairs(n, b)], b)
    return LogitTable(means - mean, logits.square().mean() - mean.square())


def difference_pairs(n: int, b: Int[Tensor, "b"]) -> Int[Tensor, "difference b"]:
    """Return the pair (b + d, b), in row-major order, for every difference and some b.

    >>> difference_pairs(3, torch.tensor([2])).flatten().tolist()
    [8, 2, 5]
    """
    d = torch.arange(n, device=b.device)[:, None]
    return (b + d) % n * n + b


def offset_means(
    logits: Float[Tensor, "difference b exponent"], b: Int[Tensor, "b"]
) -> Float[Tensor, "difference offset"]:
    """Return the mean over b of the logits of (b + d, b, c) with the same d and e = 2b + d - c."""
    n = logits.shape[2]
    d = torch.arange(n, device=b.device)
    return logits.gather(2, (2 * b[:, None] + d[:, None, None] - d) % n).mean(1)


def clocks(
    rows: Int[Tensor, "key"], n: int, offset: Float[Tensor, "key"] | None = None
) -> Float[Tensor, "key difference offset"]:
    """Return the centered logits of a clock, cos(w_k e + ψ), w_k = 2πk/n, for k = 1 + row.

    >>> clocks(torch.tensor([0]), 2).round(decimals=6).tolist()
    [[[1.0, -1.0], [1.0, -1.0]]]

    Source: Zhong et al. 2023, §2.
    """
    clock = (angles(rows, n) + _phase(offset, rows)).cos()[:, None].expand(-1, n, -1)
    return clock - clock.mean((1, 2), keepdim=True)


def pizzas(
    rows: Int[Tensor, "key"],
    n: int,
    difference: Float[Tensor, "key"] | None = None,
    offset: Float[Tensor, "key"] | None = None,
) -> Float[Tensor, "key difference offset"]:
    """Return the centered logits of a pizza, |cos((w_k d + φ)/2)| (|cos((w_k e + ψ)/2)| - |sin((w_k e + ψ)/2)|).

    With the half angle, the cosine has period 2n in d and e, but its absolute value has period n.

    Source: Zhong et al. 2023, §2 (pizza), §4 (correct and incorrect logits of circles); docs/formulas.md, Circuit
    verdict (phases).
    """
    half = (angles(rows, n) + _phase(offset, rows)) / 2
    slices = ((angles(rows, n) + _phase(difference, rows)) / 2).cos().abs()
    pizza = slices[:, :, None] * (half.cos().abs() - half.sin().abs())[:, None]
    return pizza - pizza.mean((1, 2), keepdim=True)


def angles(rows: Int[Tensor, "key"], n: int) -> Float[Tensor, "key exponent"]:
    """Return w_k t for t = 0..n - 1, modulo 2π."""
    turn = (1 + rows)[:, None] * torch.arange(n, device=rows.device) % n
    return 2 * math.pi / n * turn.double()


def _phase(phase: Float[Tensor, "key"] | None, rows: Int[Tensor, "key"]) -> Float[Tensor, "key 1"]:
    return torch.zeros(len(rows), 1, dtype=torch.float64, device=rows.device) if phase is None else phase[:, None]


def offset_waves(table: LogitTable, rows: Int[Tensor, "key"]) -> Waves:
    """Project the table onto the cosine and the sine of each frequency of the offset, at every difference."""
    n = len(table.means)
    cos, sin = (wave[rows] for wave in waves(n, table.means.device))
    scale = 1 / cos.square().sum(1, keepdim=True)
    return Waves(scale * (cos @ table.means.mT), scale * (sin @ table.means.mT), angles(rows, n))


def circle_fits(found: Waves) -> CircleFits:
    """Compare one clock and one pizza with the waves of each frequency; all phases are free.

    As functions of the difference, the waves of a clock are constant, and those of a pizza are |cos((w_k d + φ)/2)|. A
    share is the squared cosine between wave and template as functions of d, for any phase of e: a clock explains
    (2/π)² / ½ = .81 of a pizza, and vice versa. Frequency n/2 has only two differences, on which some pizza equals a
    clock; it counts as neither, with energy 0.
    """
    phase = 2 * math.pi / PHASES * torch.arange(PHASES, dtype=torch.float64, device=found.angle.device)
    slices = ((found.angle[:, None] + phase[:, None]) / 2).cos().abs()  # [key, phase, difference]
    x, y = (torch.einsum("kpd,kd->kp", slices, wave) for wave in found[:2])
    square = found.cosine.square().sum(1) + found.sine.square().sum(1)
    floor = torch.finfo(torch.float64).tiny
    shares = (x.square() + y.square()) / (slices.square().sum(2) * square[:, None]).clamp(min=floor)
    pizza, best = shares.max(1)
    cosine, sine = found.cosine.sum(1), found.sine.sum(1)
    n = found.angle.shape[1]
    clock = (cosine.square() + sine.square()) / (n * square).clamp(min=floor)
    own = best[:, None]
    is_two = (found.angle[:, 2 % n] == 0) & (n > 2)
    return CircleFits(
        energy=torch.where(is_two, 0, square / (2 * n)),
        clock=clock,
        pizza=pizza,
        difference=phase[best],
        clock_offset=torch.atan2(-sine, cosine),
        pizza_offset=torch.atan2(-y.gather(1, own), x.gather(1, own)).squeeze(1),
    )


def preference(fits: CircleFits) -> Float[Tensor, ""]:
    """Return the share of the waves that single pizzas explain minus the share of single clocks; 0 without waves.

    It is 0.19 for pizzas and -0.19 for clocks, because each explains .81 of the other.
    """
    total = fits.energy.sum()
    difference = ((fits.pizza - fits.clock) * fits.energy).sum()
    return torch.where(total > 0, difference / total.clamp(min=torch.finfo(torch.float64).tiny), 0)


def fit(table: LogitTable, found: Float[Tensor, "key difference offset"]) -> Float[Tensor, ""]:
    """Return the share of the logits' variance that a least-squares sum of templates explains; 0 without templates.

    For a single template, it is the squared correlation.
    """
    n = table.means.shape[0]
    rows = found.flatten(1)
    overlap = rows @ table.means.flatten()
    explained = overlap @ (torch.linalg.pinv(rows @ rows.mT, hermitian=True) @ overlap) / n**2
    return explained / table.variance


def agreement(table: LogitTable, template: Float[Tensor, "difference offset"]) -> Float[Tensor, ""]:
    """Return the share of the z-scored logits that the z-scored template explains: 2r - 1, r their correlation.

    This is 1 - mean((z_L - z_Q)²) / mean(z_L²) without a fitted factor: 1 for logits equal to the template, -1 for
    uncorrelated logits.
    """
    correlation = (table.means * template).mean() / (template.square().mean() * table.variance).sqrt()
    return 2 * correlation - 1
