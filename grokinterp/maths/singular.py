"""Learning coefficients of singular models with closed forms."""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple


class LearningCoefficient(NamedTuple):
    """The learning coefficient λ and its multiplicity m.

    The volume of the weights with loss below ε is proportional to ε^λ (-log ε)^(m - 1) as ε → 0.
    """

    value: Fraction
    multiplicity: int


def normal_crossing(exponents: Sequence[int]) -> LearningCoefficient:
    """Return λ and m of Π w_i^e_i at the origin, for even e_i > 0: the smallest 1 / e_i and its multiplicity.

    Source: Watanabe 2009, §3.3.

    >>> normal_crossing([2, 6, 6])
    LearningCoefficient(value=Fraction(1, 6), multiplicity=2)
    """
    largest = max(exponents)
    return LearningCoefficient(Fraction(1, largest), list(exponents).count(largest))


def reduced_rank_regression(inputs: int, hidden: int, outputs: int, rank: int = 0) -> LearningCoefficient:
    """Return λ and m of the loss ‖A B - T‖² of A [inputs, hidden] and B [hidden, outputs], for T of given rank.

    They belong to the most degenerate A and B with A B = T, which are zero for T = 0.

    Source: Aoyagi and Watanabe 2005, Main Theorem.

    >>> [float(reduced_rank_regression(*sizes).value) for sizes in [(5, 3, 5), (4, 3, 8), (6, 3, 6, 3)]]
    [6.5, 6.0, 13.5]
    """
    m, h, n, r = inputs, hidden, outputs, rank
    if m + h < n + r:
        return LearningCoefficient(Fraction(h * m - h * r + n * r, 2), 1)
    if n + h < m + r:
        return LearningCoefficient(Fraction(h * n - h * r + m * r, 2), 1)
    if m + n < h + r:
        return LearningCoefficient(Fraction(m * n, 2), 1)
    odd = (m + h + n + r) % 2
    eight_times = 2 * (h + r) * (m + n) + 2 * m * n - (h + r) ** 2 - m**2 - n**2
    return LearningCoefficient(Fraction(eight_times + odd, 8), 1 + odd)
