"""Neurons over all pairs of operands, and the two-dimensional Fourier components of neurons and logits."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.analysis.engine.coordinates import Setting
from grokinterp.analysis.structure.cyclic_answers import cyclic_order
from grokinterp.analysis.structure.cyclic_grid import by_operands, cyclic_grid
from grokinterp.errors import NotDefined
from grokinterp.maths.fourier import real_fourier_2d
from grokinterp.runs.checkpoint import Checkpoint

SHOWN = 12
"""Number of neurons of which the activations over all pairs are kept."""

AT_ONCE = 64
"""Number of features that are transformed at a time, which bounds the memory."""


def shown_neurons(n_neurons: int) -> range:
    """Return evenly spaced neurons, at most SHOWN, the same at every checkpoint; none is hand-picked.

    >>> list(shown_neurons(36))
    [0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33]
    """
    every = max(1, n_neurons // SHOWN)
    return range(0, n_neurons, every)[:SHOWN]


def wave_names(order: int) -> Sequence[str]:
    """Return the names of the components of a function on Z_n, in the order of ``maths.fourier``.

    >>> wave_names(4)
    ['1', 'cos 1', 'sin 1', 'cos 2']
    """
    names = [f"{wave} {k}" for k in range(1, order // 2 + 1) for wave in ("cos", "sin")]
    return ["1", *names][:order]


AXES = {
    "shown_neuron": lambda setting: shown_neurons(setting.model.n_neurons),
    "wave_a": lambda setting: waves_of(setting),
    "wave_b": lambda setting: waves_of(setting),
}


def waves_of(setting: Setting) -> Sequence[str]:
    """Return the names of the components over an operand; empty without a cyclic group."""
    return wave_names(cyclic_order(setting.task))


class NeuronGrids(NamedTuple):
    """Activations of some neurons.

    neuron_activation: activation of the neuron for the pair, after its activation function [1]
    """

    neuron_activation: Float[Tensor, "shown_neuron a b"]


class PairWaves(NamedTuple):
    """Two-dimensional Fourier components.

    neuron_wave: L2 norm, over the neurons, of the component of their activations [1]
    logit_wave: L2 norm, over the classes, of the component of the row-centered logits [nats]
    """

    neuron_wave: Float[Tensor, "wave_a wave_b"]
    logit_wave: Float[Tensor, "wave_a wave_b"]


def neuron_grids(checkpoint: Checkpoint) -> NeuronGrids:
    """Return the activations of evenly spaced neurons of the last hidden layer for every pair (a, b).

    A neuron of a Fourier circuit is a periodic function of a and b with a single frequency. The neurons are the same at
    every checkpoint, and none is hand-picked. Pairs for which a ∘ b is not defined are NaN.

    Source: Nanda et al. 2023, §4.2.

    Raises:
        NotDefined: the task does not have two operands, or the model has no known hidden layer.
    """
    neurons = checkpoint.neurons
    shown = torch.tensor(list(shown_neurons(neurons.shape[1])), device=neurons.device)
    grids = by_operands(neurons[:, shown].double(), checkpoint.problem.task, "neuron_grids")
    return NeuronGrids(grids.movedim(-1, 0))


def pair_waves(checkpoint: Checkpoint) -> PairWaves:
    """Return the norms of the two-dimensional Fourier components of the neurons and of the logits.

    The components of x [a, b] are X̂[i, j] = Σ_ab F_ia F_jb x[a, b], with the orthonormal real waves F of the constant,
    cos 1, sin 1, and so on. The norm is taken over all neurons, or over all classes of the row-centered logits. A
    Fourier circuit has few components: the waves of its key frequencies in a, in b, and in both. a and b are the
    exponents of the operands in the cyclic group of the task.

    Source: Nanda et al. 2023, §4.2 (neurons), §4.3 (logits).

    Raises:
        NotDefined: the labels are not products in a cyclic group, or the model has no known hidden layer.
    """
    grid = cyclic_grid(checkpoint, "pair_waves")
    if not checkpoint.model.n_neurons:
        raise NotDefined("pair_waves", checkpoint.model.lacks("the last hidden layer"))
    logits = grid.logits(checkpoint.logits.double())
    centered = logits - logits.mean(1, keepdim=True)
    activations = grid.examples(checkpoint.neurons.double())
    return PairWaves(*(norms(values.unflatten(0, (grid.n, grid.n))) for values in (activations, centered)))


def norms(values: Float[Tensor, "a b feature"]) -> Float[Tensor, "wave_a wave_b"]:
    """Return the norm over the features of each component.

    >>> norms(torch.ones(3, 3, 4))[0, 0].round().item()
    6.0
    """
    squares = [real_fourier_2d(some).square().sum(-1) for some in values.split(AT_ONCE, dim=-1)]
    return torch.stack(squares).sum(0).sqrt()
