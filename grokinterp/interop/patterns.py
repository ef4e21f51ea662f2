"""Patterns such as ``(head d_head) d_model -> head d_model d_head``, and the sizes of their axes."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from einops import rearrange
from torch import Tensor

TOKEN = re.compile(r"\(|\)|[A-Za-z_]\w*|\S+")

Groups = tuple[tuple[str, ...], ...]
"""The axes of one side; each is a product of names, or a single name without parentheses."""


class PatternError(ValueError):
    """Raised if a pattern cannot be parsed or does not fit a tensor."""


class Equation(NamedTuple):
    """The product of some named axes equals a number; ``where`` names the tensor that implies it."""

    names: tuple[str, ...]
    size: int
    where: str


class Pattern(NamedTuple):
    """The names of a tensor's axes, and their target order.

    Names missing from the right side are picked: a single index of each is taken.
    """

    left: Groups
    right: Groups

    @classmethod
    def parse(cls, text: str) -> "Pattern":
        """Parse a pattern; without an arrow, the axes keep their order. Raises PatternError.

        >>> Pattern.parse("(head d_head) d_model -> head d_model d_head").picked
        ()
        >>> Pattern.parse("(qkv d) e -> d e").picked
        ('qkv',)
        """
        left, arrow, right = text.partition("->")
        pattern = cls(_groups(left), _groups(right) if arrow else _groups(left))
        for side in (pattern.left, pattern.right):
            names = [name for group in side for name in group]
            for name in names:
                if names.count(name) > 1:
                    raise PatternError(f"has the axis {name} twice on one side")
        for name in (name for group in pattern.right for name in group):
            if name not in pattern.names:
                raise PatternError(f"has {name} on the right side only")
        return pattern

    @property
    def names(self) -> tuple[str, ...]:
        """The axes of the tensor after splitting."""
        return tuple(name for group in self.left for name in group)

    @property
    def picked(self) -> tuple[str, ...]:
        """The names missing from the right side."""
        kept = {name for group in self.right for name in group}
        return tuple(name for name in self.names if name not in kept)

    def equations(self, shape: tuple[int, ...], where: str) -> list[Equation]:
        """Return the constraints that a shape places on the axes of the left side. Raises PatternError."""
        if len(shape) != len(self.left):
            raise PatternError(f"{where} has shape {shape}, but its pattern names {len(self.left)} axes")
        return [
            Equation(group, size, f"{where} with shape {shape}") for group, size in zip(self.left, shape, strict=True)
        ]

    def apply(self, tensor: Tensor, sizes: Mapping[str, int], part: Mapping[str, tuple[int, int]]) -> Tensor:
        """Split the axes, keep a part of some, and merge them in the target order.

        Args:
            tensor: a tensor with the axes of the left side.
            sizes: the size of every name, before a part is taken.
            part: start and stop of a name; a single index for a picked name.
        """
        names = [*self.picked, *(name for group in self.right for name in group)]
        alias = {name: f"axis{number}" for number, name in enumerate(names)}  # "class" is a Python keyword
        flat = " ".join(alias.values())
        lengths = {alias[name]: sizes[name] for name in names}
        x = rearrange(tensor, f"{_spelled(self.left, alias)} -> {flat}", **lengths)
        for axis, name in enumerate(names):
            if name in part:
                start, stop = part[name]
                x = x.narrow(axis, start, stop - start)
        for _ in self.picked:
            x = x[0]
        kept = " ".join(alias[name] for name in names[len(self.picked) :])
        return rearrange(x, f"{kept} -> {_spelled(self.right, alias)}")


def solved(equations: Iterable[Equation]) -> dict[str, int]:
    """Return the size of each axis that the equations determine.

    >>> solved([Equation(("a", "b"), 12, "x"), Equation(("a",), 3, "y")])
    {'a': 3, 'b': 4}

    Raises:
        PatternError: if two equations contradict each other; the message names both.
    """
    sizes: dict[str, int] = {}
    origins: dict[str, str] = {}
    todo = list(equations)
    while todo:
        rest = [equation for equation in todo if not _settle(equation, sizes, origins)]
        if len(rest) == len(todo):
            return sizes
        todo = rest
    return sizes


def _settle(equation: Equation, sizes: dict[str, int], origins: dict[str, str]) -> bool:
    """Apply an equation if it has at most one unknown, and return whether it did."""
    unknown = [name for name in equation.names if name not in sizes]
    if len(unknown) > 1:
        return False
    known = math.prod(sizes[name] for name in equation.names if name in sizes)
    if unknown and known and equation.size % known == 0:
        sizes[unknown[0]], origins[unknown[0]] = equation.size // known, equation.where
    elif unknown or known != equation.size:
        others = [f"{name}={sizes[name]} ({origins[name]})" for name in equation.names if name in sizes]
        raise PatternError(f"{equation.where} contradicts {', '.join(others)}")
    return True


def _groups(text: str) -> Groups:
    """Parse one side of a pattern. Raises PatternError."""
    groups: list[tuple[str, ...]] = []
    inside: list[str] | None = None
    for token in TOKEN.findall(text):
        if token == "(" and inside is None:
            inside = []
        elif token == ")" and inside is not None:
            groups.append(tuple(inside))
            inside = None
        elif not token.isidentifier():
            raise PatternError(f"has {token[:20]!r}, which is neither a name nor a matching parenthesis")
        elif inside is not None:
            inside.append(token)
        else:
            groups.append((token,))
    if inside is not None:
        raise PatternError("has an unclosed parenthesis")
    return tuple(groups)


def _spelled(groups: Groups, alias: Mapping[str, str]) -> str:
    """Return the groups in einops notation, with aliased names."""
    return " ".join(f"({' '.join(alias[name] for name in group)})" for group in groups)
