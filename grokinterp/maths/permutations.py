"""Permutations of 0, ..., n - 1 as rows of images: row x holds x(0), x(1), ..., x(n - 1).

Lists of permutations are in lexicographic order, so that the identity comes first. The product is read from left to
right, x · y is "x then y": (x · y)(i) = y(x(i)), the convention of the published S_5 networks.

Source: docs/formulas.md, Groups; Chughtai et al. 2023.
"""

from itertools import permutations

from jaxtyping import Int

from grokinterp.lazy import Tensor, torch


def all_permutations(n: int) -> Int[Tensor, "element point"]:
    """Return the n! permutations of n points, in lexicographic order.

    >>> all_permutations(3).tolist()
    [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
    """
    return torch.tensor(list(permutations(range(n))))


def even_permutations(n: int) -> Int[Tensor, "element point"]:
    """Return the even permutations of n points, in lexicographic order.

    >>> even_permutations(3).tolist()
    [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
    """
    every = all_permutations(n)
    return every[parity(every) == 0]


def parity(x: Int[Tensor, "element point"]) -> Int[Tensor, "element"]:
    """Return 0 for even and 1 for odd permutations: the number of inversions i < j, x(i) > x(j), modulo 2.

    >>> parity(all_permutations(3)).tolist()
    [0, 1, 1, 0, 0, 1]
    """
    return (x[:, :, None] > x[:, None, :]).triu(1).sum((1, 2)) % 2


def multiplication_table(x: Int[Tensor, "element point"]) -> Int[Tensor, "x y"]:
    """Return the index of x · y, "x then y", among lexicographically sorted permutations closed under it.

    >>> swap_0_1, swap_1_2 = 2, 1  # of the three points; first one, then the other
    >>> product = multiplication_table(all_permutations(3))[swap_0_1, swap_1_2]
    >>> all_permutations(3)[product].tolist()
    [2, 0, 1]
    """
    n = x.shape[1]
    digits = n ** torch.arange(n - 1, -1, -1)
    products = x[:, x].transpose(0, 1)  # products[x, y, i] = y(x(i))
    return torch.searchsorted((x * digits).sum(1), (products * digits).sum(2))
