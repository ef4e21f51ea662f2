"""Hessian, sharpness and the line to the final weights: dense twins, closed forms, every kind of model."""

import itertools

import numpy as np
import pytest
import torch
from torch.func import functional_call, grad, jacrev

from grokinterp.analysis.landscape.curvature import (
    FRACTIONS,
    climb,
    hessian_eigenvalues,
    lanczos,
    loss_line,
    sharpness,
)
from grokinterp.analysis.landscape.loss_surface import LossSurface
from grokinterp.errors import NotDefined
from grokinterp.models import MLPSpec
from grokinterp.runs.checkpoint import Checkpoint
from tests.cases.losses import LOSSES
from tests.cases.models import RECURSIVE, TINY_SPECS
from tests.support.any_model import checkpoint_of
from tests.support.constructed import close


def naive_loss(checkpoint: Checkpoint, parameters: dict[str, torch.Tensor]) -> torch.Tensor:
    """Mean training loss by the plain forward pass, at other weights."""
    problem = checkpoint.problem
    logits = functional_call(checkpoint.model, parameters, (problem.tokens[problem.is_train],))
    return LOSSES["mse" if problem.loss == "mse" else "softplus"](logits[:, -1], problem.parts["train"].label).mean()


def dense_hessian(checkpoint: Checkpoint) -> torch.Tensor:
    names = list(checkpoint.parameters)
    blocks = jacrev(grad(lambda parameters: naive_loss(checkpoint, parameters)))(checkpoint.parameters)
    sizes = {name: value.numel() for name, value in checkpoint.parameters.items()}
    return torch.cat([torch.cat([blocks[i][j].reshape(sizes[i], sizes[j]) for j in names], 1) for i in names])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", TINY_SPECS)
def test_eigenvalues_are_those_of_the_dense_hessian(name, loss):
    checkpoint = checkpoint_of(TINY_SPECS[name], loss=loss)
    dense = dense_hessian(checkpoint)
    close(dense, dense.T)
    vector = torch.linspace(-1, 1, len(dense), dtype=torch.float64)
    close(LossSurface(checkpoint, "test").hessian_product(vector), dense @ vector)
    expected = torch.linalg.eigvalsh(dense)
    found = hessian_eigenvalues(checkpoint, iterations=60, tolerance=0.0)
    close(found.hessian_eigenvalue[:3], expected.flip(0)[:3], rtol=1e-6)
    close(found.hessian_eigenvalue_smallest, expected[0], rtol=1e-6)


def test_an_eigenvalue_is_within_its_error_of_a_true_one():
    checkpoint = checkpoint_of(TINY_SPECS["transformer"])
    true = torch.linalg.eigvalsh(dense_hessian(checkpoint))
    for iterations in (5, 10, 20):
        found = hessian_eigenvalues(checkpoint, iterations=iterations)
        for value, error in zip(found.hessian_eigenvalue, found.hessian_eigenvalue_error, strict=True):
            assert float((true - value).abs().min()) <= float(error) + 1e-12


def test_it_ends_once_the_largest_are_known():
    checkpoint = checkpoint_of(TINY_SPECS["transformer"])
    exact, found = (hessian_eigenvalues(checkpoint, iterations=100, tolerance=tolerance) for tolerance in (0.0, 0.01))
    assert (found.hessian_eigenvalue_error < 0.01 * exact.hessian_eigenvalue[0]).all()
    assert found.hessian_eigenvalue_error.amax() > 100 * exact.hessian_eigenvalue_error.amax()
    close(found.hessian_eigenvalue, exact.hessian_eigenvalue, rtol=0.02)


@pytest.mark.parametrize("size", [1, 3, 40])
def test_lanczos_finds_a_whole_spectrum(size):
    random = np.random.default_rng(size)
    matrix = torch.from_numpy(random.standard_normal((size, size)))
    matrix = matrix + matrix.T
    values, errors = lanczos(lambda v: matrix @ v, matrix[0], 100)
    close(values, torch.linalg.eigvalsh(matrix))
    assert float(errors.max()) < 1e-8


def test_lanczos_stops_at_an_invariant_subspace():
    """For a matrix with two distinct eigenvalues, two products determine both with zero error."""
    diagonal = torch.tensor([2.0] * 5 + [-1.0] * 4, dtype=torch.float64)
    products = []

    def product(v: torch.Tensor) -> torch.Tensor:
        products.append(v)
        return diagonal * v

    values, errors = lanczos(product, torch.zeros(9, dtype=torch.float64), 9)
    close(values, [-1, 2])
    assert len(products) == 2
    assert float(errors.max()) < 1e-12


def test_fewer_weights_than_eigenvalues_leave_the_rest_open():
    checkpoint = checkpoint_of(MLPSpec(hidden=(1,), combine="sum", act_fn="relu"), fraction=0.5)
    found = hessian_eigenvalues(checkpoint, eigenvalues=12)
    expected = torch.linalg.eigvalsh(dense_hessian(checkpoint)).flip(0)
    close(found.hessian_eigenvalue[0], expected[0])
    assert bool(found.hessian_eigenvalue[10:].isnan().all())


# --- sharpness -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*TINY_SPECS, "recursive"])
@pytest.mark.parametrize("loss", LOSSES)
def test_sharpness_is_a_rise_that_exists(name, loss):
    """It grows with the box, and nothing a random search of corners finds is above twice as high."""
    checkpoint = checkpoint_of(TINY_SPECS.get(name, RECURSIVE), loss=loss)
    before = {name: value.clone() for name, value in checkpoint.parameters.items()}
    small, large = sharpness(checkpoint), sharpness(checkpoint, box=1e-2)
    assert 0 < float(small.sharpness) < float(large.sharpness)
    surface = LossSurface(checkpoint, "test")
    base, _ = surface.loss_and_gradient(surface.start)
    close(small.sharpness_relative, small.sharpness / (1 + base))
    reach = 1e-3 * (surface.start.abs() + 1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        sign = 2 * torch.randint(2, reach.shape, generator=generator) - 1
        loss_there, _ = surface.loss_and_gradient(surface.start + sign * reach)
        assert float(loss_there - base) <= float(small.sharpness) * (1 + 1e-9)
    assert all(torch.equal(before[name], value) for name, value in checkpoint.parameters.items())


def test_climbing_a_convex_function_finds_its_highest_corner():
    """The highest corner of a box for Σ h (w - c)² is known, also if the start is the minimum."""
    random = torch.Generator().manual_seed(3)
    h, c = torch.rand(6, generator=random).double() + 0.1, torch.randn(6, generator=random).double()
    reach = torch.rand(6, generator=random).double()

    def loss_and_gradient(w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return (h * (w - c).square()).sum(), 2 * h * (w - c)

    for start in (torch.zeros(6).double(), c):
        first, highest = climb(loss_and_gradient, start, reach, 4)
        corners = [start + torch.tensor(signs) * reach for signs in itertools.product([-1.0, 1.0], repeat=6)]
        close(first, loss_and_gradient(start)[0])
        close(highest, max(float(loss_and_gradient(corner)[0]) for corner in corners))


# --- the line --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*TINY_SPECS, "recursive"])
def test_the_line_goes_from_here_to_there(name):
    here, there = (checkpoint_of(TINY_SPECS.get(name, RECURSIVE), seed=seed) for seed in (0, 1))
    found = loss_line(here, final_weights={name: value.float() for name, value in there.parameters.items()})
    problem = here.problem
    for at, end in ((0, here), (-1, there)):
        close(found.line_train_loss[at], end.losses[problem.is_train].mean(), rtol=1e-5)
        close(found.line_test_loss[at], end.losses[problem.is_test].mean(), rtol=1e-5)
    middle = {name: (value + there.parameters[name]) / 2 for name, value in here.parameters.items()}
    surface = LossSurface(here, "test")
    close(found.line_train_loss[5], surface.loss_and_gradient(surface.vector(middle))[0], rtol=1e-5)
    train = found.line_train_loss.numpy()
    above = [loss - ((1 - f) * train[0] + f * train[-1]) for f, loss in zip(FRACTIONS, train, strict=True)]
    close(found.line_barrier, max(above))


def test_the_way_to_itself_is_flat():
    checkpoint = checkpoint_of(TINY_SPECS["mlp"], fraction=1.0)
    found = loss_line(checkpoint, final_weights=checkpoint.parameters)
    close(found.line_train_loss, [float(checkpoint.losses.mean())] * len(FRACTIONS))
    close(found.line_barrier, 0)
    assert bool(found.line_test_loss.isnan().all())


def test_batches_change_no_number():
    checkpoint = checkpoint_of(TINY_SPECS["transformer"])
    whole, parts = LossSurface(checkpoint, "test"), LossSurface(checkpoint, "test", at_once=4)
    assert (len(whole.batches()), len(parts.batches()) > 3) == (1, True)
    for part, all_at_once in zip(of_surface(parts), of_surface(whole), strict=True):
        close(part, all_at_once)


def of_surface(surface: LossSurface) -> list[torch.Tensor]:
    """Loss, gradient and a product with the Hessian."""
    vector = torch.ones_like(surface.start)
    return [*surface.loss_and_gradient(surface.start), surface.hessian_product(vector)]


@pytest.mark.parametrize("analysis", [hessian_eigenvalues, sharpness, loss_line], ids=lambda f: f.__name__)
def test_without_a_known_split_there_is_no_training_loss(analysis):
    checkpoint = checkpoint_of(TINY_SPECS["mlp"], fraction=0.0)
    arguments = {"final_weights": checkpoint.parameters} if analysis is loss_line else {}
    with pytest.raises(NotDefined, match=f"{analysis.__name__} is not defined here: the training examples"):
        analysis(checkpoint, **arguments)


def test_a_gradient_that_stops_on_its_way_has_no_hessian():
    with pytest.raises(NotDefined, match="no gradient flows between supervision steps"):
        hessian_eigenvalues(checkpoint_of(RECURSIVE))
