"""The idealized network, in which every neuron is reduced to the waves of a single frequency."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.analysis.structure.cyclic_grid import cyclic_grid
from grokinterp.analysis.structure.participation import pre_activations
from grokinterp.maths.fourier import squared_norms, waves
from grokinterp.maths.grid import FUNDAMENTAL, ROUNDING, line_sums
from grokinterp.runs.checkpoint import Checkpoint

ROWS = 8
"""Number of values of a whose pairs are computed at a time."""


class IdealizedNetwork(NamedTuple):
    """Amplitudes and phases of the idealized neurons, and agreement of the idealized network with the real network.

    neuron_amplitude: mean amplitude of the neuron's waves in a and in b, before its activation function [1]
    neuron_amplitude_out: amplitude of the neuron's wave in c, in the neuron-to-logit map [1]
    neuron_phase_a: phase of the neuron's wave in a [rad]
    neuron_phase_b: phase of the neuron's wave in b [rad]
    neuron_phase_out: phase of the neuron's wave in c [rad]
    neuron_wave_frequency: frequency of the neuron's waves, 0 for a constant neuron [1]
    phase_mismatch: phase in a plus phase in b minus phase in c, from -π to π [rad]
    idealized_accuracy: share of pairs that the idealized network answers correctly [1]
    idealized_agreement: share of pairs with the same answer from the idealized and the real network [1]
    idealized_fve: share of the row-centered logits' variance explained by the idealized logits, up to scale [1]
    idealized_certified: share of pairs that are correct because the idealized margin exceeds the error [1]
    """

    neuron_amplitude: Float[Tensor, "neuron"]
    neuron_amplitude_out: Float[Tensor, "neuron"]
    neuron_phase_a: Float[Tensor, "neuron"]
    neuron_phase_b: Float[Tensor, "neuron"]
    neuron_phase_out: Float[Tensor, "neuron"]
    neuron_wave_frequency: Int[Tensor, "neuron"]
    phase_mismatch: Float[Tensor, "neuron"]
    idealized_accuracy: Float[Tensor, ""]
    idealized_agreement: Float[Tensor, ""]
    idealized_fve: Float[Tensor, ""]
    idealized_certified: Float[Tensor, ""]


class Waves(NamedTuple):
    """Every neuron as its mean plus the waves x cos(w t) + y sin(w t) in t = b, a, a + b and a - b.

    Args:
        mean: mean over all pairs.
        frequency: k of w = 2πk/n, the same for the four waves; 0 for a constant neuron.
        cosine, sine: x and y of each wave.
    """

    mean: Float[Tensor, "neuron"]
    frequency: Int[Tensor, "neuron"]
    cosine: Float[Tensor, "line neuron"]
    sine: Float[Tensor, "line neuron"]


def idealized_network(checkpoint: Checkpoint) -> IdealizedNetwork:
    """Return the answers of the network whose neurons are idealized to waves of a single frequency, w = 2πk/p.

        u_n(a, b) = mean + A_a cos(wa + φ_a) + A_b cos(wb + φ_b) + A_s cos(w(a + b) + φ_s) + A_d cos(w(a - b) + φ_d)
        logits(a, b, c) = Σ_n act(u_n(a, b)) B_n cos(wc + φ_out),

    the orthogonal projections of the neuron's pre-activation and of its row of the neuron-to-logit map W_L onto these
    functions, where k is the frequency whose four waves explain most of the pre-activation. Everything else is removed:
    other frequencies, the residual stream that bypasses the last hidden layer, output biases, a final LayerNorm. If
    idealized_accuracy, idealized_agreement and idealized_fve are 1, these waves explain the network completely. If
    φ_a + φ_b = φ_out, the product of the waves in a and b contributes to cos w(a + b - c): phase_mismatch is 0 in
    ``solved_addition``, which equals its idealized network.

    idealized_fve is the squared cosine between the row-centered logits of both networks, or 0 if the cosine is
    negative. idealized_certified is the share of pairs (a, b) whose idealized margin exceeds the error of the idealized
    network: ideal(correct) - ideal(c) > |error(correct) - error(c)| for every other class c, error = logits - ideal.
    The network answers these pairs correctly. This measures how much of the accuracy the explanation accounts for; it
    is not a cheap proof, because the error of every pair is measured (for such a proof, see ``certified_accuracy``).

    a, b, c are exponents in the task's group. The phases of a constant neuron are NaN.

    Source: Gromov 2023, §3 (amplitudes and phases of the analytic solution); Doshi et al. 2023 (in trained networks).

    Raises:
        NotDefined: the task has no cyclic group, or the neurons are averaged over positions.
    """
    grid = cyclic_grid(checkpoint, "idealized_network")
    model, p = checkpoint.model, grid.n
    found = waves_of(grid.examples(pre_activations(checkpoint)), p)
    W_L = model.W_L.detach().double()[:, grid.class_of]
    cosine, sine = at_own_frequency(W_L, found.frequency)
    amplitude, phase = polar(torch.cat([found.cosine, cosine[None]]), torch.cat([found.sine, sine[None]]))
    b, a, _, _, out = torch.where(found.frequency > 0, phase, torch.nan)
    mismatch = a + b - out
    logits = answers(found, model.activation, synthesized(cosine, sine, found.frequency, p))
    return IdealizedNetwork(
        neuron_amplitude=amplitude[:2].mean(0),
        neuron_amplitude_out=amplitude[-1],
        neuron_phase_a=a,
        neuron_phase_b=b,
        neuron_phase_out=out,
        neuron_wave_frequency=found.frequency,
        phase_mismatch=torch.atan2(mismatch.sin(), mismatch.cos()),
        **compared(logits, grid.logits(checkpoint.logits.double())),
    )


def waves_of(x: Float[Tensor, "pair neuron"], p: int) -> Waves:
    """Project each function of (a, b) onto the waves of the frequency that explains most of its variance.

    At k = p/2 the waves in a + b and a - b are the same, so the second is omitted.
    """
    sums, squares = line_sums(x, p)
    sums, mean = sums[: len(FUNDAMENTAL)], sums[0].sum(0) / p**2
    cos, sin = waves(p, x.device)
    norm = p * squared_norms(p, x.device)[:, None]
    cosine, sine = (torch.einsum("kt,ltn->lkn", wave, sums) / norm for wave in (cos, sin))
    twice = torch.arange(1, p // 2 + 1, device=x.device) * 2 == p
    cosine[-1], sine[-1] = (part[-1].masked_fill(twice[:, None], 0) for part in (cosine, sine))
    energy = ((cosine.square() + sine.square()) * norm).sum(0)
    best = energy.argmax(0)
    varies = squares - p**2 * mean.square() > ROUNDING * squares
    own = best.expand(len(FUNDAMENTAL), 1, -1)
    cosine, sine = (part.gather(1, own).squeeze(1) * varies for part in (cosine, sine))
    return Waves(mean, torch.where(varies, best + 1, 0), cosine, sine)


def at_own_frequency(
    rows: Float[Tensor, "neuron class"], frequency: Int[Tensor, "neuron"]
) -> tuple[Float[Tensor, "neuron"], Float[Tensor, "neuron"]]:
    """Return the amplitudes x and y of the part x cos(wc) + y sin(wc) of each row."""
    p = rows.shape[1]
    k = (frequency - 1).clamp(min=0)
    cos, sin = (((wave[k] * rows).sum(1) / squared_norms(p, rows.device)[k]) for wave in waves(p, rows.device))
    return cos * (frequency > 0), sin * (frequency > 0)


def polar(cosine: Float[Tensor, "*wave"], sine: Float[Tensor, "*wave"]) -> tuple[Tensor, Tensor]:
    """Return A and φ of x cos t + y sin t = A cos(t + φ).

    >>> amplitude, phase = polar(torch.tensor([0.0, -2.0]), torch.tensor([3.0, 0.0]))
    >>> amplitude.tolist(), (phase / torch.pi).abs().tolist()
    ([3.0, 2.0], [0.5, 1.0])
    """
    return torch.hypot(cosine, sine), torch.atan2(-sine, cosine)


def synthesized(
    cosine: Float[Tensor, "*line neuron"], sine: Float[Tensor, "*line neuron"], frequency: Int[Tensor, "neuron"], p: int
) -> Float[Tensor, "*line residue neuron"]:
    """Return the waves x cos(wt) + y sin(wt), t = 0..p - 1, at the frequency of each neuron."""
    k = (frequency - 1).clamp(min=0)
    cos, sin = (wave[k].mT for wave in waves(p, frequency.device))
    return cosine.unsqueeze(-2) * cos + sine.unsqueeze(-2) * sin


def answers(
    neurons: Waves, act: Callable[[Tensor], Tensor], W_L: Float[Tensor, "class neuron"]
) -> Float[Tensor, "pair class"]:
    """Return the logits of the idealized network for all pairs, computed in chunks of values of a."""
    p = len(W_L)
    in_b, in_a, in_sum, in_difference = synthesized(neurons.cosine, neurons.sine, neurons.frequency, p)
    b = torch.arange(p, device=W_L.device)
    logits = []
    for a in b.split(ROWS):
        waves_in_both = in_sum[(a[:, None] + b) % p] + in_difference[(a[:, None] - b) % p]
        pre = neurons.mean + in_a[a][:, None] + in_b + waves_in_both
        logits.append(act(pre).flatten(0, 1) @ W_L.mT)
    return torch.cat(logits)


def compared(ideal: Float[Tensor, "pair class"], real: Float[Tensor, "pair class"]) -> dict[str, Float[Tensor, ""]]:
    """Return accuracy, agreement, explained share, and certified share of idealized logits."""
    p = real.shape[1]
    residue = torch.arange(p, device=real.device)
    right, answer = (residue[:, None] + residue).flatten() % p, ideal.argmax(1)
    ideal, centered = (x - x.mean(1, keepdim=True) for x in (ideal, real))
    cosine = (ideal * centered).sum() / (torch.linalg.vector_norm(ideal) * torch.linalg.vector_norm(centered))
    return {
        "idealized_accuracy": (answer == right).double().mean(),
        "idealized_agreement": (answer == real.argmax(1)).double().mean(),
        "idealized_fve": cosine.clamp(min=0).square(),
        "idealized_certified": certified(ideal, centered - ideal, right).double().mean(),
    }


def certified(
    ideal: Float[Tensor, "pair class"], error: Float[Tensor, "pair class"], right: Int[Tensor, "pair"]
) -> Bool[Tensor, "pair"]:
    """Return whether the ideal margin over every wrong class exceeds the absolute difference of the two errors.

    >>> ideal, error = torch.tensor([[3.0, 0.0], [3.0, 0.0]]), torch.tensor([[-2.0, 0.5], [-2.0, 1.5]])
    >>> certified(ideal, error, torch.tensor([0, 0])).tolist()
    [True, False]
    """
    at = right.unsqueeze(1)
    excess = (ideal.gather(1, at) - ideal) - (error.gather(1, at) - error).abs()
    return excess.scatter(1, at, torch.inf).amin(1) > 0
