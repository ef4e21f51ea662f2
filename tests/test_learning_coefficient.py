"""The local learning coefficient where it is known: regular and singular minima, a network with redundant weights."""

import pytest
import torch

from grokinterp.analysis.landscape import LossSurface
from grokinterp.analysis.learning_coefficient import local_learning_coefficient, rise_on_batches, sample_chain
from grokinterp.errors import GrokinterpError, NotDefined
from grokinterp.models import MLPSpec
from tests.any_model import RECURSIVE, SPECS, checkpoint_of
from tests.constructed import close

QUICK = {"chains": 2, "burn_in": 2, "draws": 3}


def estimate(rise, size: int, *, heat: float, localization: float, step_size: float, draws: int = 2000) -> float:
    """nβ times the mean rise of a long chain from the origin."""
    chain = sample_chain(
        rise,
        torch.zeros(size, dtype=torch.float64),
        step_size=step_size,
        localization=localization,
        inverse_temperature=heat,
        burn_in=draws // 4,
        draws=draws,
        generator=torch.Generator().manual_seed(0),
    )
    return heat * float(chain.rise)


def test_a_regular_minimum_has_half_the_number_of_its_weights():
    """L = Σ h w² / 2 is normal under the chain: ½ Σ nβh / a / (1 - εa/4), a = nβh + γ, to 2 % for 400 weights."""
    h = torch.linspace(0.5, 2, 400, dtype=torch.float64)
    heat, gamma, step_size = 100.0, 1.0, 1e-3
    a = heat * h + gamma
    exact = 0.5 * float((heat * h / a / (1 - step_size * a / 4)).sum())
    found = estimate(
        lambda w, _: ((h * w.square()).sum() / 2, h * w), 400, heat=heat, localization=gamma, step_size=step_size
    )
    assert found == pytest.approx(exact, rel=0.02)
    assert found == pytest.approx(400 / 2, rel=0.05)


@pytest.mark.parametrize("power", [2, 4, 6])
def test_a_flat_direction_has_less(power):
    """For L = Σ |w|^m, E[nβ L] = d / m exactly at any temperature: singular where m > 2."""
    found = estimate(
        lambda w, _: ((w**power).sum(), power * w ** (power - 1)), 600, heat=50.0, localization=1e-6, step_size=2e-3
    )
    assert found == pytest.approx(600 / power, rel=0.06)


def test_directions_that_do_nothing_do_not_count():
    """The first of two sets of weights alone is curved: half their number, though the others wander."""
    found = estimate(
        lambda w, _: (w[:200].square().sum(), torch.cat([2 * w[:200], torch.zeros(200).double()])),
        400,
        heat=100.0,
        localization=1.0,
        step_size=5e-4,
        draws=4000,
    )
    assert found == pytest.approx(100, rel=0.05)


def test_batches_are_told_apart_from_where_they_start():
    """At the start every batch's rise is exactly 0, and over all examples it is the loss's."""
    surface = LossSurface(checkpoint_of(SPECS["mlp"]), "test")
    rise, draw = rise_on_batches(surface, 4), torch.Generator().manual_seed(0)
    gradients = [rise(surface.start, draw) for _ in range(3)]
    assert all(float(value) == 0 for value, _ in gradients)
    assert not torch.equal(gradients[0][1], gradients[1][1])
    everything = rise_on_batches(surface, 1000)
    value, gradient = everything(surface.start + 0.1, draw)
    loss, expected = surface.loss_and_gradient(surface.start + 0.1)
    close(value, loss - surface.loss_and_gradient(surface.start)[0])
    close(gradient, expected)


@pytest.mark.parametrize("loss", ["softplus", "mse"])
@pytest.mark.parametrize("name", SPECS)
def test_every_kind_of_model_has_one(name, loss):
    checkpoint = checkpoint_of(SPECS[name], loss=loss)
    before = {name: value.clone() for name, value in checkpoint.parameters.items()}
    found, again = (local_learning_coefficient(checkpoint, **QUICK) for _ in range(2))
    assert found.llc_of_chain.shape == (2,)
    assert torch.equal(found.llc_of_chain, again.llc_of_chain)
    close(found.llc, found.llc_of_chain.mean())
    close(found.llc_spread, found.llc_of_chain.std())
    assert not bool(found.llc_diverged)
    assert all(torch.equal(before[name], value) for name, value in checkpoint.parameters.items())


def test_a_dead_network_has_no_curved_direction():
    """All weights zero and x²: the loss does not depend on them to second order."""
    checkpoint = checkpoint_of(MLPSpec(hidden=(8,), act_fn="quadratic"), scale=0.0)
    found = local_learning_coefficient(checkpoint, localization=1e6, step_size=1e-8, **QUICK)
    close(found.llc, 0, atol=1e-6)


def test_too_large_steps_are_said_to_diverge():
    checkpoint = checkpoint_of(SPECS["mlp"])
    found = local_learning_coefficient(checkpoint, step_size=1.0, localization=1.0, burn_in=0, draws=30)
    assert bool(found.llc_diverged)
    assert not bool(local_learning_coefficient(checkpoint).llc_diverged)


def test_one_chain_has_no_spread():
    found = local_learning_coefficient(checkpoint_of(SPECS["mlp"]), chains=1, burn_in=0, draws=2)
    assert bool(found.llc_spread.isnan())
    assert bool(found.llc.isfinite())


def test_what_has_no_coefficient_says_why():
    with pytest.raises(NotDefined, match="no gradient flows between supervision steps"):
        local_learning_coefficient(checkpoint_of(RECURSIVE))
    with pytest.raises(NotDefined, match="nobody knows which examples were trained on"):
        local_learning_coefficient(checkpoint_of(SPECS["mlp"], fraction=0.0))
    with pytest.raises(GrokinterpError, match=r"step_size=0.0: must be above 0"):
        local_learning_coefficient(checkpoint_of(SPECS["mlp"]), step_size=0.0)
