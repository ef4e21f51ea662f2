"""Composition and conjugation in finite groups."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

from jaxtyping import Int

from grokinterp.errors import ConfigError, short
from grokinterp.lazy import Tensor, torch
from grokinterp.maths import groups
from grokinterp.maths.groups import Algebra, AnswerGroup, Group
from grokinterp.tasks.task import BinaryTask


@dataclass(frozen=True, kw_only=True)
class GroupTask(BinaryTask):
    """An operation on the elements of a group, which are both tokens and classes, in the order of the group.

    Groups are named: C_n, D_n (of order 2n), S_n, A_n and direct products of them, as ``C113``, ``D59``, ``S5``,
    ``A5``, ``S3xC2``; ``grokinterp.maths.groups`` documents the order of their elements.

    The convention "left_first" reads a product of permutations from left to right, x · y is x then y, as in the
    published networks; "right_first" is the composition of functions, (x ∘ y)(i) = x(y(i)): y then x. In any group x ∘
    y = y · x.
    """

    group: str = "S5"
    convention: Literal["left_first", "right_first"] = "left_first"

    def __post_init__(self) -> None:
        require_group(self.group, self.convention)

    @cached_property
    def structure(self) -> Group:
        """The named group; x · y is "x then y" for permutations."""
        return groups.group(self.group)

    @cached_property
    def operation(self) -> Group:
        """The group with the product of the convention."""
        return self.structure if self.convention == "left_first" else groups.opposite(self.structure)

    @property
    def n_examples(self) -> int:
        return self.d_vocab**2

    @property
    def d_vocab(self) -> int:
        return groups.order(self.group)

    @property
    def n_classes(self) -> int:
        return self.d_vocab

    @property
    def answer_group(self) -> AnswerGroup:
        """The answer group of the algebra, or otherwise the group itself."""
        return super().answer_group or AnswerGroup(self.structure, torch.arange(self.structure.order))


@dataclass(frozen=True, kw_only=True)
class GroupComposition(GroupTask):
    """c = x · y, or c = x ∘ y = y · x under the convention ``right_first``; example x·n + y is the pair (x, y).

    Since (y · x)⁻¹ = x⁻¹ · y⁻¹, the algebra of the second is the algebra of the first with every element renamed to its
    inverse.

    Source: Power et al. 2022, Appendix A.1.1 (S_5); Chughtai et al. 2023, §3.

    Raises:
        ConfigError: if the group or the convention is unknown, or the group has more than 1000 elements (whose pairs
            would exceed a full batch).

    >>> task = GroupComposition(group="S3")
    >>> swap_0_1, swap_1_2 = task.structure.elements.index("102"), task.structure.elements.index("021")
    >>> example = 6 * swap_0_1 + swap_1_2
    >>> task.tokens()[example].tolist(), task.structure.elements[task.label()[example]]
    ([2, 1], '201')
    """

    about: ClassVar[str] = "c = x·y in a finite group: S5, A5, D59, C113, S3xC2, ..."
    kind: Literal["group_composition"] = "group_composition"

    def table(self) -> Int[Tensor, "a b"]:
        return self.operation.table

    @property
    def group_name(self) -> str:
        return self.group

    @property
    def algebra(self) -> Algebra:
        x = torch.arange(self.structure.order) if self.convention == "left_first" else self.structure.inverse
        return Algebra(self.structure, (x, x), x)


@dataclass(frozen=True, kw_only=True)
class GroupConjugation(GroupTask):
    """c = x · y · x⁻¹, or c = x · y · x, in a finite group; example x·n + y is the pair (x, y).

    Under the convention ``right_first``, x ∘ y ∘ x⁻¹ is x⁻¹ · y · x; x ∘ y ∘ x is the same under both. Neither form is
    the product of a group, so there is no algebra. In an abelian group the answers are y and 2x + y.

    Source: Power et al. 2022, Appendix A.1.1 (x·y·x⁻¹ and x·y·x for x, y in S_5).

    Raises:
        ConfigError: if the group, the convention or the form is unknown, or the group has more than 1000 elements.

    >>> task = GroupConjugation(group="S3", convention="right_first")
    >>> swap, cycle = task.structure.elements.index("102"), task.structure.elements.index("120")
    >>> task.structure.elements[task.label()[6 * cycle + swap]]  # 0 -> 1 -> 2 under the cycle: the swap of 1 and 2
    '021'
    """

    about: ClassVar[str] = "c = x·y·x⁻¹ or c = x·y·x in a finite group"
    kind: Literal["group_conjugation"] = "group_conjugation"
    group: str = "S4"
    form: Literal["xyx^-1", "xyx"] = "xyx^-1"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.form not in ("xyx^-1", "xyx"):
            raise ConfigError("form", self.form, "must be xyx^-1 or xyx")

    def table(self) -> Int[Tensor, "a b"]:
        if self.form == "xyx^-1":
            return self.operation.conjugates
        return self.operation.table[self.operation.table, torch.arange(self.operation.order)[:, None]]


def require_group(name: str, convention: str) -> None:
    """Raise ConfigError unless a group has this name, and its products are read by a known convention."""
    try:
        groups.parse(name)
    except ValueError as error:
        raise ConfigError("group", short(name), str(error)) from None
    if convention not in ("left_first", "right_first"):
        raise ConfigError("convention", convention, "must be left_first or right_first")
