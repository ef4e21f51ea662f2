"""Compositions of two operations."""

from dataclasses import dataclass, field
from functools import cached_property
from itertools import permutations
from typing import Annotated, ClassVar, Literal

from jaxtyping import Float, Int
from pydantic import Discriminator

from grokinterp.errors import ConfigError
from grokinterp.lazy import Tensor, torch
from grokinterp.maths.groups import Algebra, AnswerGroup
from grokinterp.tasks.groups import GroupComposition, GroupConjugation
from grokinterp.tasks.matrices import MatrixMultiplication
from grokinterp.tasks.modular import ModularAddition, ModularDivision, ModularMultiplication, ModularSubtraction
from grokinterp.tasks.operators import ParityOperation
from grokinterp.tasks.polynomials import Polynomial
from grokinterp.tasks.table import Table
from grokinterp.tasks.task import BinaryTask, Task

LARGEST = 10**6
"""Largest number of triples of operands."""

BinaryOperation = Annotated[
    ModularAddition
    | ModularSubtraction
    | ModularMultiplication
    | ModularDivision
    | Polynomial
    | GroupComposition
    | GroupConjugation
    | MatrixMultiplication
    | ParityOperation
    | Table,
    Discriminator("kind"),
]
"""The operations that can be composed; a new operation joins this union."""


@dataclass(frozen=True, kw_only=True)
class Composition(Task):
    """d = (a ∘ b) • c, with inner operation ∘ and outer operation •: two steps, as in multi-step grokking.

    The classes of the inner operation are operands of the outer operation. The examples are the triples (a, b, c) for
    which both steps are defined, in lexicographic order.

    Raises:
        ConfigError: if the inner operation has classes that are not operands of the outer operation, there are more
            than 10^6 triples, or both steps are defined for none.

    >>> task = Composition(outer=ModularMultiplication(p=5), inner=ModularAddition(p=5))
    >>> task.tokens()[38].tolist(), int(task.label()[38])  # (1 + 2) · 3
    ([1, 2, 3], 4)
    """

    about: ClassVar[str] = "d = (a ∘ b) • c for two binary operations"
    kind: Literal["composition"] = "composition"
    outer: BinaryOperation = field(default_factory=lambda: ModularAddition(p=23))
    inner: BinaryOperation = field(default_factory=lambda: ModularAddition(p=23))

    def __post_init__(self) -> None:
        operands = self.outer.table().shape[0]
        if self.inner.n_classes > operands:
            rule = f"has {self.inner.n_classes} classes, more than the {operands} operands of the outer task"
            raise ConfigError("inner", self.inner.kind, rule)
        triples = self.inner.table().numel() * self.outer.table().shape[1]
        if triples > LARGEST:
            raise ConfigError("inner", self.inner.kind, f"gives {triples} triples of operands, more than {LARGEST}")
        if not self.n_examples:
            raise ConfigError("inner", self.inner.kind, "gives no example: the two steps are never both defined")

    @property
    def n_examples(self) -> int:
        return int((self._cube >= 0).sum())

    @property
    def d_vocab(self) -> int:
        return max(self.inner.d_vocab, self.outer.d_vocab)

    @property
    def n_classes(self) -> int:
        return self.outer.n_classes

    @property
    def n_ctx(self) -> int:
        return 3

    @property
    def algebra(self) -> Algebra | None:
        """The group of both operations if the classes of the inner are the same elements as the outer's operands."""
        inner, outer = self.inner.algebra, self.outer.algebra
        if inner is None or outer is None or not torch.equal(inner.group.table, outer.group.table):
            return None
        if not torch.equal(inner.answer, outer.left[: len(inner.answer)]):
            return None
        places = (*inner.operands, outer.right)
        padded = (torch.nn.functional.pad(place, (0, self.d_vocab - len(place)), value=-1) for place in places)
        return Algebra(outer.group, tuple(padded), outer.answer)

    @property
    def answer_group(self) -> AnswerGroup | None:
        """The group of the products, or otherwise the additive group of the outer operation."""
        return self.product_group or self.outer.answer_group

    def tokens(self) -> Int[Tensor, "example position"]:
        return (self._cube >= 0).nonzero()

    def labels(self) -> Int[Tensor, "example answer"]:
        return self._cube[self._cube >= 0].unsqueeze(1)

    def mirror(self) -> Int[Tensor, "example"]:
        """Return the smallest triple with the same operands in an order that never changes the answer.

        All six orders share an id for repeated addition; (a, b, c) and (b, a, c) share one if only the inner step
        commutes.
        """
        tokens, weights = self.tokens(), self.d_vocab ** torch.arange(2, -1, -1)
        orders = [list(order) for order in permutations(range(3)) if self._cube.permute(order).equal(self._cube)]
        return torch.stack([(tokens[:, order] * weights).sum(1) for order in orders]).min(0).values

    def difficulty(self) -> Float[Tensor, "example"]:
        """Return the sum of the difficulties of both steps, a ∘ b and (a ∘ b) • c."""
        a, b, c = self.tokens().T
        return by_pair(self.inner)[a, b] + by_pair(self.outer)[self.inner.table()[a, b], c]

    @cached_property
    def _cube(self) -> Int[Tensor, "a b c"]:
        """Return the class of every triple; -1 if a step is not defined."""
        first, second = self.inner.table(), self.outer.table()
        return torch.where(first[:, :, None] < 0, -1, second[first.clamp(min=0)])


def by_pair(task: BinaryTask) -> Float[Tensor, "a b"]:
    """Return the difficulty of every pair of operands, 0 for pairs without an example."""
    difficulty = torch.zeros(task.table().shape, dtype=torch.float64)
    difficulty[tuple(task.tokens().T)] = task.difficulty()
    return difficulty
