"""What the logits of clocks and pizzas look like, and how much of given logits that is.

Both are functions of the difference d = a - b and the offset e = a + b - c alone, so that logits meet them only through
their mean over the n triples (a, b, c) with the same d and e.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.maths.fourier import waves


class LogitTable(NamedTuple):
    """Logits L[a, b, c] less their mean, as far as a template sees them.

    means: of the triples with a - b = d and a + b - c = e. variance: of all logits.
    """

    means: Float[Tensor, "difference offset"]
    variance: Float[Tensor, ""]


class Templates(NamedTuple):
    """The logits of one circle of each of some frequencies, less their mean: Q[k, d, e]."""

    clock: Float[Tensor, "key difference offset"]
    pizza: Float[Tensor, "key difference offset"]


def logit_table(logits: Float[Tensor, "pair exponent"]) -> LogitTable:
    """Logits of all pairs of exponents, in row-major order, averaged over what no template depends on.

    >>> table = logit_table(torch.tensor([[3.0, 1.0], [1.0, 3.0], [1.0, 3.0], [3.0, 1.0]]))
    >>> table.means.tolist(), table.variance.item()
    ([[1.0, -1.0], [1.0, -1.0]], 1.0)
    """
    n, mean = logits.shape[1], logits.mean()
    b = torch.arange(n, device=logits.device)
    rows = [logits[(b + d) % n * n + b].gather(1, (2 * b[:, None] + d - b) % n).mean(0) for d in range(n)]
    return LogitTable(torch.stack(rows) - mean, logits.square().mean() - mean.square())


def templates(rows: Int[Tensor, "key"], n: int) -> Templates:
    """Clock: cos(w_k e). Pizza: |cos(w_k d/2)| (|cos(w_k e/2)| - |sin(w_k e/2)|), w_k = 2πk/n, for k = 1 + row.

    With half the angle, d and e count modulo 2n in the cosine, but modulo n in its absolute value.

    >>> templates(torch.tensor([0]), 2).clock.tolist()
    [[[1.0, -1.0], [1.0, -1.0]]]

    Source: Zhong et al. 2023, §2 (clock, pizza), §4 (correct and incorrect logits of circles).
    """
    cos, sin = (wave[rows, :n].abs() for wave in waves(2 * n, rows.device))
    clock = waves(n, rows.device)[0][rows, None].expand(-1, n, -1)
    pizza = cos[:, :, None] * (cos - sin)[:, None]
    return Templates(*(whole - whole.mean((1, 2), keepdim=True) for whole in (clock, pizza)))


def fit(table: LogitTable, found: Float[Tensor, "key difference offset"]) -> Float[Tensor, ""]:
    """Share of the logits' variance that a least-squares sum of some templates explains; 0 for none of them.

    For one template it is the squared correlation with it.
    """
    n = table.means.shape[0]
    rows = found.flatten(1)
    overlap = rows @ table.means.flatten()
    explained = overlap @ (torch.linalg.pinv(rows @ rows.mT, hermitian=True) @ overlap) / n**2
    return explained / table.variance


def agreement(table: LogitTable, template: Float[Tensor, "difference offset"]) -> Float[Tensor, ""]:
    """Share of the logits' variance that the template explains as it is, both z-scored: 2r - 1, r their correlation.

    1 - mean((z_L - z_Q)²) / mean(z_L²), no factor being fitted: 1 for the template, -1 for what has nothing of it.
    """
    correlation = (table.means * template).mean() / (template.square().mean() * table.variance).sqrt()
    return 2 * correlation - 1
