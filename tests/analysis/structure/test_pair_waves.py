"""Neurons over all pairs, two-dimensional Fourier components and the neuron-to-logit map of planted networks."""

import math

import pytest
import torch

from grokinterp.analysis.structure.fourier import neuron_logit_spectrum
from grokinterp.analysis.structure.neuron_logits import neuron_logit_map, neuron_logit_waves
from grokinterp.analysis.structure.pair_waves import SHOWN, neuron_grids, pair_waves, shown_neurons, wave_names
from grokinterp.maths.fourier import real_basis
from grokinterp.tasks import ModularAddition, ModularMultiplication
from tests.support.any_model import solved
from tests.support.constructed import close
from tests.support.small_networks import assert_vmap_is_loop, drawn, planted

P, K = 7, 3


def test_shown_neurons_are_evenly_spaced_and_few():
    for count in (0, 1, 11, 12, 13, 100, 256):
        shown = shown_neurons(count)
        assert len(shown) == min(count, len(shown)) <= SHOWN
        assert all(0 <= neuron < count for neuron in shown)
    assert list(shown_neurons(5)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("order", [2, 3, 7, 8])
def test_waves_are_named_in_the_order_of_the_basis(order):
    names = wave_names(order)
    assert len(names) == order
    residues = torch.arange(order, dtype=torch.float64)
    for row, name in zip(real_basis(order), names, strict=True):
        wave, _, k = name.partition(" ")
        kind = {"1": torch.ones_like, "cos": torch.cos, "sin": torch.sin}[wave]
        values = kind(2 * math.pi * int(k or 0) * residues / order)
        close(row, values / values.norm())


def test_a_grid_holds_the_activations_of_its_neuron():
    checkpoint = drawn()
    found = neuron_grids(checkpoint).neuron_activation
    close(found, checkpoint.neurons.T.reshape(12, P, P))


def test_a_planted_wave_has_its_components_only():
    a, b, c = torch.meshgrid(*[torch.arange(P, dtype=torch.float64)] * 3, indexing="ij")
    logits = 5 + torch.cos(2 * math.pi * K * (a + b - c) / P).reshape(P * P, P)
    found = pair_waves(planted(logits, drawn().problem.label)).logit_wave
    names = wave_names(P)
    own = [names.index(f"{wave} {K}") for wave in ("cos", "sin")]
    close(found[own][:, own].square().sum(), P**3 / 2)  # all of the variance of the wave
    found[torch.tensor(own)[:, None], torch.tensor(own)] = 0
    close(found, torch.zeros(P, P))


@pytest.mark.parametrize("task", [ModularAddition(p=11), ModularMultiplication(p=13)], ids=repr)
def test_neurons_of_a_solved_network_have_one_frequency(task):
    checkpoint = solved(task, 40)
    found = neuron_logit_waves(checkpoint).neuron_logit_amplitude
    assert ((found > 1e-5 * found.max()).sum(1) == 1).all()  # its weights are in single precision
    close(found.square().sum(0), neuron_logit_spectrum(checkpoint).neuron_logit_power)
    weights = neuron_logit_map(checkpoint).neuron_logit_weight
    close(weights.mean(1), torch.zeros(40))
    if task.kind == "modular_addition":  # every class is in the group
        close(weights.square().sum(1), found.square().sum(1))


@pytest.mark.parametrize("analysis", [neuron_grids, pair_waves, neuron_logit_map, neuron_logit_waves])
def test_vmap_equals_loop(analysis):
    assert_vmap_is_loop(analysis, [drawn(seed) for seed in range(3)])
