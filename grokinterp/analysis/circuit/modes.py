"""Families of modes in the 2-D Fourier spectra of the neurons and logits over both operands."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.analysis.circuit.templates import difference_pairs
from grokinterp.analysis.structure.cyclic_grid import cyclic_grid
from grokinterp.maths.grid import ROUNDING, sum_order
from grokinterp.runs.checkpoint import Checkpoint

MODE_FAMILIES = ("(k, k)", "(k, -k)", "a only", "b only", "generic")
"""Functions of a + b, of a - b, of a, of b, and all others."""

AXES = {"mode_family": MODE_FAMILIES}


class ModeFamilies(NamedTuple):
    """Distribution of the variance over both operands among the families of modes.

    neuron_mode_share: share of the last hidden layer's variance over the pairs in the family [1]
    logit_mode_share: share of the row-centered logits' variance over the pairs in the family [1]
    """

    neuron_mode_share: Float[Tensor, "mode_family"]
    logit_mode_share: Float[Tensor, "mode_family"]


def mode_families(checkpoint: Checkpoint) -> ModeFamilies:
    """Return the shares of the variance over the pairs (a, b) in functions of a + b, of a - b, of a, of b, and others.

    The families consist of the modes e^{2πi(ja + kb)/p} with j = k, j = -k, k = 0, j = 0, and all other modes. Each
    neuron, and each class of the row-centered logits, is a function on the p × p pairs; their variances are summed over
    neurons or classes, and the shares of the five families sum to 1.

    The logits of a clock are functions of a + b for each class, so (k, k) has share 1. The pizza term
    cos w(a - b) cos w(a + b - c) is half cos w(2a - c) and half cos w(2b - c), with shares in "a only" and "b only". A
    quadratic neuron (cos wa + cos wb)² has shares .4, .4, .1, .1. Generic modes belong to neither circuit. For even p
    the mode (p/2, p/2) counts as (k, k). The shares are NaN without variance. a, b and c are exponents in the task's
    group.

    Source: Nanda et al. 2023, §4.2 (2-D spectra of neurons); Gromov 2023, §3 (sums and differences); docs/formulas.md,
    Circuit verdict.
    """
    grid = cyclic_grid(checkpoint, "mode_families")
    logits = grid.logits(checkpoint.logits.double())
    values = (grid.examples(checkpoint.neurons.double()), logits - logits.mean(1, keepdim=True))
    return ModeFamilies(*(family_shares(x, grid.n) for x in values))


def family_shares(x: Float[Tensor, "pair feature"], p: int) -> Float[Tensor, "mode_family"]:
    """Return the shares of the families in functions on the grid of pairs, in row-major order.

    The modes of a family are those of the sums T along its lines, so their energy is Σ_t (T_t - mean)² / p.

    >>> a, b = torch.arange(5).repeat_interleave(5), torch.arange(5).repeat(5)
    >>> neuron = sum((2 * torch.pi / 5 * t.double()).cos() for t in (a, b)).square()
    >>> family_shares(neuron[:, None], 5).round(decimals=6).tolist()
    [0.4, 0.4, 0.1, 0.1, 0.0]
    """
    grid, residue = x.unflatten(0, (p, p)), torch.arange(p, device=x.device)
    by_difference = x.index_select(0, difference_pairs(p, residue).flatten()).unflatten(0, (p, p)).sum(1)
    by_sum = x.index_select(0, sum_order(p, x.device).flatten()).unflatten(0, (p, p)).sum(1)
    lines = torch.stack([by_sum, by_difference, grid.sum(1), grid.sum(0)])
    energy = (lines - lines.mean(1, keepdim=True)).square().sum((1, 2)) / p
    if p % 2 == 0:
        alternating = (by_difference * (1 - 2 * (residue % 2))[:, None]).sum(0) / p
        energy = energy - alternating.square().sum() * torch.tensor([0, 1, 0, 0], device=x.device)
    squares = x.square().sum()
    total = squares - p**2 * x.mean(0).square().sum()
    energy = torch.cat([energy, (total - energy.sum()).clamp(min=0)[None]])
    return torch.where(total > ROUNDING * squares, energy / total, torch.nan)
