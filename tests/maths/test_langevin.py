"""Langevin chains on losses whose learning coefficient is known, and their own diagnostics."""

import math

import pytest
import torch

from grokinterp.maths.langevin import Chains, Sampling, learning_coefficient, sgld, split_rhat, tuned_step
from grokinterp.maths.singular import normal_crossing, reduced_rank_regression

DOUBLE = torch.float64


def estimate(loss, size: int, *, heat=1000.0, gamma=1.0, step=2e-3, chains=8, burn_in=300, draws=1000):
    """The estimate of chains from the origin, with the step size that pilots choose."""
    start = torch.zeros(size, dtype=DOUBLE)
    sampling = Sampling(heat, gamma, step, chains, burn_in, draws)
    sampling = sampling._replace(step_size=tuned_step(loss, start, sampling))
    return learning_coefficient(sgld(loss, start, sampling), sampling, size)


def linear_regression(d: int, n: int, *, batch: int, noise: float = 1.0, scale: float = 1.0):
    """The rise of half the squared error above that of the best weights, at which the vector is zero."""
    draw = torch.Generator().manual_seed(0)
    x = scale * torch.randn(n, d, dtype=DOUBLE, generator=draw)
    y = x @ torch.randn(d, dtype=DOUBLE, generator=draw) + noise * torch.randn(n, dtype=DOUBLE, generator=draw)
    best = torch.linalg.lstsq(x, y[:, None]).solution[:, 0]
    residual = y - x @ best

    def loss(away):
        chosen = torch.randint(n, (len(away), batch), generator=draw)
        left = residual[chosen]
        return ((left - (x[chosen] @ away[..., None])[..., 0]).square() - left.square()).mean(1) / 2

    return loss, n / math.log(n)


@pytest.mark.parametrize("change", [{}, {"scale": 10.0}, {"noise": 3.0}, {"n": 4000, "batch": 500}])
def test_linear_regression_has_half_its_dimension(change):
    """d/2 = 16 whatever the units of the inputs and the noise: pilots find the step size, over a factor of 400."""
    loss, heat = linear_regression(**({"d": 32, "n": 1000, "batch": 145} | change))
    found = estimate(loss, 32, heat=heat, chains=3)
    assert float(found.value) == pytest.approx(16, rel=0.2)
    assert bool(found.converged)
    assert float(found.value - found.step_error) == pytest.approx(16, rel=0.12)


@pytest.mark.parametrize("sizes", [(5, 3, 5), (4, 3, 8)])
def test_reduced_rank_regression(sizes):
    inputs, hidden, outputs = sizes
    cut = inputs * hidden

    def loss(w):
        left, right = w[:, :cut].unflatten(1, (inputs, hidden)), w[:, cut:].unflatten(1, (hidden, outputs))
        return (left @ right).square().sum((1, 2)) / 2

    found = estimate(loss, cut + hidden * outputs, chains=4)
    assert float(found.value) == pytest.approx(float(reduced_rank_regression(*sizes).value), rel=0.2)


@pytest.mark.parametrize("exponents", [(2,), (4,), (6,), (4, 2), (6, 2)])
def test_normal_crossings(exponents):
    """The sum of 100 losses of weights of their own has 100 times the coefficient, and a tenth of the noise."""
    powers, copies = torch.tensor(exponents, dtype=DOUBLE), 100
    size = copies * len(exponents)
    found = estimate(lambda w: w.view(len(w), copies, -1).pow(powers).prod(2).sum(1), size, heat=1e4, chains=2)
    crossing = normal_crossing(exponents)
    assert crossing.multiplicity == 1
    assert float(found.value) / copies == pytest.approx(float(crossing.value), rel=0.2)


def test_the_closed_form_knows_every_case():
    """Full rank is a regular model modulo GL(h); a hidden layer that is wide enough is a matrix of inputs x outputs."""
    assert float(reduced_rank_regression(6, 3, 6, 3).value) == (6 + 6 - 3) * 3 / 2
    assert float(reduced_rank_regression(2, 9, 3).value) == 2 * 3 / 2
    assert float(reduced_rank_regression(8, 3, 4).value) == 6.0
    assert reduced_rank_regression(5, 3, 5).multiplicity == 2
    for sizes in [(3, 2, 9, 1), (9, 2, 3, 1), (5, 3, 5, 2)]:
        m, h, n, r = sizes
        assert float(reduced_rank_regression(*sizes).value) <= (h * (m + n) - r**2) / 2


def quadratic(h):
    return lambda w: (h * w.square()).sum(-1) / 2


def test_a_quadratic_loss_has_its_exact_value_its_step_error_and_what_the_localization_holds():
    """λ̂ = ½ Σ nβh / a / (1 - εa/4), a = nβh + γ; without step error ½ Σ nβh / a; with what γ holds, d/2."""
    h, heat, gamma, step = torch.linspace(0.5, 2, 400, dtype=DOUBLE), 100.0, 30.0, 4e-3
    a = heat * h + gamma
    sampling = Sampling(heat, gamma, step, 2, 200, 800)
    found = learning_coefficient(sgld(quadratic(h), torch.zeros(400, dtype=DOUBLE), sampling), sampling, 400)
    excess = 1 / (1 - step * a / 4)
    assert float(found.value) == pytest.approx(float((heat * h / a * excess).sum() / 2), rel=0.02)
    assert float(found.value - found.step_error) == pytest.approx(float((heat * h / a).sum() / 2), rel=0.02)
    assert float(found.held) == pytest.approx(float((gamma / a * excess).sum() / 2), rel=0.02)
    assert float(found.equilibrium) == pytest.approx(float(excess.mean()), rel=0.02)
    assert bool(found.converged)


def test_short_chains_say_how_far_they_came():
    """After t steps a mode of curvature a has reached 1 - exp(-εat) of its variance."""
    sampling = Sampling(100.0, 1.0, 1e-4, 2, 0, 50)
    found = learning_coefficient(sgld(quadratic(1.0), torch.zeros(2000, dtype=DOUBLE), sampling), sampling, 2000)
    expected = 1 - sum(math.exp(-1e-4 * 101 * t) for t in range(50)) / 50
    assert float(found.equilibrium) == pytest.approx(expected, rel=0.05)
    assert not bool(found.converged)
    assert not bool(found.diverged)


@pytest.mark.parametrize(("step", "diverged"), [(1.9e-2, False), (3e-2, True), (5e-2, True), (10.0, True)])
def test_too_large_steps_diverge(step, diverged):
    """For a quadratic the share of the steps is εa/4: above a half it has diverged, above 1 it explodes."""
    sampling = Sampling(100.0, 1.0, step, 2, 20, 60)
    found = learning_coefficient(sgld(quadratic(1.0), torch.zeros(50, dtype=DOUBLE), sampling), sampling, 50)
    assert bool(found.diverged) == diverged
    assert not bool(found.converged)


@pytest.mark.parametrize("step", [1.0, 3e-2, 1e-5])
def test_pilots_lower_a_step_size_to_a_share_of_a_twentieth_and_never_raise_it(step):
    start = torch.zeros(50, dtype=DOUBLE)
    found = tuned_step(quadratic(1.0), start, Sampling(100.0, 1.0, step, 2, 0, 0))
    assert found == pytest.approx(min(step, 4 * 0.05 / 101), rel=0.1)


def test_a_loss_without_slope_has_coefficient_zero_and_gives_no_reason_to_lower_steps():
    start, sampling = torch.zeros(5, dtype=DOUBLE), Sampling(100.0, 1.0, 0.1, 2, 5, 100)
    assert tuned_step(lambda w: 0 * w.sum(1), start, sampling) == 0.1
    found = learning_coefficient(sgld(lambda w: 0 * w.sum(1), start, sampling), sampling, 5)
    assert float(found.value) == 0
    assert not bool(found.diverged)


def of(rise) -> Chains:
    """Chains that see these rises and are otherwise in equilibrium."""
    return Chains(rise, torch.ones_like(rise), torch.ones_like(rise), torch.zeros_like(rise))


def test_chains_that_disagree_or_drift_are_not_converged():
    draw = torch.Generator().manual_seed(0)
    noise, sampling = torch.randn(3, 200, dtype=DOUBLE, generator=draw), Sampling(1.0, 1.0, 0.1, 3, 0, 200)
    apart = torch.tensor([[0.0], [1.0], [2.0]], dtype=DOUBLE)
    drift = torch.linspace(0, 3, 200, dtype=DOUBLE)
    found = [learning_coefficient(of(10 + noise + x), sampling, 1) for x in (0 * drift, apart, drift)]
    assert [bool(one.converged) for one in found] == [True, False, False]


def test_agreeing_chains_are_rarely_blamed():
    """Independent draws of the sizes of the defaults: R̂ stays below 1.1 in 200 of 200."""
    draw = torch.Generator().manual_seed(0)
    found = [float(split_rhat(torch.randn(2, 100, dtype=DOUBLE, generator=draw))) for _ in range(200)]
    assert max(found) < 1.1
    assert min(found) > 0.98


def test_one_chain_has_no_spread_and_few_draws_no_rhat():
    sampling = Sampling(100.0, 1.0, 1e-3, 1, 0, 3)
    found = learning_coefficient(sgld(quadratic(1.0), torch.zeros(4, dtype=DOUBLE), sampling), sampling, 4)
    assert bool(found.spread.isnan())
    assert bool(found.rhat.isnan())
    assert bool(found.value.isfinite())
