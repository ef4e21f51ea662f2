"""What the logits of clocks and pizzas look like, and how much of given logits that is.

Both are functions of the difference d = a - b and the offset e = a + b - c alone, so that logits meet them only through
their mean over the n triples (a, b, c) with the same d and e.
"""

from functools import lru_cache
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
    """The logits of one circle of each frequency, less their mean: Q[k, d, e]."""

    clock: Float[Tensor, "frequency difference offset"]
    pizza: Float[Tensor, "frequency difference offset"]


def logit_table(logits: Float[Tensor, "pair exponent"]) -> LogitTable:
    """Logits of all pairs of exponents, in row-major order, averaged over what no template depends on.

    >>> table = logit_table(torch.tensor([[3.0, 1.0], [1.0, 3.0], [1.0, 3.0], [3.0, 1.0]]))
    >>> table.means.tolist(), table.variance.item()
    ([[1.0, -1.0], [1.0, -1.0]], 1.0)
    """
    n, mean = logits.shape[1], logits.mean()
    means = logits.flatten().index_select(0, triples(n, str(logits.device))).view(n, n, n).mean(2)
    return LogitTable(means - mean, logits.square().mean() - mean.square())


@lru_cache(maxsize=4)
def triples(n: int, device: str) -> Int[Tensor, "triple"]:
    """Where L[b + d, b, 2b + d - e] lies, for every d, e and b."""
    b = torch.arange(n)
    d, e = b[:, None, None], b[:, None]
    return (((b + d) % n * n + b) * n + (2 * b + d - e) % n).flatten().to(device)


@lru_cache(maxsize=4)
def templates(n: int, device: str) -> Templates:
    """Clock: cos(w_k e). Pizza: |cos(w_k d/2)| (|cos(w_k e/2)| - |sin(w_k e/2)|), w_k = 2πk/n.

    With half the angle, d and e count modulo 2n in the cosine, but modulo n in its absolute value.

    >>> templates(4, "cpu").clock[0, 3].round(decimals=6).tolist()
    [1.0, 0.0, -1.0, 0.0]

    Source: Zhong et al. 2023, §2 (clock, pizza), §4 (correct and incorrect logits of circles).
    """
    cos, sin = (wave[: n // 2, :n].abs() for wave in waves(2 * n, device))
    clock = waves(n, device)[0][:, None].expand(-1, n, -1)
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
