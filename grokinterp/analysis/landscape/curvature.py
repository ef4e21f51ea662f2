"""The training loss around the weights of a checkpoint: curvature, sharpness, and the line to the final weights."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.analysis.landscape.loss_surface import LossSurface, require_true_gradient
from grokinterp.runs.checkpoint import Checkpoint

EIGENVALUES = 3
"""Number of largest eigenvalues of the Hessian."""

ITERATIONS, TOLERANCE = 40, 0.01
"""Largest number of Hessian-vector products in the Lanczos method, and its tolerance relative to the largest value."""

ASCENTS = 6
"""Number of corners of the box in the search for sharpness."""

BOX = 1e-3
"""Size of the box for sharpness: a weight w changes by at most this times |w| + 1."""

FRACTIONS = tuple(i / 10 for i in range(11))
"""Fractions of the line from the weights of a checkpoint to the final weights."""

AXES = {
    "rank_of_hessian": lambda setting: range(1, setting.arguments.get("eigenvalues", EIGENVALUES) + 1),
    "fraction": FRACTIONS,
}


class HessianEigenvalues(NamedTuple):
    """Curvature of the training loss.

    hessian_eigenvalue: largest eigenvalues of the Hessian of the training loss [nats]
    hessian_eigenvalue_error: largest possible distance to the nearest true eigenvalue [nats]
    hessian_eigenvalue_smallest: smallest, or most negative, eigenvalue found [nats]
    """

    hessian_eigenvalue: Float[Tensor, "rank_of_hessian"]
    hessian_eigenvalue_error: Float[Tensor, "rank_of_hessian"]
    hessian_eigenvalue_smallest: Float[Tensor, ""]


class Sharpness(NamedTuple):
    """Increase of the training loss under small changes of every weight.

    sharpness: largest increase of the training loss found in a small box around the weights [nats]
    sharpness_relative: largest increase found, divided by one plus the training loss [1]
    """

    sharpness: Float[Tensor, ""]
    sharpness_relative: Float[Tensor, ""]


class LossLine(NamedTuple):
    """The losses on the straight line to the final checkpoint.

    line_train_loss: mean loss of the training examples at the fraction of the line to the final weights [nats]
    line_test_loss: mean loss of the test examples at the fraction of the line to the final weights [nats]
    line_barrier: largest excess of the training loss over the linear interpolation between its endpoints [nats]
    """

    line_train_loss: Float[Tensor, "fraction"]
    line_test_loss: Float[Tensor, "fraction"]
    line_barrier: Float[Tensor, ""]


def hessian_eigenvalues(
    checkpoint: Checkpoint,
    *,
    eigenvalues: int = EIGENVALUES,
    iterations: int = ITERATIONS,
    tolerance: float = TOLERANCE,
) -> HessianEigenvalues:
    """Return the largest eigenvalues of the Hessian H = ∂²L/∂θ² of the mean training loss L, and the smallest found.

    Large eigenvalues mean a sharply curved loss. If the largest value is positive and the smallest is clearly negative,
    the weights are not at a minimum.

    The Lanczos method uses products Hv, each by two backward passes over all training examples, from a random initial
    vector, the same for every checkpoint, with full reorthogonalization, until the errors of the largest values are
    below 1 % of the largest value or ``iterations`` products are computed. Each value is within its error ‖Hv - λv‖ of
    a true eigenvalue, which need not be the next largest; Lanczos finds a multiple eigenvalue only once. NaN beyond the
    number of weights.

    Args:
        checkpoint: a checkpoint of any run.
        eigenvalues: number of eigenvalues, largest first.
        iterations: largest number of products.
        tolerance: largest relative error at which the iteration stops, 0.01 for 1 %.

    Source: Lanczos 1950; Ghorbani et al. 2019 (full reorthogonalization in neural networks).

    Raises:
        NotDefined: the training examples are unknown, or the gradient stops between the steps of a recursive model.
    """
    require_true_gradient(checkpoint, "hessian_eigenvalues")
    surface = LossSurface(checkpoint, "hessian_eigenvalues")
    values, errors = lanczos(
        surface.hessian_product, surface.start, iterations, enough=eigenvalues, tolerance=tolerance
    )
    top = torch.full((2, eigenvalues), torch.nan, dtype=torch.float64, device=values.device)
    found = torch.stack([values, errors]).flip(1)[:, :eigenvalues]
    top[:, : found.shape[1]] = found
    return HessianEigenvalues(top[0], top[1], values[0])


def lanczos(
    product: Callable[[Tensor], Tensor],
    like: Float[Tensor, "size"],
    iterations: int,
    *,
    enough: int = 1,
    tolerance: float = 0.0,
) -> tuple[Float[Tensor, "value"], Float[Tensor, "value"]]:
    """Return ascending eigenvalues of a symmetric matrix A, given by its products, and error bounds ‖Av - λv‖.

    A acts on vectors ``like`` the given vector. The iteration stops early if the errors of the ``enough`` largest
    values are below ``tolerance`` times the largest value.

    >>> values, errors = lanczos(lambda v: torch.tensor([3.0, 1.0]).double() * v, torch.zeros(2).double(), 30)
    >>> values.round(decimals=9).tolist(), bool(errors.max() < 1e-9)
    ([1.0, 3.0], True)
    """
    drawn = torch.randn(len(like), dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(like.device)
    basis, diagonal, beside, scale = [drawn / drawn.norm()], [], [], 0.0
    values = errors = drawn[:0]
    for _ in range(min(len(like), iterations)):
        v = product(basis[-1])
        diagonal.append(v @ basis[-1])
        known = torch.stack(basis)
        for _ in range(2):  # one pass leaves rounding errors; two passes suffice (Kahan)
            v = v - known.mT @ (known @ v)
        beside.append(v.norm())
        scale = max(scale, float(diagonal[-1].abs() + beside[-1]))
        values, errors = ritz_values(torch.stack(diagonal), torch.stack(beside))
        if beside[-1] <= 1e-13 * scale:  # an invariant subspace: its eigenvalues are exact
            break
        if len(values) > enough and bool((errors[-enough:] < tolerance * values.abs().amax()).all()):
            break
        basis.append(v / beside[-1])
    return values, errors


def ritz_values(
    diagonal: Float[Tensor, "value"], beside: Float[Tensor, "value"]
) -> tuple[Float[Tensor, "value"], Float[Tensor, "value"]]:
    """Return the eigenvalues of the current Lanczos tridiagonal matrix, and bounds of their errors."""
    off = beside[:-1]
    values, vectors = torch.linalg.eigh(torch.diag(diagonal) + torch.diag(off, 1) + torch.diag(off, -1))
    return values, beside[-1] * vectors[-1].abs()


def sharpness(checkpoint: Checkpoint, *, box: float = BOX, ascents: int = ASCENTS) -> Sharpness:
    """Return the largest increase found of the mean training loss L in a small box around the weights.

    The sharpness is max_v L(θ + v) - L(θ) over the box |v_i| ≤ ε (|θ_i| + 1), ε = ``box``: near 0 at a flat minimum,
    large at a sharp minimum. The relative sharpness divides it by 1 + L(θ). Box and ratio are those of Keskar et al.
    (who state percent), not the ball of SAM. The search moves from corner to corner, v ← ε (|θ| + 1) sign ∇L(θ + v),
    which never decreases a convex L. The highest of ``ascents`` corners counts, or 0 if all are lower, so the result is
    a lower bound of the maximum.

    Source: Keskar et al. 2016, §2.2 (box, ratio); Journée et al. 2010 (generalized power method).

    Raises:
        NotDefined: the training examples are unknown.
    """
    surface = LossSurface(checkpoint, "sharpness")
    reach = box * (surface.start.abs() + 1)
    loss, highest = climb(surface.loss_and_gradient, surface.start, reach, ascents)
    return Sharpness(highest - loss, (highest - loss) / (1 + loss))


def climb(
    loss_and_gradient: Callable[[Tensor], tuple[Tensor, Tensor]],
    start: Float[Tensor, "weight"],
    reach: Float[Tensor, "weight"],
    ascents: int,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return the loss at the start and the highest loss found in the box; components with zero gradient move up."""
    first, gradient = loss_and_gradient(start)
    highest = first
    for _ in range(ascents):
        corner = start + torch.where(gradient >= 0, reach, -reach)
        loss, gradient = loss_and_gradient(corner)
        highest = torch.maximum(highest, loss)
    return first, highest


def loss_line(checkpoint: Checkpoint, *, final_weights: Mapping[str, Tensor]) -> LossLine:
    """Return training and test loss on the straight line to the final weights, and the barrier on it.

    The losses L(f) are those at θ + f (θ_final - θ), f = 0, 0.1, …, 1. The barrier is
    max_f L(f) - [(1 - f) L(0) + f L(1)] of the training loss, at least 0: it is 0 if the loss never exceeds the linear
    interpolation between its endpoints. The test loss is NaN without test examples.

    Args:
        checkpoint: the checkpoint at f = 0.
        final_weights: all parameters of the final checkpoint, by name.

    Source: Goodfellow et al. 2015 (the line); Frankle et al. 2020 (barrier).

    Raises:
        NotDefined: the training examples are unknown.
    """
    surface, parts = LossSurface(checkpoint, "loss_line"), checkpoint.problem.parts
    end = surface.vector(final_weights)
    points = [surface.start.lerp(end, fraction) for fraction in FRACTIONS]
    train = torch.stack([surface.mean(point, parts["train"]) for point in points])
    if "test" in parts:
        test = torch.stack([surface.mean(point, parts["test"]) for point in points])
    else:
        test = torch.full_like(train, torch.nan)
    fraction = torch.tensor(FRACTIONS, dtype=train.dtype, device=train.device)
    chord = train[0].lerp(train[-1], fraction)
    return LossLine(train, test, (train - chord).amax())
