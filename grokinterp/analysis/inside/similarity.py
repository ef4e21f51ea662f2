"""How alike the representations of the classes are, at any hook: cosines, centroids, separation."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.analysis.inside.class_cosine import cosines_of, over_pairs, sum_by_class, unit_sums
from grokinterp.analysis.structure.logit_map import require_few_classes
from grokinterp.runs.checkpoint import Checkpoint

ROUNDING = 1e-10
"""A length below this share of those it is the difference of is none."""


class ClassSimilarity(NamedTuple):
    """How far the representation at each hook tells the classes apart.

    class_cosine_within_at: mean over the classes of the mean cosine between two different examples of the class [1]
    class_cosine_between_at: mean cosine between two examples of different classes [1]
    class_separation_at: share of the representation's variance that lies between the classes [1]
    """

    class_cosine_within_at: Float[Tensor, "hook"]
    class_cosine_between_at: Float[Tensor, "hook"]
    class_separation_at: Float[Tensor, "hook"]


class ClassMatrix(NamedTuple):
    """How alike the representations of every two classes are.

    class_cosine_matrix: mean cosine between an example of the class and one of the other [1]
    centroid_cosine: cosine between the two classes' means after subtracting the mean of all classes' means [1]
    centroid_norm: distance of the class's mean from the mean of all classes' means [1]
    """

    class_cosine_matrix: Float[Tensor, "class other_class"]
    centroid_cosine: Float[Tensor, "class other_class"]
    centroid_norm: Float[Tensor, "class"]


def class_similarity(checkpoint: Checkpoint, *, hooks: Sequence[str] | None = None) -> ClassSimilarity:
    """Return cosines within and between classes, and the separation of the classes, at every hook.

    The cosines are those of ``class_cosine``. With x_i the vectors [example, feature], μ their mean, μ_c that of
    class c and n_c its examples, the separation is Σ_c n_c ‖μ_c - μ‖² / Σ_i ‖x_i - μ‖²: 0 where all classes have one
    mean, 1 where a class is one point. Classes that mean nothing have (C - 1) / (n - 1) on average. NaN where all
    examples are one point.

    Args:
        checkpoint: of any task and model.
        hooks: where to look (default: ``model.feature_hooks``).

    Source: docs/formulas.md, Geometry (mean cosine by sums); Papyan et al. 2020 (variability within and between
    classes).

    Raises:
        KeyError: no hook of that name, or one that has no vector at a position.
    """
    labels, classes = checkpoint.problem.labels, checkpoint.problem.task.n_classes
    found = checkpoint.features(*(hooks or checkpoint.model.feature_hooks))
    cosines = [cosines_of(x, labels, classes) for x in found]
    return ClassSimilarity(
        class_cosine_within_at=torch.stack([each.class_cosine_within_mean for each in cosines]),
        class_cosine_between_at=torch.stack([each.class_cosine_between for each in cosines]),
        class_separation_at=torch.stack([separation(x, labels, classes) for x in found]),
    )


def class_matrix(checkpoint: Checkpoint, *, hook: str | None = None) -> ClassMatrix:
    """Return the mean cosine between the examples of every two classes, and the geometry of the classes' means.

    With x̂ the vectors at unit length and S_c their sum over class c, that of classes c ≠ d is S_c·S_d / (n_c n_d);
    that of c and itself leaves out the pairs of an example with itself: it is the cosine within of ``class_cosine``.
    Centroids are m_c = μ_c - mean_c μ_c, every class counting alike: classes that are told apart equally well have
    cosine -1 / (C - 1). NaN for classes without examples, and for the direction of a centroid that is the mean.

    Args:
        checkpoint: of any task and model.
        hook: where to look (default: what ``class_cosine`` does, the vector that the answer is computed from).

    Source: docs/formulas.md, Geometry (mean cosine by sums); Papyan et al. 2020 (simplex of class means).

    Raises:
        KeyError: no hook of that name, or one that has no vector at a position.
    """
    labels, classes = checkpoint.problem.labels, checkpoint.problem.task.n_classes
    require_few_classes(checkpoint, "class_matrix")
    x = checkpoint.representation.double() if hook is None else checkpoint.features(hook)[0]
    total, nonzero, n = unit_sums(x, labels, classes)
    cosines = over_pairs(total @ total.mT - nonzero.diag(), n[:, None] * n - n.diag())
    return ClassMatrix(cosines, *centroids(class_means(x, labels, classes)))


def centroids(
    means: Float[Tensor, "class feature"],
) -> tuple[Float[Tensor, "class other_class"], Float[Tensor, "class"]]:
    """Cosines and lengths of the means of the classes about their own mean.

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
    """The mean vector of every class; NaN where it has no example."""
    n = labels.bincount(minlength=classes).to(x.dtype)
    return sum_by_class(x, torch.ones_like(x[:, 0]), labels, classes) / n[:, None]


def separation(x: Float[Tensor, "example feature"], labels: Int[Tensor, "example"], classes: int) -> Float[Tensor, ""]:
    """Share of the variance that lies between the classes.

    >>> separation(torch.tensor([[0.0], [2.0], [4.0], [6.0]]), torch.tensor([0, 0, 1, 1]), 2)
    tensor(0.8000)
    """
    centered = x - x.mean(0)
    total, n = centered.square().sum(), labels.bincount(minlength=classes)
    between = n * class_means(centered, labels, classes).square().sum(-1)
    varies = total > ROUNDING**2 * x.square().sum()
    return torch.where(varies, between.nansum() / total, torch.nan)
