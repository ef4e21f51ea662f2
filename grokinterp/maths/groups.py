"""Finite groups by their multiplication tables.

The elements have the following order, which is also the order of a task's tokens:

| group | elements |
|---|---|
| C_n | the residues 0, ..., n - 1; x · y is x + y |
| D_n, of order 2n | the rotations r^0, ..., r^(n-1), then the reflections r^0·s, ..., r^(n-1)·s; s·r = r⁻¹·s |
| S_n, A_n | permutations of 0, ..., n - 1 in lexicographic order; x · y is "x then y" |
| G x H | pairs (g, h): the number of g times the order of H, plus the number of h |
"""

import math
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache, reduce
from typing import NamedTuple

from jaxtyping import Int

from grokinterp.lazy import Tensor, torch
from grokinterp.maths.permutations import all_permutations, even_permutations, multiplication_table

LARGEST_ORDER = 1000
"""Order of the largest group with a table: all pairs of elements are one full batch."""

SIZES = {"C": range(2, 1001), "D": range(3, 501), "S": range(2, 7), "A": range(3, 7)}
"""The n of each family that give at most LARGEST_ORDER elements, so that no factorial above 6! is computed."""

MOST_FACTORS, LONGEST_NAME = 9, 53
"""Ten factors of order two exceed LARGEST_ORDER; nine factors such as C1000, joined by x, give the longest name."""


class Factor(NamedTuple):
    """C_n, D_n, S_n or A_n: a factor of a named group."""

    family: str
    n: int

    def __str__(self) -> str:
        return f"{self.family}{self.n}"

    @property
    def order(self) -> int:
        """The number of elements: n, 2n, n! and n!/2.

        >>> [Factor(family, 5).order for family in "CDSA"]
        [5, 10, 120, 60]
        """
        match self.family:
            case "C":
                return self.n
            case "D":
                return 2 * self.n
            case "S":
                return math.factorial(self.n)
            case _:
                return math.factorial(self.n) // 2


@dataclass(frozen=True, eq=False)
class Group:
    """A finite group: ``table[x, y]`` is the element x · y.

    Args:
        name: such as ``C113``, ``S5``, ``D59``, ``A5`` or ``S3xC2``.
        table: the multiplication table.
        elements: a readable name of every element.
        factors: the factors of the direct product, with elements in the order of this module; empty if only the table
            is known.
    """

    name: str
    table: Int[Tensor, "x y"]
    elements: tuple[str, ...]
    factors: tuple[Factor, ...] = ()

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
        """The inverse x⁻¹ of every element.

        >>> cyclic(5).inverse.tolist()
        [0, 4, 3, 2, 1]
        """
        return (self.table == self.identity).long().argmax(1)

    @cached_property
    def is_abelian(self) -> bool:
        """Whether x · y = y · x."""
        return bool((self.table == self.table.T).all())

    @cached_property
    def element_orders(self) -> Int[Tensor, "x"]:
        """The smallest k >= 1 with x^k = e, for every element.

        >>> cyclic(6).element_orders.tolist()
        [1, 6, 3, 2, 3, 6]
        """
        x = torch.arange(self.order)
        orders, power = torch.ones_like(x), x
        while (unfinished := power != self.identity).any():
            orders += unfinished
            power = torch.where(unfinished, self.table[power, x], power)
        return orders

    @cached_property
    def conjugates(self) -> Int[Tensor, "g x"]:
        """The element g · x · g⁻¹."""
        return self.table[self.table, self.inverse[:, None]]

    @cached_property
    def conjugacy_classes(self) -> Int[Tensor, "x"]:
        """The index of every element's conjugacy class; classes are numbered by their first elements.

        >>> group("S3").conjugacy_classes.tolist()  # identity, transpositions, 3-cycles
        [0, 1, 1, 2, 2, 1]
        """
        return self.conjugates.amin(0).unique(return_inverse=True)[1]

    @cached_property
    def logarithm(self) -> Int[Tensor, "x"] | None:
        """The exponent of every element to the base of the first generator of the group, or None if it is not cyclic.

        >>> cyclic(5).logarithm.tolist()
        [0, 1, 2, 3, 4]
        """
        generators = (self.element_orders == self.order).nonzero()
        if not len(generators):
            return None
        powers = [self.identity]
        while len(powers) < self.order:
            powers.append(int(self.table[powers[-1], generators[0]]))
        return torch.tensor(powers).argsort()


class Algebra(NamedTuple):
    """An operation on two or more operands as a product in a group.

    The class c of the operands a, b, … satisfies ``answer[c] = operands[0][a] · operands[1][b] · …`` if all are
    elements. -1 marks tokens and classes outside the group, such as 0 under multiplication.

    >>> signs = Algebra(cyclic(3), (torch.arange(3), -torch.arange(3) % 3), torch.arange(3))  # a - b modulo 3
    >>> signs.elements(torch.tensor([[2, 0], [0, 2]])).tolist()
    [2, 1]
    """

    group: Group
    operands: tuple[Int[Tensor, "token"], ...]
    answer: Int[Tensor, "class"]

    @property
    def left(self) -> Int[Tensor, "token"]:
        """The element of every token as the first operand."""
        return self.operands[0]

    @property
    def right(self) -> Int[Tensor, "token"]:
        """The element of every token as the last operand."""
        return self.operands[-1]

    def elements(self, tokens: Int[Tensor, "example operand"]) -> Int[Tensor, "example"]:
        """Return the product of the operands of every example; -1 if an operand is outside the group."""
        places = [place[column] for place, column in zip(self.operands, tokens.T, strict=True)]
        product, inside = places[0], torch.stack(places).amin(0) >= 0
        for place in places[1:]:
            product = self.group.table[product, place]
        return torch.where(inside, product, -1)

    def exponents(self, logarithm: Int[Tensor, "x"]) -> list[Tensor]:
        """Return the exponent of every token as each operand, and of every class; -1 outside the group."""
        places = (*self.operands, self.answer)
        return [torch.where(place >= 0, logarithm[place.clamp(min=0)], -1) for place in places]


def positions(exponent: Int[Tensor, "token"], n: int) -> Int[Tensor, "exponent"]:
    """Return the token of each exponent.

    >>> positions(torch.tensor([-1, 0, 1, 3, 2]), 4).tolist()
    [1, 2, 4, 3]
    """
    inside = (exponent >= 0).nonzero().flatten()
    found = torch.zeros(n, dtype=torch.int64)
    found[exponent[inside]] = inside
    return found


class AnswerGroup(NamedTuple):
    """The group that contains the classes of a task, even if the operands are not elements.

    ``element[c]`` is the element represented by class c, -1 for a class outside the group.
    """

    group: Group
    element: Int[Tensor, "class"]


def parse(name: str) -> tuple[Factor, ...]:
    """Return the factors of a group's name, without building the group.

    >>> parse("S3xC2")
    (Factor(family='S', n=3), Factor(family='C', n=2))

    Raises:
        ValueError: if the name is unknown, or the group has more than 1000 elements.
    """
    if len(name) > LONGEST_NAME:
        raise ValueError(f"must have at most {LONGEST_NAME} characters, such as C113, D59, S5 or S3xC2")
    found = [re.fullmatch("([CDSA])([1-9][0-9]{0,3})", word) for word in name.split("x")]
    if not all(found):
        raise ValueError("must be C, D, S or A followed by n, or several joined by x, such as C113, D59, S5 or S3xC2")
    factors = tuple(Factor(word[1], int(word[2])) for word in found if word)
    for factor in factors:
        if factor.n < (least := SIZES[factor.family].start):
            raise ValueError(f"must have an n of at least {least} in {factor}")
    small = len(factors) <= MOST_FACTORS and all(factor.n in SIZES[factor.family] for factor in factors)
    if not small or math.prod(factor.order for factor in factors) > LARGEST_ORDER:
        raise ValueError(f"must have at most {LARGEST_ORDER} elements, since all pairs form one batch")
    return factors


def order(name: str) -> int:
    """Return the number of elements of the group of a name; builds nothing.

    >>> order("S3xC2")
    12
    """
    return math.prod(factor.order for factor in parse(name))


@lru_cache(maxsize=8)
def group(name: str) -> Group:
    """Return the named group: C_n, D_n (of order 2n), S_n, A_n and direct products of them.

    >>> group("S5"), group("D59"), group("S3xC2")
    (Group(S5, order 120), Group(D59, order 118), Group(S3xC2, order 12))
    >>> group("S3").elements, group("D3").elements
    (('012', '021', '102', '120', '201', '210'), ('r0', 'r1', 'r2', 'r0s', 'r1s', 'r2s'))

    Raises:
        ValueError: if the name is unknown, or the group has more than 1000 elements.
    """
    return reduce(direct_product, map(_build, parse(name)))


def _build(factor: Factor) -> Group:
    match factor.family:
        case "C":
            return cyclic(factor.n)
        case "D":
            return _dihedral(factor)
        case "S":
            return _permutation_group(factor, all_permutations(factor.n))
        case _:
            return _permutation_group(factor, even_permutations(factor.n))


@lru_cache(maxsize=8)
def cyclic(n: int) -> Group:
    """Return C_n: the residues modulo n under addition.

    >>> cyclic(3).table.tolist()
    [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
    """
    residues = torch.arange(n)
    table = (residues[:, None] + residues) % n
    return Group(f"C{n}", table, tuple(map(str, range(n))), (Factor("C", n),))


def _dihedral(factor: Factor) -> Group:
    """Return D_n: r^i s^a · r^j s^b = r^(i ± j) s^(a + b), minus for a = 1."""
    n, x = factor.n, torch.arange(factor.order)
    turn, flip = x % n, x // n
    turns = (turn[:, None] + (1 - 2 * flip[:, None]) * turn) % n
    elements = tuple(f"r{i}{s}" for s in ("", "s") for i in range(n))
    return Group(str(factor), turns + n * (flip[:, None] ^ flip), elements, (factor,))


def _permutation_group(factor: Factor, x: Int[Tensor, "element point"]) -> Group:
    elements = tuple("".join(map(str, images)) for images in x.tolist())
    return Group(str(factor), multiplication_table(x), elements, (factor,))


def direct_product(first: Group, second: Group) -> Group:
    """Return G x H: (g, h) · (g', h') = (g·g', h·h'); (g, h) is element g·|H| + h.

    >>> direct_product(cyclic(2), cyclic(3)).elements
    ('0,0', '0,1', '0,2', '1,0', '1,1', '1,2')
    """
    order = first.order * second.order
    table = first.table[:, None, :, None] * second.order + second.table[None, :, None, :]
    elements = tuple(f"{g},{h}" for g in first.elements for h in second.elements)
    factors = first.factors + second.factors if first.factors and second.factors else ()
    return Group(f"{first.name}x{second.name}", table.reshape(order, order), elements, factors)


def opposite(group: Group) -> Group:
    """Return the same elements under x ∘ y = y · x; x -> x⁻¹ is an isomorphism between the two.

    >>> s3 = group("S3")
    >>> s3.table[1, 2].item(), opposite(s3).table[2, 1].item()
    (3, 3)
    """
    return Group(f"{group.name}op", group.table.T.contiguous(), group.elements)
