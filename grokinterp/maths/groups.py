"""Finite groups by their multiplication tables."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Group:
    """A finite group: ``table[x, y]`` is the element x · y.

    Args:
        name: such as ``C113``, ``S5``, ``D59``, ``A5`` or ``S3xC2``.
        table: the multiplication table.
        elements: a readable name of every element.
    """

    name: str
    table: Int[Tensor, "x y"]
    elements: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Group({self.name}, order {self.order})"

    @property
    def order(self) -> int:
        """Number of elements."""
        return len(self.table)

    @cached_property
    def identity(self) -> int:
        """The element e with e · x = x.

        >>> cyclic(5).identity
        0
        """
        return int((self.table == torch.arange(self.order)).all(1).nonzero()[0])

    @cached_property
    def inverse(self) -> Int[Tensor, "x"]:
        """x⁻¹ of every element.

        >>> cyclic(5).inverse.tolist()
        [0, 4, 3, 2, 1]
        """
        return (self.table == self.identity).long().argmax(1)

    @cached_property
    def is_abelian(self) -> bool:
        """Whether x · y = y · x."""
        return bool((self.table == self.table.T).all())

    @cached_property
    def logarithm(self) -> Int[Tensor, "x"] | None:
        """The exponent of every element to the first element that generates the group; None if none does.

        >>> cyclic(5).logarithm.tolist()
        [0, 1, 2, 3, 4]
        """
        if not self.is_abelian:
            return None
        for generator in range(self.order):
            powers = [self.identity]
            while (power := int(self.table[powers[-1], generator])) != self.identity:
                powers.append(power)
            if len(powers) == self.order:
                return torch.tensor(powers).argsort()
        return None


class Algebra(NamedTuple):
    """How a binary operation is a product in a group.

    The class c of (a, b) satisfies ``answer[c] = left[a] · right[b]`` wherever both are elements.
    -1 marks tokens and classes outside the group, such as 0 under multiplication.
    """

    group: Group
    left: Int[Tensor, "token"]
    right: Int[Tensor, "token"]
    answer: Int[Tensor, "class"]


def cyclic(n: int) -> Group:
    """C_n: the residues modulo n under addition.

    >>> cyclic(3).table.tolist()
    [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
    """
    residues = torch.arange(n)
    return Group(f"C{n}", (residues[:, None] + residues) % n, tuple(map(str, range(n))))
