"""Statistics of activations: values by hand, constructed covariances, and invariance under scaling and rotation."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grokinterp.analysis import activation_statistics
from grokinterp.analysis.inside.activations import spread_over_directions, statistics_of
from tests.support.constructed import SMALL, close
from tests.support.small_networks import drawn

EXAMPLES = 40


def with_singular_values(sigma: list[float], *, features: int, seed: int = 0) -> torch.Tensor:
    """Activations whose centered matrix has these singular values, about a mean that is far away."""
    random = torch.Generator().manual_seed(seed)
    draws = (torch.randn(n, len(sigma), generator=random).double() for n in (EXAMPLES, features))
    left, right = (torch.linalg.qr(draw - draw.mean(0) * (len(draw) == EXAMPLES)).Q for draw in draws)
    return left * torch.tensor(sigma).double() @ right.mT + 10


def entropy(shares: list[float]) -> float:
    return -sum(q * math.log(q) for q in shares)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 100))
def test_effective_rank_and_entropy_of_known_spectra(seed):
    rank, spectral = spread_over_directions(with_singular_values([3, 2, 1], features=8, seed=seed))
    assert float(rank) == pytest.approx(math.exp(entropy([3 / 6, 2 / 6, 1 / 6])), abs=1e-5)
    assert float(spectral) == pytest.approx(entropy([9 / 14, 4 / 14, 1 / 14]) / math.log(8), abs=1e-9)


def test_equal_directions_are_all_there_are_and_one_is_one():
    rank, spectral = spread_over_directions(with_singular_values([2.0] * 5, features=5))
    close(rank, 5)
    close(spectral, 1)
    rank, spectral = spread_over_directions(with_singular_values([2.0], features=5))
    assert float(rank) == pytest.approx(1, abs=1e-5)
    assert float(spectral) == pytest.approx(0, abs=1e-9)
    few = torch.eye(6).double()[:4]  # four points span three directions, whatever the number of features
    close(torch.stack(spread_over_directions(few)), [3, 1], atol=1e-5)


def test_dead_features_and_zeros_by_hand():
    """A neuron that never fires, one that fires once, a constant one, and one that always fires."""
    x = torch.tensor([[0, 0, 2, 1], [0, 0, 2, 3], [0, 4, 2, 1], [0, 0, 2, 5]], dtype=torch.float64)
    mean, std, sparsity, dead, _, _ = statistics_of(x).tolist()
    assert mean == pytest.approx(22 / 16)
    assert std == pytest.approx((68 / 16 - mean**2) ** 0.5)
    assert sparsity == 7 / 16
    assert dead == 2 / 4


def test_what_is_smaller_than_a_millionth_is_nothing():
    x = torch.tensor([[1.0, 0.9e-6], [1.0, -0.9e-6], [-1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    rms = 0.5**0.5
    assert statistics_of(x)[2] == pytest.approx(2 / 8)
    assert statistics_of(x * torch.tensor([1, 0.7 * rms]))[2:4].tolist() == [0.5, 0.0]
    assert statistics_of(x * torch.tensor([1, 0.35 * rms]))[2:4].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_constant_activations_have_no_directions(value):
    found = statistics_of(torch.full((7, 3), value, dtype=torch.float64))
    assert found[3] == 1
    assert found[2] == (value == 0)
    assert found[4:].isnan().all()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 100), factor=st.floats(1e-6, 1e6))
def test_scale_and_order_change_what_they_should(seed, factor):
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(30, 5, generator=random).double().relu()
    x[:, 2] = 0
    one = statistics_of(x)
    close(statistics_of(factor * x) / torch.tensor([factor, factor, 1, 1, 1, 1]), one, atol=1e-6)
    moved = x[torch.randperm(30, generator=random)][:, torch.randperm(5, generator=random)]
    close(statistics_of(moved), one, atol=1e-6)


def test_every_hook_of_a_network_in_its_order():
    checkpoint = drawn()
    found = activation_statistics(checkpoint)
    for place, hook in enumerate(checkpoint.model.feature_hooks):
        alone = statistics_of(checkpoint.activation(hook)[:, -1])
        close(torch.stack([field[place] for field in found]), alone)
    hooks = ("blocks.0.mlp.hook_pre", "hook_embed")
    chosen = activation_statistics(drawn(), hooks=hooks)
    assert chosen.dead_share.tolist() == [0, 1]
    assert chosen.activation_effective_rank.isnan().tolist() == [False, True]


def test_hinges_of_the_written_network():
    """Hinge j = relu(a + b - j) is 0 when a + b ≤ j; the last never fires: a + b ≤ 2p - 2 only exceeds those before."""
    checkpoint = SMALL.checkpoint()
    found = activation_statistics(checkpoint, hooks=["blocks.0.mlp.hook_post"])
    a, b = checkpoint.problem.tokens[:, :2].T
    zeros = sum(int((a + b <= j).sum()) for j in range(SMALL.n_hinges))
    neurons = SMALL.n_hinges + len(SMALL.circles)
    close(found.activation_sparsity, [zeros / (49 * neurons)])
    assert found.dead_share.tolist() == [sum(j >= 2 * SMALL.p - 2 for j in range(SMALL.n_hinges)) / neurons]
