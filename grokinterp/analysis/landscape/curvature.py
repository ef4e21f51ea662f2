"""The training loss around a checkpoint's weights: its curvature, its sharpness, and the line to the final weights."""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import functional_call

from grokinterp.errors import NotDefined
from grokinterp.experiment.problem import Part
from grokinterp.losses import exact, example_losses
from grokinterp.models import Readout, ReadoutInputs, ReadoutProgram, in_program
from grokinterp.runs.checkpoint import Checkpoint

BATCH = 512
"""Examples that are differentiated, once or twice, at a time."""

EIGENVALUES = 3
"""Of the Hessian, the largest."""

ITERATIONS, TOLERANCE = 40, 0.01
"""Hessian-vector products of Lanczos's method at most, and the error, as a share of the largest value, that ends it."""

ASCENTS = 6
"""Corners of the box that sharpness climbs to."""

BOX = 1e-3
"""How far sharpness moves a weight w: by at most this, times |w| + 1."""

FRACTIONS = tuple(i / 10 for i in range(11))
"""Of the way from a checkpoint's weights to the final ones."""

AXES = {
    "rank_of_hessian": lambda setting: range(1, setting.arguments.get("eigenvalues", EIGENVALUES) + 1),
    "fraction": FRACTIONS,
}


class HessianEigenvalues(NamedTuple):
    """How curved the training loss is.

    hessian_eigenvalue: largest eigenvalues of the Hessian of the training loss [nats]
    hessian_eigenvalue_error: how far the next true eigenvalue may be, at most [nats]
    hessian_eigenvalue_smallest: smallest, or most negative, eigenvalue found [nats]
    """

    hessian_eigenvalue: Float[Tensor, "rank_of_hessian"]
    hessian_eigenvalue_error: Float[Tensor, "rank_of_hessian"]
    hessian_eigenvalue_smallest: Float[Tensor, ""]


class Sharpness(NamedTuple):
    """How much the training loss rises when every weight may change a little.

    sharpness: largest rise of the training loss found in a small box around the weights [nats]
    sharpness_relative: that rise, divided by one plus the training loss [1]
    """

    sharpness: Float[Tensor, ""]
    sharpness_relative: Float[Tensor, ""]


class LossLine(NamedTuple):
    """The losses on the straight line to the final checkpoint.

    line_train_loss: mean loss of the training examples at that fraction of the way to the final weights [nats]
    line_test_loss: mean loss of the test examples at that fraction of the way to the final weights [nats]
    line_barrier: how far the training loss rises above the line between its values at both ends [nats]
    """

    line_train_loss: Float[Tensor, "fraction"]
    line_test_loss: Float[Tensor, "fraction"]
    line_barrier: Float[Tensor, ""]


@final
class LossSurface:
    """The loss a run is trained with, as a function of all its weights in one vector.

    Args:
        checkpoint: whose weights are the vector ``start``; its model is not changed.
        analysis: who asks.
        dtype: single precision takes half the time, in a copy of the model.
        at_once: examples that are differentiated at a time, or as many as the memory can hold.

    Raises:
        NotDefined: the training examples are unknown.
    """

    def __init__(
        self, checkpoint: Checkpoint, analysis: str, *, dtype: torch.dtype = torch.float64, at_once: int = BATCH
    ) -> None:
        if "train" not in checkpoint.problem.parts:
            raise NotDefined(analysis, "the training examples are unknown")
        model = checkpoint.model if dtype == torch.float64 else copy.deepcopy(checkpoint.model).to(dtype)
        self.problem, self.program, self.dtype = checkpoint.problem, ReadoutProgram(model), dtype
        self.at_once = at_once
        self.shapes = {name: value.shape for name, value in checkpoint.parameters.items()}
        self.start = self.vector(checkpoint.parameters)
        self.n_train = len(self.problem.parts["train"].labels)

    @property
    def batch(self) -> int:
        """Examples that are differentiated at a time."""
        return min(self.at_once, self.most_at_once)

    @property
    def most_at_once(self) -> int:
        """Examples that the memory can hold the activations of."""
        return self.program.model.examples_at_once

    @property
    def vectorizes(self) -> bool:
        """Whether ``losses`` run under vmap."""
        return self.program.model.vectorizes

    def vector(self, parameters: Mapping[str, Tensor]) -> Float[Tensor, "weight"]:
        """All parameters in one vector."""
        device = self.problem.tokens.device
        return torch.cat([parameters[name].flatten().to(device, self.dtype) for name in self.shapes])

    def indices(self, names: Iterable[str]) -> Int[Tensor, "chosen"]:
        """Where some parameters are in that vector."""
        sizes = [shape.numel() for shape in self.shapes.values()]
        place = dict(zip(self.shapes, torch.arange(sum(sizes), device=self.start.device).split(sizes), strict=True))
        return torch.cat([place[name] for name in names])

    def losses(
        self, weights: Float[Tensor, "weight"], inputs: ReadoutInputs, labels: Int[Tensor, "example"]
    ) -> Float[Tensor, "example"]:
        """Of some examples, at other weights."""
        parts = weights.split([shape.numel() for shape in self.shapes.values()])
        named = {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}
        readout: Readout = functional_call(self.program, in_program(self.program.model, named), (inputs,))
        return example_losses(readout.logits, labels, form=exact(self.problem.loss), supervised=readout.supervised)

    def train_losses(
        self, weights: Float[Tensor, "weight"], examples: Int[Tensor, "chosen"]
    ) -> Float[Tensor, "chosen"]:
        """Of some of the training examples, counted among themselves."""
        inputs, labels, _ = self.problem.parts["train"]
        return self.losses(weights, inputs.at(examples), labels[examples])

    def mean(self, weights: Float[Tensor, "weight"], part: Part) -> Float[Tensor, ""]:
        """Return the mean loss of a part of the examples, in batches and without gradient."""
        inputs, labels, _ = part
        with torch.no_grad():
            batches = torch.arange(len(labels), device=labels.device).split(self.batch)
            return torch.cat([self.losses(weights, inputs.at(batch), labels[batch]) for batch in batches]).mean()

    def batches(self) -> list[Int[Tensor, "chosen"]]:
        """The training examples in turn, few enough at a time for the memory of a backward pass."""
        return list(torch.arange(self.n_train, device=self.start.device).split(self.batch))

    def loss_and_gradient(self, weights: Float[Tensor, "weight"]) -> tuple[Tensor, Float[Tensor, "weight"]]:
        """Mean training loss, and its gradient."""
        weights = weights.detach().requires_grad_()
        loss, gradient = torch.zeros_like(weights[0]).detach(), torch.zeros_like(weights).detach()
        for batch in self.batches():
            part = self.train_losses(weights, batch).sum() / self.n_train
            gradient += torch.autograd.grad(part, weights)[0]
            loss += part.detach()
        return loss, gradient

    def hessian_product(self, vector: Float[Tensor, "weight"]) -> Float[Tensor, "weight"]:
        """The Hessian of the mean training loss at ``start``, times a vector: the gradient of ⟨gradient, vector⟩."""
        weights, product = self.start.detach().requires_grad_(), torch.zeros_like(vector)
        for batch in self.batches():
            part = self.train_losses(weights, batch).sum() / self.n_train
            gradient = torch.autograd.grad(part, weights, create_graph=True)[0]
            product += torch.autograd.grad(gradient @ vector, weights)[0]
        return product


def require_true_gradient(checkpoint: Checkpoint, analysis: str) -> None:
    """Raise NotDefined for a model whose backward pass does not give the gradient of its loss."""
    if not checkpoint.model.has_true_gradient:
        raise NotDefined(analysis, "no gradient flows between supervision steps, so that it is not that of the loss")


def hessian_eigenvalues(
    checkpoint: Checkpoint,
    *,
    eigenvalues: int = EIGENVALUES,
    iterations: int = ITERATIONS,
    tolerance: float = TOLERANCE,
) -> HessianEigenvalues:
    """Return the largest eigenvalues of the Hessian H = ∂²L/∂θ² of the mean training loss L, and the smallest found.

    Lanczos: products Hv, by two backward passes over all training examples each, from a random vector, the same for
    every checkpoint, with full reorthogonalization, until the largest values' errors are below 1 % of the largest or
    ``iterations`` are done. Each value found lies within its error ‖Hv - λv‖ of a true eigenvalue, which need
    not be the next largest; of a multiple one Lanczos finds one copy. NaN beyond the number of weights. A positive
    largest and a clearly negative smallest value say that the weights are at no minimum.

    Args:
        checkpoint: of any run.
        eigenvalues: how many, the largest first.
        iterations: products at most.
        tolerance: 0.01 for the 1 %.

    Source: Lanczos 1950; Ghorbani et al. 2019 (full reorthogonalization in neural networks).

    Raises:
        NotDefined: the training examples are unknown; a recursive model whose gradient stops on its way.
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
    """Eigenvalues, ascending, of a symmetric matrix A known by its products, and their errors' bounds ‖Av - λv‖.

    A acts on vectors ``like`` this one. It ends early once the errors of the ``enough`` largest are below
    ``tolerance`` times the largest.

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
        for _ in range(2):  # once leaves rounding errors, twice is enough (Kahan)
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
    """Eigenvalues of the tridiagonal matrix that Lanczos has found so far, and the bounds of their errors."""
    off = beside[:-1]
    values, vectors = torch.linalg.eigh(torch.diag(diagonal) + torch.diag(off, 1) + torch.diag(off, -1))
    return values, beside[-1] * vectors[-1].abs()


def sharpness(checkpoint: Checkpoint, *, box: float = BOX, ascents: int = ASCENTS) -> Sharpness:
    """Return the largest rise found of the mean training loss L in a small box around the weights.

    The rise is max_v L(θ + v) - L(θ) over the box |v_i| ≤ ε (|θ_i| + 1), ε = ``box``.

    Keskar et al.'s box and number (which they give in percent), not SAM's ball. The maximum is sought from corner to
    corner: v ← ε (|θ| + 1) sign ∇L(θ + v), which never descends where L is convex; the highest of
    ``ascents`` corners counts, and 0 where all are lower. So it is a lower bound of the maximum.

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
    """The loss at the start, and the highest found in the box around it; a component without slope counts as rising."""
    first, gradient = loss_and_gradient(start)
    highest = first
    for _ in range(ascents):
        corner = start + torch.where(gradient >= 0, reach, -reach)
        loss, gradient = loss_and_gradient(corner)
        highest = torch.maximum(highest, loss)
    return first, highest


def loss_line(checkpoint: Checkpoint, *, final_weights: Mapping[str, Tensor]) -> LossLine:
    """Return training and test loss on the straight line to the final weights, and the barrier on it.

    The losses are those at θ + f (θ_final - θ), f = 0, 0.1, …, 1.

    Barrier: max_f L(f) - [(1 - f) L(0) + f L(1)] of the training loss, at least 0. The test loss is NaN
    without test examples.

    Args:
        checkpoint: at f = 0.
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
