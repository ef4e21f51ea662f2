"""Cosine similarity of representations within and between classes."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.runs.checkpoint import Checkpoint

ROWS = 1024  # examples at a time, so that intermediate results stay in the processor's cache


class ClassCosine(NamedTuple):
    """Mean cosine similarity of penultimate representations, within and between classes.

    class_cosine_within: mean cosine between two different examples of the class [1]
    class_cosine_within_mean: mean over the classes of the cosine within a class [1]
    class_cosine_between: mean cosine between two examples of different classes [1]
    """

    class_cosine_within: Float[Tensor, "class"]
    class_cosine_within_mean: Float[Tensor, ""]
    class_cosine_between: Float[Tensor, ""]


def class_cosine(checkpoint: Checkpoint) -> ClassCosine:
    """Return the mean cosine of the vectors that the unembedding reads, within and between classes.

    Let x̂ be the representation ``residual [example, d_model]`` at unit length, S_c = Σ_{i in c} x̂_i, and
    q_c = Σ_{i in c} ‖x̂_i‖² (the number of nonzero vectors in class c). The mean over the n_c (n_c - 1) ordered pairs
    of a class is (‖S_c‖² - q_c) / (n_c (n_c - 1)), and the mean over pairs from different classes is
    (‖Σ_c S_c‖² - Σ_c ‖S_c‖²) / (n² - Σ_c n_c²). A value of 1 within classes means that examples of the same class have
    parallel representations. The cosine with a zero vector counts as 0. A class with fewer than two examples has no
    pair; its value is NaN and excluded from the mean.

    Source: docs/formulas.md, Geometry (mean cosine by sums); Papyan et al. 2020 (class means).
    """
    labels, classes = checkpoint.problem.label, checkpoint.logits.shape[-1]
    return cosines_of(checkpoint.representation.double(), labels, classes)


def cosines_of(x: Float[Tensor, "example feature"], labels: Int[Tensor, "example"], classes: int) -> ClassCosine:
    """Return the ``class_cosine`` of arbitrary vectors."""
    total, nonzero, n = unit_sums(x, labels, classes)
    squares = total.square().sum(-1)
    within = over_pairs(squares - nonzero, n * (n - 1))
    between = over_pairs(total.sum(0).square().sum() - squares.sum(), n.sum().square() - n.square().sum())
    return ClassCosine(within, within[n > 1].mean(), between)


def unit_sums(
    x: Float[Tensor, "example feature"], labels: Int[Tensor, "example"], classes: int
) -> tuple[Float[Tensor, "class feature"], Float[Tensor, "class"], Float[Tensor, "class"]]:
    """Return for every class the sum of its unit vectors, the number of nonzero vectors, and the number of vectors."""
    norm = torch.linalg.vector_norm(x, dim=-1)
    n = labels.bincount(minlength=classes).to(x.dtype)
    nonzero = norm.new_zeros(classes).index_add(0, labels, (norm > 0).to(x.dtype))
    return sum_by_class(x, 1 / torch.where(norm > 0, norm, torch.inf), labels, classes), nonzero, n


def over_pairs(total: Float[Tensor, "*class"], pairs: Float[Tensor, "*class"]) -> Float[Tensor, "*class"]:
    """Return a sum of cosines divided by the number of pairs; NaN without pairs, regardless of rounding in the sum."""
    return torch.where(pairs > 0, total / pairs, torch.nan)


def sum_by_class(
    x: Float[Tensor, "example feature"], weight: Float[Tensor, "example"], labels: Int[Tensor, "example"], classes: int
) -> Float[Tensor, "class feature"]:
    """Return the weighted sum of the rows of each class.

    >>> sum_by_class(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([1.0, 0.5, 0.5]), torch.tensor([1, 0, 1]), 2)
    tensor([[1.],
            [3.]])
    """
    total = x.new_zeros(classes, x.shape[-1])
    for rows, factor, label in zip(x.split(ROWS), weight.split(ROWS), labels.split(ROWS), strict=True):
        total = total.index_add(0, label, rows * factor.unsqueeze(-1))
    return total
