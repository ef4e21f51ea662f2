"""Similarity of the representations of the classes at any hook: cosines, centroids, and separation."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.analysis.inside.class_cosine import cosines_of, over_pairs, sum_by_class, unit_sums
from grokinterp.analysis.structure.logit_map import require_few_classes
from grokinterp.runs.checkpoint import Checkpoint

ROUNDING = 1e-10
"""A difference of vectors below this share of their length counts as zero."""


class ClassSimilarity(NamedTuple):
    """Separation of the classes in the representation at each hook.

    class_cosine_within_at: mean over the classes of the mean cosine between two different examples of the class [1]
    class_cosine_between_at: mean cosine between two examples of different classes [1]
    class_separation_at: share of the representation's variance that is between the classes [1]
    """

    class_cosine_within_at: Float[Tensor, "hook"]
    class_cosine_between_at: Float[Tensor, "hook"]
    class_separation_at: Float[Tensor, "hook"]


class ClassMatrix(NamedTuple):
    """Similarity of the representations of every pair of classes.

    class_cosine_matrix: mean cosine between an example of the class and an example of the other class [1]
    centroid_cosine: cosine between two class means after subtracting the mean of all class means [1]
    centroid_norm: distance of the class mean from the mean of all class means [1]
    """

    class_cosine_matrix: Float[Tensor, "class other_class"]
    centroid_cosine: Float[Tensor, "class other_class"]
    centroid_norm: Float[Tensor, "class"]


def class_similarity(checkpoint: Checkpoint, *, hooks: Sequence[str] | None = None) -> ClassSimilarity:
    """Return cosines within and between classes, and the separation of the classes, at every hook.

    The cosines are defined as in ``class_cosine``. With x_i the vectors [example, feature], μ their mean, μ_c the mean
    of class c, and n_c its number of examples, the separation is Σ_c n_c ‖μ_c - μ‖² / Σ_i ‖x_i - μ‖²: 0 if all classes
    have the same mean, 1 if every class is a single point. For randomly assigned classes it is (C - 1) / (n - 1) on
    average. It is NaN if all examples coincide.

    Args:
        checkpoint: a checkpoint of any task and model.
        hooks: names of hooks (default: ``model.feature_hooks``).

    Source: docs/formulas.md, Geometry (mean cosine by sums); Papyan et al. 2020 (variability within and between
    classes).

    Raises:
        KeyError: no hook of that name, or one that has no vector at a position.
    """
    labels, classes = checkpoint.problem.label, checkpoint.problem.task.n_classes
    found = checkpoint.features(*(hooks or checkpoint.model.feature_hooks))
    cosines = [cosines_of(x, labels, classes) for x in found]
    return ClassSimilarity(
        class_cosine_within_at=torch.stack([each.class_cosine_within_mean for each in cosines]),
        class_cosine_between_at=torch.stack([each.class_cosine_between for each in cosines]),
        class_separation_at=torch.stack([separation(x, labels, classes) for x in found]),
    )


def class_matrix(checkpoint: Checkpoint, *, hook: str | None = None) -> ClassMatrix:
    """Return the mean cosine between the examples of every pair of classes, and the geometry of the class means.

    With x̂ the vectors at unit length and S_c their sum over class c, the mean cosine of classes c ≠ d is
    S_c·S_d / (n_c n_d). On the diagonal, pairs of an example with itself are excluded, as in ``class_cosine``. The
    centroids are m_c = μ_c - mean_c μ_c, with equal weight for every class; classes that are equally well separated
    have centroid cosines of -1 / (C - 1). Values are NaN for classes without examples and for the direction of a
    centroid that equals the mean.

    Args:
        checkpoint: a checkpoint of any task and model.
        hook: name of a hook (default: as in ``class_cosine``, the vector from which the answer is computed).

    Source: docs/formulas.md, Geometry (mean cosine by sums); Papyan et al. 2020 (simplex of class means).

    Raises:
        KeyError: no hook of that name, or one that has no vector at a position.
    """
    labels, classes = checkpoint.problem.label, checkpoint.problem.task.n_classes
    require_few_classes(checkpoint, "class_matrix")
    x = checkpoint.representation.double() if hook is None else checkpoint.features(hook)[0]
    total, nonzero, n = unit_sums(x, labels, classes)
    cosines = over_pairs(total @ total.mT - nonzero.diag(), n[:, None] * n - n.diag())
    return ClassMatrix(cosines, *centroids(class_means(x, labels, classes)))


def centroids(
    means: Float[Tensor, "class feature"],
) -> tuple[Float[Tensor, "class other_class"], Float[Tensor, "class"]]:
    """Return the cosines and lengths of the class means, centered at their own mean.

    >>> centroids(torch.tensor([[3.0, 0.0], [-1.0, 0.0], [1.0, 0.0]]))
    (tensor([[ 1., -1., nan],
            [-1.,  1., nan],
            [nan, nan, nan]]), tensor([2., 2., 0.]))
    """
    centered = means - means.nanmean(0)
    norm = torch.linalg.vector_norm(centered, dim=-1)
    unit = centered / torch.where(norm > ROUNDING * torch.linalg.vector_norm(means, dim=-1), norm, torch.nan)[:, None]
    return unit @ unit.mT, norm


def class_means(
    x: Float[Tensor, "example feature"], labels: Int[Tensor, "example"], classes: int
) -> Float[Tensor, "class feature"]:
    """Return the mean vector of every class; NaN for a class without examples."""
    n = labels.bincount(minlength=classes).to(x.dtype)
    return sum_by_class(x, torch.ones_like(x[:, 0]), labels, classes) / n[:, None]


def separation(x: Float[Tensor, "example feature"], labels: Int[Tensor, "example"], classes: int) -> Float[Tensor, ""]:
    """Return the share of the variance that is between the classes.

    >>> separation(torch.tensor([[0.0], [2.0], [4.0], [6.0]]), torch.tensor([0, 0, 1, 1]), 2)
    tensor(0.8000)
    """
    centered = x - x.mean(0)
    total, n = centered.square().sum(), labels.bincount(minlength=classes)
    between = n * class_means(centered, labels, classes).square().sum(-1)
    varies = total > ROUNDING**2 * x.square().sum()
    return torch.where(varies, between.nansum() / total, torch.nan)
