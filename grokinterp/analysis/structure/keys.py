"""Which characters of the answer are key: they stand out of the rest of the logits on pairs never trained on."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.special import stdtrit
from torch import Tensor

from grokinterp.maths.grid import ROUNDING

SMALLEST = 0.005
"""Similarity that a key exceeds in any case: the published threshold of Chughtai et al. 2023."""

CONFIDENCE = 0.99
"""Share of networks with exchangeable classes in which no character is key."""

FEWEST = 0.25
"""Share of the group's order that must be held out to decide: with fewer pairs all examples decide."""

NEARLY = 0.75
"""A character with more than this share of its threshold, and not key, is nearly key."""


class Keys(NamedTuple):
    """How much of the logits each character is, and which are key. NaN, and no key, where the logits are constant.

    Args:
        similarity: cosine of the row-centered logits with each character of y·z⁻¹, over all examples.
        held_out: the same over the examples that decide.
        threshold: of ``held_out``, above which the character is key.
        is_key: whether it is.
        is_nearly_key: whether ``held_out`` is above three quarters of the threshold, and not key.
    """

    similarity: Float[Tensor, "irrep"]
    held_out: Float[Tensor, "irrep"]
    threshold: Float[Tensor, "irrep"]
    is_key: Bool[Tensor, "irrep"]
    is_nearly_key: Bool[Tensor, "irrep"]


class Sums(NamedTuple):
    """What the characters see of some rows of logits.

    Args:
        rows: number of rows with each correct element.
        table: sum of the rows with each correct element.
        square: squared norm of all rows, each centered.
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
    """Similarity s_ρ of every non-trivial character, and the rule that makes some of them key.

    s_ρ = ⟨L - mean_z L, T_ρ⟩ / (‖L - mean_z L‖ ‖T_ρ‖) for logits L [example, z] and T_ρ[example, z] = χ_ρ(y·z⁻¹), y
    the correct element. The T_ρ are orthogonal over any set of examples. Those that decide are held out of training,
    mirror images of training examples excluded: a network that memorized has every s_ρ > 0 over all examples and
    hardly any over these. Where fewer than n/4 are held out, all examples decide.

    The null of s_ρ: what no character explains, R = L - Σ_ρ ⟨L, T_ρ⟩ T_ρ / ‖T_ρ‖², with its classes in a random order
    that all rows share. It keeps how the rows depend on each other, which shuffling every row alone would not. Only
    the part of R that as a function of y lies in the D = (d²/c)(n - 1) dimensions of ρ counts for s_ρ, one direction of
    which was removed with T_ρ: s_ρ, divided by its deviation under the null (``null_variances``) times √(D / (D - 1)),
    has about Student's distribution with D - 1 degrees of freedom. The threshold is that deviation times the quantile
    at 0.99^{1/m}, m the number of characters, and at least 0.005. The power of a strong key is in no other's null.

    Removing a character changes no other's similarity. So a stepwise rule (find keys, remove them, draw the threshold
    on the rest, until no new key) would go the same way; this has no branches.

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
    """``Sums`` of some of the examples, their logits being rounding where they vary by less than that."""
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
    """The similarity above which each character is key; see ``find_keys``."""
    n, m = len(table), len(chi)
    dimension = (n - 1) * n * chi.amax(1).square() / chi.square().sum(1)
    freedom = dimension.round().cpu().numpy() - 1
    quantile = torch.from_numpy(np.asarray(stdtrit(freedom, CONFIDENCE ** (1 / m)))).to(chi.device)
    variance = null_variances(of, similarity, chi, table) * dimension / (dimension - 1)
    return (quantile * variance.sqrt()).clamp(min=SMALLEST)


def null_variances(
    of: Sums, similarity: Float[Tensor, "irrep"], chi: Float[Tensor, "irrep z"], table: Int[Tensor, "h z"]
) -> Float[Tensor, "irrep"]:
    """Variance of every s_ρ over the orders of the classes, of what is left without the characters.

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
    """Σ of x[g, z] over the pairs with g·z⁻¹ = h, that is x[h·z, z], for every h.

    >>> from grokinterp.maths.groups import cyclic
    >>> sums_by_quotient(torch.tensor([[1.0, 2.0], [3.0, 5.0]]), cyclic(2).table).tolist()
    [6.0, 5.0]
    """
    return x.gather(0, table).sum(1)
