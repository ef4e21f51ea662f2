"""Do examples of one class look alike inside the network?"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.checkpoint import Checkpoint


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
    """Cosine similarity of what the unembedding reads, over all pairs of examples, by sums.

    With x̂ the representation ``residual [example, d_model]`` at unit length, S_c = Σ_{i in c} x̂_i and
    q_c = Σ_{i in c} ‖x̂_i‖² (the number of nonzero vectors of the class), the mean over the
    n_c (n_c - 1) ordered pairs of a class is (‖S_c‖² - q_c) / (n_c (n_c - 1)), and the mean over pairs
    from different classes is (‖Σ_c S_c‖² - Σ_c ‖S_c‖²) / (n² - Σ_c n_c²). The cosine with a zero vector
    counts as 0. A class with fewer than two examples has no pair: NaN, and left out of the mean.

    Source: FORMULAS and PERFORMANCE (mean cosine by sums); Papyan et al. 2020 (class means).
    """
    labels, classes = checkpoint.problem.labels, checkpoint.logits.shape[-1]
    unit = unit_rows(checkpoint.readout.residual.double())
    n = labels.bincount(minlength=classes).double()
    total = unit.new_zeros(classes, unit.shape[-1]).index_add(0, labels, unit)
    nonzero = unit.new_zeros(classes).index_add(0, labels, unit.square().sum(-1))
    squares = total.square().sum(-1)
    within = (squares - nonzero) / (n * (n - 1))
    between = (total.sum(0).square().sum() - squares.sum()) / (n.sum().square() - n.square().sum())
    return ClassCosine(within, within[n > 1].mean(), between)


def unit_rows(x: Float[Tensor, "example d_model"]) -> Float[Tensor, "example d_model"]:
    """Rows scaled to length 1; a zero row stays zero.

    >>> unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / torch.where(norm > 0, norm, 1.0)
