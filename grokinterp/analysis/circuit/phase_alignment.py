"""Phase alignment of the neurons: phase in a plus phase in b equals phase in the logits."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from grokinterp.analysis.circuit.idealized import at_own_frequency, polar, waves_of
from grokinterp.analysis.structure.cyclic_answers import frequencies
from grokinterp.analysis.structure.cyclic_grid import cyclic_grid
from grokinterp.analysis.structure.participation import pre_activations
from grokinterp.runs.checkpoint import Checkpoint

AXES = {"frequency": frequencies}


class PhaseAlignment(NamedTuple):
    """Concentration of the neurons' phase mismatches around one angle.

    phase_alignment: length of the weighted mean of e^{i(φ_a + φ_b - φ_out)} over the neurons [1]
    phase_alignment_control: expected length of the weighted mean for independent phases [1]
    phase_alignment_angle: angle of the weighted mean [rad]
    phase_alignment_of: length of the mean over the neurons of the frequency, NaN without such neurons [1]
    """

    phase_alignment: Float[Tensor, ""]
    phase_alignment_control: Float[Tensor, ""]
    phase_alignment_angle: Float[Tensor, ""]
    phase_alignment_of: Float[Tensor, "frequency"]


class Mismatches(NamedTuple):
    """e^{iδ} of every neuron, δ = φ_a + φ_b - φ_out, times its weight."""

    cosine: Float[Tensor, "neuron"]
    sine: Float[Tensor, "neuron"]
    weight: Float[Tensor, "neuron"]


def phase_alignment(checkpoint: Checkpoint) -> PhaseAlignment:
    """Return the weighted mean resultant length of the phase mismatch δ = φ_a + φ_b - φ_out over the neurons.

    R = |Σ_n w_n e^{iδ_n}| / Σ_n w_n with w_n = A_a A_b B, where A_a cos(wa + φ_a), A_b cos(wb + φ_b) and
    B cos(wc + φ_out) are the waves of a neuron's pre-activation and of its row of the neuron-to-logit map, at the
    neuron's own frequency (``idealized_network``). If δ = 0, the product of the waves in a and b contributes to
    cos w(a + b - c): R = 1 at angle 0 in ``solved_addition``. For n neurons with independent phases, R is about 1/√n,
    in general (√π/2) √(Σ w²) / Σ w, which is the control. R is NaN if no neuron has waves.

    Source: Gromov 2023, §3 (phases of the analytic solution); Doshi et al. 2023 (in trained networks).

    Raises:
        NotDefined: the task has no cyclic group, or the neurons are averaged over positions.
    """
    grid = cyclic_grid(checkpoint, "phase_alignment")
    neurons = waves_of(grid.examples(pre_activations(checkpoint)), grid.n)
    W_L = checkpoint.model.W_L.detach().double()[:, grid.class_of]
    cosine, sine = at_own_frequency(W_L, neurons.frequency)
    amplitude, phase = polar(torch.cat([neurons.cosine[:2], cosine[None]]), torch.cat([neurons.sine[:2], sine[None]]))
    mismatch, weight = phase[0] + phase[1] - phase[2], amplitude.prod(0)
    found = Mismatches(weight * mismatch.cos(), weight * mismatch.sin(), weight)
    frequency = 1 + torch.arange(grid.n // 2, device=W_L.device)
    length, control, angle = resultant(found, torch.ones_like(weight, dtype=torch.bool)[None])
    return PhaseAlignment(length[0], control[0], angle[0], resultant(found, neurons.frequency == frequency[:, None])[0])


def resultant(
    found: Mismatches, groups: Bool[Tensor, "group neuron"]
) -> tuple[Float[Tensor, "group"], Float[Tensor, "group"], Float[Tensor, "group"]]:
    """Return length and angle of the mean mismatch of each group of neurons, with the length for independent phases."""
    member = groups.double()
    cosine, sine, weight = (member @ part for part in found)
    independent = math.sqrt(math.pi) / 2 * (member @ found.weight.square()).sqrt()
    length, control, angle = torch.hypot(cosine, sine) / weight, independent / weight, torch.atan2(sine, cosine)
    return length, control.clamp(max=1), torch.where(weight > 0, angle, torch.nan)
