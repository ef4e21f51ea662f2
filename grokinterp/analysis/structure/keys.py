"""Key characters of the answer: those that exceed the chance level of the logits on held-out pairs."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.special import stdtrit
from torch import Tensor

from grokinterp.maths.grid import ROUNDING

SMALLEST = 0.005
"""Minimum similarity of a key: the published threshold of Chughtai et al. 2023."""

CONFIDENCE = 0.99
"""Probability that no character is key in a network with exchangeable classes."""

FEWEST = 0.25
"""Smallest number of deciding held-out examples, as a share of the group's order; with fewer, all examples decide."""

NEARLY = 0.75
"""A character that is not key is nearly key above this share of its threshold."""


class Keys(NamedTuple):
    """Similarity of the logits with each character, and which characters are key; NaN and no key for constant logits.

    Args:
        similarity: cosine of the row-centered logits with each character of y·z⁻¹, over all examples.
        held_out: the same cosine over the held-out examples that decide.
        threshold: the value of ``held_out`` above which the character is key.
        is_key: whether the character is key.
        is_nearly_key: whether it is not key, but ``held_out`` is above three quarters of the threshold.
    """

    similarity: Float[Tensor, "irrep"]
    held_out: Float[Tensor, "irrep"]
    threshold: Float[Tensor, "irrep"]
    is_key: Bool[Tensor, "irrep"]
    is_nearly_key: Bool[Tensor, "irrep"]


class Sums(NamedTuple):
    """Sufficient statistics of some rows of logits for their similarity with the characters.

    Args:
        rows: number of rows with each correct element.
        table: sum of the rows with each correct element.
        square: squared norm of all rows, each centered over the classes.
    """

    rows: Float[Tensor, "g"]
    table: Float[Tensor, "g z"]
    square: Float[Tensor, ""]


def find_keys(
    logits: Float[Tensor, "example z"],
    element: Int[Tensor, "example"],
    held_out: Bool[Tensor, "example"],
    characters: Float[Tensor, "irrep z"],
    table: Int[Tensor, "h z"],
) -> Keys:
    """Return the similarity s_ρ of every non-trivial character, and the characters that are key.

    s_ρ = ⟨L - mean_z L, T_ρ⟩ / (‖L - mean_z L‖ ‖T_ρ‖) for logits L [example, z] and T_ρ[example, z] = χ_ρ(y·z⁻¹), y
    the correct element. The T_ρ are orthogonal over any set of examples. Keys are decided on examples held out of
    training, excluding mirror images of training examples: a memorizing network has every s_ρ > 0 over all examples,
    but hardly any over these. If fewer than n/4 examples are held out, all examples decide.

    The null distribution of s_ρ uses the residual that no character explains, R = L - Σ_ρ ⟨L, T_ρ⟩ T_ρ / ‖T_ρ‖², with
    its classes in a random order shared by all rows. This preserves the dependence between rows, which shuffling each
    row separately would destroy. For s_ρ, only the part of R that, as a function of y, lies in the D = (d²/c)(n - 1)
    dimensions of ρ counts; one direction was removed with T_ρ. Divided by √(D / (D - 1)) times its standard deviation
    under the null (``null_variances``), s_ρ approximately follows Student's t distribution with D - 1 degrees of
    freedom. The threshold is this deviation times the quantile at 0.99^{1/m}, with m the number of characters, and at
    least 0.005. A strong key does not enter the null distribution of other characters.

    Removing a character does not change the similarity of any other character. A stepwise rule (find keys, remove them,
    compute the threshold from the rest, until there is no new key) would therefore give the same result; this rule has
    no branches.

    Source: Chughtai et al. 2023, §4 (similarity); docs/formulas.md (the rule and its calibration).
    """
    n, chi = len(table), characters
    inside = element < n
    decide = held_out & inside
    if int(decide.sum()) < FEWEST * n:
        decide = inside
    rest, deciding = sums(logits, element, inside & ~decide, n), sums(logits, element, decide, n)
    every = Sums(*(a + b for a, b in zip(rest, deciding, strict=True)))
    held = similarities(deciding, chi, table)
    limit = thresholds(deciding, held, chi, table)
    is_key = held > limit
    return Keys(similarities(every, chi, table), held, limit, is_key, (held > NEARLY * limit) & ~is_key)


def sums(
    logits: Float[Tensor, "example z"], element: Int[Tensor, "example"], of: Bool[Tensor, "example"], n: int
) -> Sums:
    """Return the ``Sums`` of some examples; logits whose variation is within rounding error count as constant."""
    place = torch.where(of, element, n)
    rows = torch.zeros(n + 1, dtype=logits.dtype, device=logits.device).index_add(0, place, of.to(logits.dtype))[:n]
    table = logits.new_zeros(n + 1, n).index_add(0, place, logits)[:n]
    square = torch.where(of, torch.linalg.vector_norm(logits, dim=1).square(), 0).sum()
    centered = square - n * torch.where(of, logits.mean(1).square(), 0).sum()
    return Sums(rows, table, torch.where(centered > ROUNDING * square, centered, 0))


def similarities(of: Sums, chi: Float[Tensor, "irrep z"], table: Int[Tensor, "h z"]) -> Float[Tensor, "irrep"]:
    """Return the cosine with every character: ⟨L, T_ρ⟩ = Σ_{g,z} M[g, z] χ(g·z⁻¹), M the sum of g's rows."""
    norms = (of.rows.sum() * chi.square().sum(1) * of.square).sqrt()
    return torch.where(norms > 0, chi @ sums_by_quotient(of.table, table) / norms, torch.nan)


def thresholds(
    of: Sums, similarity: Float[Tensor, "irrep"], chi: Float[Tensor, "irrep z"], table: Int[Tensor, "h z"]
) -> Float[Tensor, "irrep"]:
    """Return the similarity above which each character is key; see ``find_keys``."""
    n, m = len(table), len(chi)
    dimension = (n - 1) * n * chi.amax(1).square() / chi.square().sum(1)
    freedom = dimension.round().cpu().numpy() - 1
    quantile = torch.from_numpy(np.asarray(stdtrit(freedom, CONFIDENCE ** (1 / m)))).to(chi.device)
    variance = null_variances(of, similarity, chi, table) * dimension / (dimension - 1)
    return (quantile * variance.sqrt()).clamp(min=SMALLEST)


def null_variances(
    of: Sums, similarity: Float[Tensor, "irrep"], chi: Float[Tensor, "irrep z"], table: Int[Tensor, "h z"]
) -> Float[Tensor, "irrep"]:
    """Return the variance of every s_ρ of the residual without the characters, over all orders of the classes.

    With ⟨T_g, T_h⟩ = (c n / d) χ(g·h⁻¹) for the rows of T_ρ and R_g the sum of the rows of R with correct element g,
    the variance of ⟨R, T_ρ⟩ is (c n / d) Σ_{g,h} χ(g·h⁻¹) ⟨R_g, R_h⟩ / (n - 1). ‖T_ρ‖² = N c n for N rows.
    """
    n, count = len(table), of.rows.sum()
    kernel = (similarity * (of.square / count / chi.square().sum(1)).sqrt()) @ chi
    explained = torch.zeros_like(of.table).scatter(0, table, kernel[:, None].expand(n, n))
    residual = of.table - of.table.mean(1, keepdim=True) - of.rows[:, None] * explained
    power = chi @ sums_by_quotient(residual @ residual.mT, table)
    return (power / (chi.amax(1) * (n - 1) * count * of.square)).clamp(min=0)


def sums_by_quotient(x: Float[Tensor, "g z"], table: Int[Tensor, "h z"]) -> Float[Tensor, "h"]:
    """Return the sum of x[g, z] over the pairs with g·z⁻¹ = h, that is of x[h·z, z], for every h.

    >>> from grokinterp.maths.groups import cyclic
    >>> sums_by_quotient(torch.tensor([[1.0, 2.0], [3.0, 5.0]]), cyclic(2).table).tolist()
    [6.0, 5.0]
    """
    return x.gather(0, table).sum(1)
