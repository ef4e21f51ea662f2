"""Two groups on the same elements that agree on the training examples."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

from jaxtyping import Bool, Int

from grokinterp.errors import ConfigError, short
from grokinterp.lazy import Tensor, torch
from grokinterp.maths import groups
from grokinterp.maths.groups import Algebra, Group
from grokinterp.tasks.task import BinaryTask


@dataclass(frozen=True, kw_only=True)
class AmbiguousGroups(BinaryTask):
    """c = x · y in the first of two groups, trained only on pairs for which x · y is the same in the second group.

    Elements of the two groups with the same number are identified, in the order that ``grokinterp.maths.groups``
    documents. C2xC7 and D7 both consist of turns without and with a flip, and agree if x has no flip or y does not
    turn; C9 and C3xC3 agree if the sum of the last digits has no carry. The pairs on which they agree are split into
    training and held-out examples, and the disputed pairs are never trained on: the answers there tell which of the two
    groups the network has learned (``rival_groups``). The labels, and so the test accuracy, are those of the first
    group: a network that has learned the second is wrong on all disputed pairs.

    Source: docs/formulas.md (ambiguous training sets).

    Raises:
        ConfigError: if a group is unknown or has more than 1000 elements, or the groups differ in order, have the same
            table, or agree on no pair.

    >>> task = AmbiguousGroups(first="C2xC7", second="D7")
    >>> int(task.withheld().sum()), int(task.label()[14 * 8 + 1])  # in D7 it is r1s · r1 = s, in C2xC7 it is r2s
    (84, 9)
    """

    about: ClassVar[str] = "c = x·y in one of two groups that agree on all training pairs: C2xC7 or D7, C9 or C3xC3"
    kind: Literal["ambiguous_groups"] = "ambiguous_groups"
    first: str = "C2xC31"
    second: str = "D31"

    def __post_init__(self) -> None:
        for name in ("first", "second"):
            try:
                groups.parse(getattr(self, name))
            except ValueError as error:
                raise ConfigError(name, short(getattr(self, name)), str(error)) from None
        sizes = groups.order(self.first), groups.order(self.second)
        if sizes[0] != sizes[1]:
            raise ConfigError("second", self.second, f"has {sizes[1]} elements, {self.first} has {sizes[0]}")
        disputed = int(self.withheld().sum())
        if disputed in (0, self.n_examples):
            rule = f"agrees with {self.first} on {'every pair' if disputed == 0 else 'no pair'}"
            raise ConfigError("second", self.second, rule)

    @cached_property
    def structures(self) -> tuple[Group, Group]:
        """The two groups."""
        return groups.group(self.first), groups.group(self.second)

    @property
    def n_examples(self) -> int:
        return self.d_vocab**2

    @property
    def d_vocab(self) -> int:
        return groups.order(self.first)

    @property
    def n_classes(self) -> int:
        return self.d_vocab

    def table(self) -> Int[Tensor, "a b"]:
        return self.structures[0].table

    @property
    def withholds(self) -> bool:
        return True

    def withheld(self) -> Bool[Tensor, "example"]:
        """Return the pairs with different products in the two groups."""
        first, second = (group.table.flatten() for group in self.structures)
        return first != second

    @property
    def rivals(self) -> tuple[Algebra, ...]:
        """The algebras of the two groups."""
        x = torch.arange(self.d_vocab)
        return tuple(Algebra(group, (x, x), x) for group in self.structures)

    @property
    def algebra(self) -> Algebra:
        return self.rivals[0]

    @property
    def group_name(self) -> str:
        return self.first
