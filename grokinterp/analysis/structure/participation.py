"""Inverse participation ratio of the neurons over the frequencies of their operands."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.analysis.structure.cyclic_grid import cyclic_grid
from grokinterp.maths.sparsity import participation_ratio
from grokinterp.runs.checkpoint import Checkpoint

CONSTANT = 1e-20
"""Share of a neuron's mean square below which its dependence on an operand is rounding error."""


class NeuronParticipation(NamedTuple):
    """Concentration of the neurons' weights on few frequencies.

    neuron_ipr: inverse participation ratio of the neuron's input from an operand, mean over both operands [1]
    neuron_ipr_out: inverse participation ratio of the neuron's row of the neuron-to-logit map [1]
    mean_ipr: mean of neuron_ipr over the neurons that depend on an operand [1]
    """

    neuron_ipr: Float[Tensor, "neuron"]
    neuron_ipr_out: Float[Tensor, "neuron"]
    mean_ipr: Float[Tensor, ""]


def neuron_participation(checkpoint: Checkpoint) -> NeuronParticipation:
    """Return the inverse participation ratio of every last-layer neuron over the frequencies of an operand.

        IPR = Σ_k (|û_k| / ‖û‖)⁴,  û = rfft of u(a), k = 1 … ⌊p/2⌋,

    where u(a) is the neuron's input as a function of one operand: its pre-activation, averaged over the other operand.
    The IPR is 1 for a neuron with a single frequency and about 4/p for a neuron with random weights. In an MLP with one
    hidden layer, u(a) is the column of the first layer's weights, up to a constant. The constant k = 0 is excluded
    because it cannot be distinguished from a bias. Operands and classes are exponents in the task's group.

    A neuron that does not depend on an operand has no IPR for it; its IPR is NaN if it depends on neither operand.

    Source: Doshi et al. 2023 (r = 2); docs/formulas.md, "Sparse structure and bounds".

    Raises:
        NotDefined: the task has no cyclic group, or the neurons are averaged over positions.
    """
    grid = cyclic_grid(checkpoint, "neuron_participation")
    pre = grid.examples(pre_activations(checkpoint)).unflatten(0, (grid.n, grid.n))
    scale = pre.square().mean((0, 1))
    ratios = torch.stack([ratio_of(pre.mean(axis), scale) for axis in (1, 0)])
    W_L = checkpoint.model.W_L.detach().double()[:, grid.class_of].mT
    ipr = ratios.nanmean(0)
    return NeuronParticipation(ipr, ratio_of(W_L, W_L.square().mean(0)), ipr.nanmean())


def pre_activations(checkpoint: Checkpoint) -> Float[Tensor, "example neuron"]:
    """Return the input of the last hidden layer's activation function, at the position where the answer is read."""
    (found,) = checkpoint.features(checkpoint.model.pre_hook)
    return found.double()


def ratio_of(x: Float[Tensor, "residue neuron"], scale: Float[Tensor, "neuron"]) -> Float[Tensor, "neuron"]:
    """Return the IPR of functions of a residue; NaN if their variation is rounding error relative to a mean square.

    >>> t = 2 * torch.pi * torch.arange(5, dtype=torch.float64) / 5
    >>> ratios = ratio_of(torch.stack([t.cos(), t.cos() + (2 * t).cos(), t * 0 + 3], 1), torch.ones(3).double())
    >>> [round(ratio, 3) for ratio in ratios.tolist()]
    [1.0, 0.5, nan]
    """
    magnitude = torch.fft.rfft(x, dim=0)[1:].abs()
    varies = magnitude.square().sum(0) > CONSTANT * len(x) ** 2 * scale
    return torch.where(varies, participation_ratio(magnitude.mT), torch.nan)
