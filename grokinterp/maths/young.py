"""Young's orthogonal form: the irreducible representations of S_n and, by restriction, of A_n.

The representation of a partition of n acts on its standard tableaux: the fillings of its diagram with 0, ..., n - 1
that increase along rows and down columns. A tableau is stored as the row of every number.

Source: James, Kerber 1981, The Representation Theory of the Symmetric Group, ch. 2 and 3.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.maths.permutations import all_permutations

Partition = tuple[int, ...]
Tableau = tuple[int, ...]


def partitions(n: int, largest: int | None = None) -> Iterator[Partition]:
    """Return the partitions of n into parts of at most ``largest``, in descending order.

    >>> list(partitions(4))
    [(4,), (3, 1), (2, 2), (2, 1, 1), (1, 1, 1, 1)]
    """
    if n == 0:
        yield ()
    for part in range(min(n, largest or n), 0, -1):
        for rest in partitions(n - part, part):
            yield (part, *rest)


def conjugate(partition: Partition) -> Partition:
    """Return the column lengths of the partition's diagram.

    >>> conjugate((3, 1))
    (2, 1, 1)
    """
    return tuple(sum(part > column for part in partition) for column in range(partition[0]))


def standard_tableaux(partition: Partition) -> list[Tableau]:
    """Return the standard tableaux of a partition.

    >>> standard_tableaux((2, 1))  # 0 1 / 2 and 0 2 / 1
    [(0, 0, 1), (0, 1, 0)]
    """
    if sum(partition) == 0:
        return [()]
    found = []
    for row, part in enumerate(partition):
        if part > 0 and part > (partition[row + 1] if row + 1 < len(partition) else 0):
            smaller = (*partition[:row], part - 1, *partition[row + 1 :])
            found += [(*tableau, row) for tableau in standard_tableaux(smaller)]
    return sorted(found)


def symmetric_matrices(partition: Partition) -> Float[Tensor, "element d d"]:
    """Return the orthogonal matrices of all permutations, in lexicographic order, with ρ(x · y) = ρ(x) ρ(y).

    The swap s_i of i and i + 1 sends a tableau t to t/r + √(1 - 1/r²) s_i t, where r is the axial distance c(i + 1) -
    c(i) and c = column - row of a number's position in t. A permutation x with x(i) > x(i + 1) is s_i · y for the
    permutation y in which these two images are exchanged, which precedes it.

    >>> symmetric_matrices((1, 1, 1)).flatten().tolist()
    [1.0, -1.0, -1.0, 1.0, 1.0, -1.0]
    """
    n, tableaux = sum(partition), standard_tableaux(partition)
    swaps = [_swap(tableaux, i) for i in range(n - 1)]
    number = {tuple(x): index for index, x in enumerate(all_permutations(n).tolist())}
    matrices = [torch.eye(len(tableaux), dtype=torch.float64)]
    for x in list(number)[1:]:
        i = next(i for i in range(n - 1) if x[i] > x[i + 1])
        matrices.append(swaps[i] @ matrices[number[_exchange(x, i)]])
    return torch.stack(matrices)


def alternator(partition: Partition) -> Float[Tensor, "d d"]:
    """Return J with ρ(x) J = ± J ρ(x), minus for odd x, for a self-conjugate partition: J² = ±1.

    J sends a tableau t to ± t transposed, with the sign of the permutation that maps the first tableau to t. On A_n it
    commutes with everything, so that ρ has invariant halves J = 1 and J = -1 if J² = 1, and is of complex type if J² =
    -1.

    >>> alternator((2, 1)).tolist()
    [[0.0, -1.0], [1.0, 0.0]]
    """
    tableaux = standard_tableaux(partition)
    J = torch.zeros(len(tableaux), len(tableaux), dtype=torch.float64)
    for index, tableau in enumerate(tableaux):
        J[tableaux.index(_columns(tableau)), index] = (-1) ** _inversions(tableau)
    return J


def _swap(tableaux: list[Tableau], i: int) -> Float[Tensor, "d d"]:
    matrix = torch.zeros(len(tableaux), len(tableaux), dtype=torch.float64)
    for index, tableau in enumerate(tableaux):
        columns = _columns(tableau)
        r = columns[i + 1] - tableau[i + 1] - columns[i] + tableau[i]
        matrix[index, index] = 1 / r
        if abs(r) > 1:
            matrix[tableaux.index(_exchange(tableau, i)), index] = (1 - 1 / r**2) ** 0.5
    return matrix


def _columns(tableau: Tableau) -> Tableau:
    """Return the column of every number, which is the transposed tableau."""
    return tuple(tableau[:number].count(row) for number, row in enumerate(tableau))


def _exchange(x: tuple[int, ...], i: int) -> tuple[int, ...]:
    return (*x[:i], x[i + 1], x[i], *x[i + 2 :])


def _inversions(tableau: Tableau) -> int:
    """Return the number of inversions of the permutation that reads the tableau row by row; 0 for the first tableau."""
    return sum(above > below for number, above in enumerate(tableau) for below in tableau[number + 1 :])
