"""The local learning coefficient of checkpoints: of every kind of model, of parts, on batches, and where it fails."""

import math

import pytest
import torch

from grokinterp.analysis.landscape.learning_coefficient import (
    FEW,
    MANY,
    TRACE,
    local_learning_coefficient,
    regime,
    rise_on_batches,
)
from grokinterp.analysis.landscape.loss_surface import LossSurface
from grokinterp.errors import ConfigError, NotDefined
from grokinterp.maths.langevin import Sampling, sgld
from grokinterp.models import MLPSpec
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import ModularAddition
from tests.cases.models import RECURSIVE, TINY_SPECS
from tests.support.any_model import checkpoint_of
from tests.support.constructed import close

QUICK = {"chains": 2, "burn_in": 2, "draws": 5, "step_size": 1e-4}


def of_surface(checkpoint):
    surface = LossSurface(checkpoint, "test")
    return surface, torch.arange(len(surface.start))


def test_batches_rise_from_zero_and_all_examples_give_the_loss():
    surface, place = of_surface(checkpoint_of(TINY_SPECS["mlp"]))
    rise = rise_on_batches(surface, place, 2, 4)
    weights = surface.start.expand(2, -1)
    close(rise(weights), torch.zeros(2))
    first, second = rise(weights + 0.1), rise(weights + 0.1)
    assert len({*first.tolist(), *second.tolist()}) == 4  # each chain has batches of its own
    everything = rise_on_batches(surface, place, 2, 1000)(weights + 0.1)
    loss = surface.loss_and_gradient(surface.start + 0.1)[0] - surface.loss_and_gradient(surface.start)[0]
    close(everything, loss.expand(2))


@pytest.mark.parametrize("loss", ["softplus", "mse", "stablemax"])
@pytest.mark.parametrize("name", TINY_SPECS)
def test_every_kind_of_model_has_one(name, loss):
    checkpoint = checkpoint_of(TINY_SPECS[name], loss=loss)
    before = {name: value.clone() for name, value in checkpoint.parameters.items()}
    found, again = (local_learning_coefficient(checkpoint, **QUICK) for _ in range(2))
    assert found.llc_of_chain.shape == (2,)
    assert found.llc_trace.shape == (2, TRACE)
    assert torch.equal(found.llc_of_chain, again.llc_of_chain)
    close(found.llc, found.llc_of_chain.mean())
    close(found.llc_spread, found.llc_of_chain.std())
    assert not bool(found.llc_diverged)
    assert all(torch.equal(before[name], value) for name, value in checkpoint.parameters.items())


def test_the_analysis_is_the_plain_formula():
    """The same chain written out: every example at each step, the noise of the same generators."""
    checkpoint = checkpoint_of(TINY_SPECS["mlp"])
    surface, _ = of_surface(checkpoint)
    heat, gamma, step = 7.0, 3.0, 1e-3
    found = local_learning_coefficient(
        checkpoint, inverse_temperature=heat, localization=gamma, step_size=step, chains=1, burn_in=3, draws=4,
        batch_size=1000,
    )  # fmt: skip
    noise, w, losses = torch.Generator().manual_seed(0), surface.start.clone(), []
    start = float(surface.loss_and_gradient(w)[0])
    for _ in range(7):
        loss, gradient = surface.loss_and_gradient(w)
        losses.append(float(loss))
        xi = torch.randn(len(w), generator=noise)
        w = w - step / 2 * (heat * gradient + gamma * (w - surface.start)) + math.sqrt(step) * xi
    assert float(found.llc) == pytest.approx(heat * (sum(losses[3:]) / 4 - start), rel=1e-3)


def test_more_weights_than_examples_is_the_other_regime():
    assert regime(15, 15) is FEW
    assert regime(16, 15) is MANY
    checkpoint = checkpoint_of(TINY_SPECS["mlp"])
    n = int(checkpoint.problem.is_train.sum())
    found = local_learning_coefficient(checkpoint, burn_in=1, draws=2)
    assert float(found.llc_localization) == MANY.localization
    assert float(found.llc_step_size) == MANY.step_size
    assert float(found.llc_inverse_temperature) == pytest.approx(n / math.log(n))
    assert int(found.llc_batch_size) == n
    unembedding = local_learning_coefficient(
        checkpoint_of(MLPSpec(hidden=(2,))), components=["unembed"], **QUICK | {"chains": None}
    )
    assert float(unembedding.llc_localization) == FEW.localization
    assert len(unembedding.llc_of_chain) == FEW.chains


def test_only_the_chosen_components_move():
    """The coefficient of a part is that of the loss as a function of the part alone."""
    checkpoint = checkpoint_of(TINY_SPECS["deep mlp"])
    surface = LossSurface(checkpoint, "test", dtype=torch.float32)
    place = surface.indices([name for name in surface.shapes if name.startswith("unembed")])

    def loss(chosen):
        every = surface.start.index_copy(0, place, chosen)
        return surface.train_losses(every, torch.arange(surface.n_train)).mean()

    seen = sgld(torch.vmap(loss), surface.start[place], Sampling(5.0, 2.0, 1e-3, 2, 3, 5))
    named = {"inverse_temperature": 5.0, "localization": 2.0, "step_size": 1e-3, "chains": 2, "burn_in": 3, "draws": 5}
    found = local_learning_coefficient(checkpoint, **named, components=["unembed"])
    close(found.llc_of_chain, seen.rise[:, 3:].mean(1), atol=1e-5)
    both = local_learning_coefficient(checkpoint, **named, components=["unembed.b_U", "unembed.W_U"])
    assert torch.equal(both.llc_of_chain, found.llc_of_chain)
    whole = local_learning_coefficient(checkpoint, **named)
    assert not torch.equal(whole.llc_of_chain, found.llc_of_chain)


def test_the_unembedding_of_a_network_has_the_known_value_of_linear_regression():
    """Under squared error, everything else fixed, the last layer is a regular model: half its 4 x 11 weights."""
    spec = MLPSpec(hidden=(4,), act_fn="relu")
    checkpoint = checkpoint_of(spec, ModularAddition(p=11), fraction=0.9, loss="mse")
    weights, problem = dict(checkpoint.model.named_parameters()), checkpoint.problem
    weights["layers.0.W_in"].mul_(10)
    neurons = checkpoint.readout.neurons[problem.is_train]
    wanted = torch.nn.functional.one_hot(problem.parts["train"].label, 11).double()
    weights["unembed.W_U"].copy_(torch.linalg.lstsq(neurons, wanted).solution)
    at_minimum = Checkpoint(1, checkpoint.model, problem)
    found = local_learning_coefficient(at_minimum, components=["unembed"], step_size=1e-3, burn_in=100, draws=300)
    assert float(found.llc) == pytest.approx(4 * 11 / 2, rel=0.15)
    assert bool(found.llc_converged)
    assert float(found.llc_localization) == FEW.localization


def test_single_precision_is_precise_enough():
    checkpoint = checkpoint_of(TINY_SPECS["transformer"])
    double, single = (LossSurface(checkpoint, "test", dtype=dtype) for dtype in (torch.float64, torch.float32))
    (loss, gradient), (near, slope) = (one.loss_and_gradient(one.start) for one in (double, single))
    close(near.double(), loss, atol=1e-6)
    close(slope.double(), gradient, atol=1e-6)
    assert next(checkpoint.model.parameters()).dtype == torch.float64


def test_a_dead_network_has_no_curved_direction():
    """All weights zero and x²: the loss does not depend on them to second order."""
    checkpoint = checkpoint_of(MLPSpec(hidden=(8,), act_fn="quadratic"), scale=0.0)
    found = local_learning_coefficient(checkpoint, **QUICK | {"localization": 1e6, "step_size": 1e-8})
    close(found.llc, 0, atol=1e-5)


def test_too_large_steps_are_reported_as_divergence_without_a_number():
    checkpoint = checkpoint_of(TINY_SPECS["mlp"])
    found = local_learning_coefficient(checkpoint, step_size=10.0, localization=1.0, burn_in=0, draws=30)
    assert bool(found.llc_diverged)
    assert bool(found.llc.isnan())
    assert not bool(found.llc_converged)
    assert not bool(local_learning_coefficient(checkpoint).llc_diverged)


def test_what_has_no_coefficient_says_why():
    with pytest.raises(NotDefined, match="no gradient flows between supervision steps"):
        local_learning_coefficient(checkpoint_of(RECURSIVE))
    with pytest.raises(NotDefined, match="the training examples are unknown"):
        local_learning_coefficient(checkpoint_of(TINY_SPECS["mlp"], fraction=0.0))


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"step_size": 0.0}, r"step_size=0.0: must be above 0"),
        ({"localization": math.inf}, r"localization=inf: must be above 0"),
        ({"inverse_temperature": math.nan}, r"inverse_temperature=nan: must be above 0"),
        ({"draws": 0}, r"draws=0: must be above 0"),
        ({"chains": -1}, r"chains=-1: must be above 0"),
        ({"burn_in": -1}, r"burn_in=-1: must be 0 or more"),
        ({"components": ["head"]}, r"components=head: must be one of layers.0, unembed"),
        ({"components": []}, r"components=: must be one of"),
    ],
)
def test_bad_arguments_are_named(argument, message):
    with pytest.raises(ConfigError, match=message):
        local_learning_coefficient(checkpoint_of(TINY_SPECS["mlp"]), **argument)
