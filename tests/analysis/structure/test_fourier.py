"""Fourier analysis: laws of the basis, the constructed network's closed forms, naive twins, the published network."""

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import given
from hypothesis import strategies as st

from grokinterp.analysis.structure.fourier import (
    embedding_circles,
    embedding_spectrum,
    frequencies_of,
    logit_spectrum,
    neuron_frequencies,
    neuron_logit_spectrum,
    spectrum_of_logits,
)
from grokinterp.errors import GrokinterpError, NotDefined
from grokinterp.maths.fourier import by_frequency, real_basis, real_fourier, real_fourier_2d, squared_norms, waves
from grokinterp.maths.grid import mean_by_sum, sum_order
from grokinterp.maths.sparsity import effective_rank, gini
from grokinterp.models import TransformerSpec
from tests.support import naive
from tests.support.constructed import CASES, SMALL, Constructed, close, pair_sums, planted_logits, wave
from tests.support.published_networks import chughtai_cyclic, nanda
from tests.support.small_networks import assert_vmap_is_loop, drawn, permuted

MODULI = (2, 3, 5, 23, 96, 97, 113, 509)


def uniform(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("p", MODULI)
def test_the_basis_is_orthonormal(p):
    basis = real_basis(p)
    close(basis @ basis.T, torch.eye(p), rtol=0, atol=1e-12)


@pytest.mark.parametrize("p", MODULI)
def test_components_keep_the_norm_and_equal_the_projections_on_the_basis(p):
    x = uniform(p, 3)
    close(real_fourier(x).square().sum(), x.square().sum(), rtol=1e-12, atol=0)
    close(real_fourier(x), real_basis(p) @ x, rtol=0, atol=1e-12 * p)
    close(by_frequency(real_fourier(x).square()).sum() + real_fourier(x)[0].square().sum(), x.square().sum())


@pytest.mark.parametrize("p", MODULI)
def test_components_equal_scipys_transform(p):
    x = uniform(p)
    spectrum = scipy.fft.rfft(x.numpy(), norm="ortho")
    expected = [spectrum[0].real]
    for k in range(1, p // 2 + 1):
        expected += [spectrum[k].real] if 2 * k == p else [2**0.5 * spectrum[k].real, -(2**0.5) * spectrum[k].imag]
    close(real_fourier(x), np.array(expected), rtol=0, atol=1e-12)


@pytest.mark.parametrize("p", [2, 5, 6, 23])
def test_the_two_dimensional_transform_is_the_basis_on_both_sides(p):
    x, basis = uniform(p, p), real_basis(p)
    close(real_fourier_2d(x), basis @ x @ basis.T, rtol=0, atol=1e-12)


@pytest.mark.parametrize("p", MODULI)
def test_the_highest_frequency_of_an_even_modulus_has_no_sine(p):
    cos, sin = waves(p)
    close(cos.square().sum(1), squared_norms(p))
    assert cos.shape == sin.shape == (p // 2, p)
    assert bool((sin[-1] == 0).all()) == (p % 2 == 0)


@pytest.mark.parametrize("p", [3, 8])
def test_sum_order_lists_every_example_under_its_answer(p):
    order = sum_order(p)
    assert sorted(order.flatten().tolist()) == list(range(p * p))
    assert all((i // p + i % p) % p == s for s, row in enumerate(order.tolist()) for i in row)
    x = uniform(p * p, 2)
    close(mean_by_sum(x)[1], x[[i for i in range(p * p) if (i // p + i % p) % p == 1]].mean(0))


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=12).filter(lambda x: sum(x) > 1e-3))
def test_gini_is_the_mean_difference_of_any_values(values):
    close(gini(torch.tensor(values, dtype=torch.float64)), naive.gini(np.array(values)))


def test_sparsity_at_its_extremes():
    for n in (1, 2, 57):
        close(gini(torch.full((n,), 3.0)), 0)
        close(gini(torch.eye(n)[n // 2]), (n - 1) / n, atol=1e-6)
        close(effective_rank(torch.ones(n)), n, rtol=1e-5)
        close(effective_rank(torch.eye(n)[0]), 1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"p={case.p}")
def test_the_constructed_network_adds(case):
    checkpoint = case.checkpoint()
    close(checkpoint.logits, case.logits(), atol=1e-9)
    assert bool((checkpoint.logits.argmax(1) == checkpoint.problem.label).all())


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"p={case.p}")
def test_weight_spectra_of_the_constructed_network(case):
    checkpoint, frequencies = case.checkpoint(), range(1, case.p // 2 + 1)
    embedding = embedding_spectrum(checkpoint)
    close(embedding.embedding_power, [case.embedding_power(k) for k in frequencies])
    close(embedding.embedding_constant, case.embedding_constant())
    close(embedding.gini_embedding, naive.gini(naive.component_norms(checkpoint.model.W_E[: case.p].numpy())))
    neurons = neuron_logit_spectrum(checkpoint)
    close(neurons.neuron_logit_power, [case.neuron_logit_power(k) for k in frequencies])
    w_l = (checkpoint.model.W_out[-1] @ checkpoint.model.W_U).T.numpy()
    close(neurons.gini_neuron_logit, naive.gini(naive.component_norms(w_l)))


@pytest.mark.parametrize("p", [6, 23])
def test_spectra_equal_their_naive_twins(p):
    checkpoint = drawn(p=p)
    close(embedding_spectrum(checkpoint).embedding_power, naive.power(checkpoint.model.W_E[:p].numpy())[1:])
    w_l = (checkpoint.model.W_out[-1] @ checkpoint.model.W_U).T.numpy()
    close(neuron_logit_spectrum(checkpoint).neuron_logit_power, naive.power(w_l)[1:])


def test_circles_of_a_circular_embedding():
    case = Constructed(24, {5: 4.0}, {7: 2.0, 12: 3.0})
    checkpoint = case.checkpoint()
    checkpoint.model.embed.W_E[:, 0] = 0
    circles = embedding_circles(checkpoint, key_frequencies=torch.tensor([7, 12])).embedding_circle
    cos, sin = wave(7, 24, torch.arange(24))
    close(circles[0], torch.stack([2 * cos, 2 * sin], dim=1))
    close(circles[1], torch.stack([3 * wave(12, 24, torch.arange(24))[0], torch.zeros(24)], dim=1), atol=1e-8)


@pytest.mark.parametrize("p", [4, 5, 6, 7, 8, 9, 10, 12, 15])
def test_neuron_shares_equal_their_naive_twin(p):
    a, b = torch.meshgrid(torch.arange(p), torch.arange(p), indexing="ij")
    h = torch.cat([uniform(p * p, 3), 0.5 * uniform(p * p, 1) + wave(p // 2, p, a + b)[0].reshape(-1, 1)], dim=1)
    found = frequencies_of(h, p)
    for n in range(4):
        grid = h[:, n].reshape(p, p).numpy()
        plain, harmonic = naive.neuron_fve(grid, harmonic=False), naive.neuron_fve(grid, harmonic=True)
        assert int(found.neuron_frequency[n]) == plain.argmax() + 1
        close(found.neuron_fve[n], plain.max())
        close(found.neuron_fve_harmonic[n], harmonic[plain.argmax()])


@pytest.mark.parametrize("p", [23, 24, 113])
def test_a_quadratic_neuron_reaches_four_fifths_and_one_with_its_harmonic(p):
    a, b = torch.meshgrid(torch.arange(p), torch.arange(p), indexing="ij")
    frequencies = [1, 5, (p - 1) // 2]
    h = [(wave(k, p, a)[0] + wave(k, p, b)[0]).square().flatten() for k in frequencies]
    found = frequencies_of(torch.stack(h, dim=1), p)
    assert found.neuron_frequency.tolist() == frequencies
    close(found.neuron_fve, [0.8] * 3)
    close(found.neuron_fve_harmonic, [1.0] * 3)
    assert float(found.specialized_share) == 0


@pytest.mark.parametrize("p", [6, 23, 24])
def test_neurons_of_single_frequencies_are_counted_and_constant_ones_are_not(p):
    a, b = torch.meshgrid(torch.arange(p), torch.arange(p), indexing="ij")
    last = p // 2
    columns = [wave(last, p, a + b)[0] + 3, wave(2, p, a - b)[0], wave(2, p, b)[0], torch.full((p, p), 0.3).double()]
    found = frequencies_of(torch.stack([c.flatten() for c in columns], dim=1), p)
    assert found.neuron_frequency.tolist() == [last, 2, 2, 0]
    close(found.neuron_fve, [1, 1, 1, 0])
    close(found.specialized_share, 0.75)
    expected = torch.zeros(p // 2)
    expected[last - 1], expected[1] = 1, 2
    close(found.neurons_per_frequency, expected)


def test_neurons_of_the_constructed_network():
    case = CASES[2]
    found = neuron_frequencies(case.checkpoint())
    assert found.neuron_frequency[case.n_hinges :].tolist() == list(case.circles)
    close(found.neuron_fve[case.n_hinges :], torch.ones(len(case.circles)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"p={case.p}")
def test_logit_spectrum_of_the_constructed_network(case):
    found = logit_spectrum(case.checkpoint())
    expected = case.similarity()
    close(found.logit_similarity, [expected.get(k, 0) for k in range(1, case.p // 2 + 1)])
    assert (found.is_key.nonzero().flatten() + 1).tolist() == sorted(expected)
    close(found.logit_fve, 1)


@pytest.mark.parametrize("p", [4, 5, 6, 9])
def test_logit_spectrum_equals_its_naive_twin(p):
    logits = uniform(p * p, p) + 2 * planted_logits(p, {1: 1.0, p // 2: 0.7}) + uniform(p * p, 1, seed=1)
    found, cube = spectrum_of_logits(logits, pair_sums(p)), logits.reshape(p, p, p).numpy()
    close(found.logit_similarity, naive.similarity(cube))
    keys = (found.is_key.nonzero().flatten() + 1).tolist()
    close(found.logit_fve, naive.variance_explained(cube, keys))


@pytest.mark.parametrize("p", [23, 24, 53, 113])
@pytest.mark.parametrize("n_keys", [1, 2, 4])
def test_planted_frequencies_are_found_exactly_under_10_db_noise(p, n_keys):
    random = np.random.default_rng(p)
    for _ in range(3):
        keys = sorted({p // 2, *(1 + random.permutation(p // 2 - 1)[: n_keys - 1])})
        weights = {int(k): 1.0 if 2 * k < p else 0.5**0.5 for k in keys}
        signal = planted_logits(p, weights)
        noise = torch.from_numpy(random.standard_normal(signal.shape)) * signal.std() * 10**-0.5
        found = spectrum_of_logits(signal + noise, pair_sums(p))
        assert (found.is_key.nonzero().flatten() + 1).tolist() == keys


def test_a_random_network_has_hardly_ever_a_key_frequency():
    """Exchangeable classes: at most one network in 101; 2 of 100 would have a chance of 26 %, 5 of 0.3 %."""
    for p in (7, 23):
        found = [bool(logit_spectrum(drawn(seed, p=p)).is_key.any()) for seed in range(100)]
        assert sum(found) <= 4


def test_similarity_ignores_constants_of_rows_but_variance_explained_does_not():
    logits = planted_logits(23, {3: 1.0, 8: 1.0})
    offset = uniform(23 * 23, 1)
    plain, moved = (spectrum_of_logits(x, pair_sums(23)) for x in (logits, logits + offset))
    close(moved.logit_similarity, plain.logit_similarity)
    close(moved.logit_fve, logits.var() / (logits + offset).var())
    close(spectrum_of_logits(logits + 7, pair_sums(23)).logit_fve, 1)


def test_permuting_neurons_and_heads_changes_no_measure():
    checkpoint = drawn(p=7)
    other = permuted(checkpoint, neurons=list(range(11, -1, -1)), heads=[1, 0])
    for analysis in (embedding_spectrum, neuron_logit_spectrum, logit_spectrum):
        for before, after in zip(analysis(checkpoint), analysis(other), strict=True):
            close(after, before)
    before, after = neuron_frequencies(checkpoint), neuron_frequencies(other)
    close(after.neuron_fve, before.neuron_fve.flip(0))
    close(after.neurons_per_frequency, before.neurons_per_frequency)


@pytest.mark.parametrize(
    "analysis",
    [
        embedding_spectrum,
        neuron_logit_spectrum,
        neuron_frequencies,
        logit_spectrum,
        lambda checkpoint: embedding_circles(checkpoint, key_frequencies=torch.tensor([1, 3])),
    ],
)
@pytest.mark.parametrize("p", [6, 7])
def test_vmap_is_the_loop(analysis, p):
    assert_vmap_is_loop(analysis, [drawn(seed, p=p) for seed in range(3)])


def test_the_last_layer_of_a_deep_network_is_read():
    checkpoint = drawn(p=7, spec=TransformerSpec(n_layers=2, d_model=8, n_heads=2, d_mlp=12))
    w_l = (checkpoint.model.blocks[1].mlp.W_out @ checkpoint.model.W_U).T.numpy()
    close(neuron_logit_spectrum(checkpoint).neuron_logit_power, naive.power(w_l)[1:])


def test_wrong_keys_are_refused_in_a_line():
    for wrong in (0, 4):
        with pytest.raises(GrokinterpError, match=f"key_frequencies={wrong}: must be integers from 1 to 3 for p=7"):
            embedding_circles(SMALL.checkpoint(), key_frequencies=torch.tensor([wrong]))
    with pytest.raises(NotDefined, match=r"^embedding_circles is not defined here: no frequency is key$"):
        embedding_circles(SMALL.checkpoint(), key_frequencies=torch.tensor([], dtype=torch.int64))


def test_the_published_network_has_its_published_spectrum(published):
    checkpoint = nanda(published)
    assert float(embedding_spectrum(checkpoint).gini_embedding) == pytest.approx(0.178, abs=5e-4)
    found = logit_spectrum(checkpoint)
    assert (found.is_key.nonzero().flatten() + 1).tolist() == [36, 52]
    assert float(found.logit_fve) == pytest.approx(0.9460, abs=1e-4)
    close(found.logit_similarity[[35, 51, 40]], [0.88486, 0.40670, 0.01086], atol=1e-5, rtol=0)


def test_the_published_cyclic_group_network_has_its_published_similarities(published):
    checkpoint, stored = chughtai_cyclic(published)
    assert float(checkpoint.losses.mean()) == pytest.approx(stored["all_loss"], rel=1e-2)
    found = logit_spectrum(checkpoint)
    assert (found.is_key.nonzero().flatten() + 1).tolist() == [43, 49, 52, 53]
    expected = [stored[f"logit_freq_{k}_rep_trace_similarity"] for k in range(1, 57)]
    close(found.logit_similarity, expected, atol=1e-6)
    close(found.logit_fve, stored["percent_logits_explained"], atol=1e-5)
