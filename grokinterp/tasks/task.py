"""The interface of every task: a finite list of token sequences and their labels."""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import ClassVar, NamedTuple

from jaxtyping import Bool, Float, Int

from grokinterp.lazy import Tensor, torch
from grokinterp.maths.groups import Algebra, AnswerGroup
from grokinterp.specification import Specification

Labels = Int[Tensor, "example answer"] | Float[Tensor, "example answer output"]
"""The class of every answer, or in a regression the numbers that are its target."""


class Examples(NamedTuple):
    """Token sequences with their labels."""

    tokens: Int[Tensor, "example position"]
    labels: Int[Tensor, "example answer"]


class Branch(NamedTuple):
    """Examples that apply the same of several operations.

    Args:
        name: the operation.
        examples: which examples apply it.
        algebra: the group in which it is the product of the operands, or None if no such group is known.
    """

    name: str
    examples: Bool[Tensor, "example"]
    algebra: Algebra | None


class Task(Specification, ABC):
    """A finite problem: all examples can be listed, in a fixed order.

    A task is a frozen dataclass of its own parameters with a ``kind`` field that names it in a configuration. It lists
    the examples and their labels; it does not depend on models, splits or training.

    A task may ask for several answers per example, which are read at the last ``n_answers`` positions. By default the
    token sequence ends with all correct answers but the last: each answer is given those before it, as in teacher
    forcing. A model that reads the first answer at "=" inserts it before them.
    """

    about: ClassVar[str]
    """A one-line description of the task."""

    kind: str

    @property
    @abstractmethod
    def n_examples(self) -> int:
        """Number of examples."""

    @property
    @abstractmethod
    def d_vocab(self) -> int:
        """Number of distinct input tokens."""

    @property
    @abstractmethod
    def n_classes(self) -> int:
        """Number of possible labels."""

    @property
    def n_answers(self) -> int:
        """Number of answers per example."""
        return 1

    def tokens_after(self, answer: int) -> int:
        """Return the number of tokens that follow the position at which an answer is read."""
        return self.n_answers - 1 - answer

    @property
    @abstractmethod
    def n_ctx(self) -> int:
        """Length of every token sequence."""

    @property
    def allowed_error(self) -> float | None:
        """Largest root mean squared error of a correct answer of a regression; None if the labels are classes."""
        return None

    @property
    def answers_every_token(self) -> bool:
        """Whether answers belong to tokens of the question, so that no "=" separates the question from them."""
        return False

    @abstractmethod
    def tokens(self) -> Int[Tensor, "example position"]:
        """Return the input tokens of every example."""

    @abstractmethod
    def labels(self) -> Int[Tensor, "example answer"]:
        """Return the class of every answer of every example, in [0, n_classes); -1 for an answer not asked for."""

    def label(self) -> Int[Tensor, "example"]:
        """Return the class of every example of a task with a single answer."""
        return only_answer(self.labels())

    def draw(self, count: int, generator: "torch.Generator") -> Examples:
        """Return examples drawn uniformly from all examples of the problem, which may repeat."""
        chosen = torch.randint(self.n_examples, (count,), generator=generator)
        return Examples(self.tokens()[chosen], self.labels()[chosen])

    def mirror(self) -> Int[Tensor, "example"]:
        """Return an id per example, shared by examples that reveal each other's answer.

        For a commutative operation (a, b) and (b, a) share an id. An example without a mirror image has its own id.
        """
        return torch.arange(self.n_examples)

    @property
    def n_given(self) -> int:
        """Number of examples that are always in the training set, such as facts that imply others."""
        return 0

    def given(self) -> Bool[Tensor, "example"]:
        """Return which examples are always in the training set: by default the first ``n_given``."""
        return torch.arange(self.n_examples) < self.n_given

    @property
    def withholds(self) -> bool:
        """Whether some examples are never trained on."""
        return False

    def withheld(self) -> Bool[Tensor, "example"]:
        """Return which examples are never trained on, such as those on which two groups disagree; by default none."""
        return torch.zeros(self.n_examples, dtype=torch.bool)

    def difficulty(self) -> Float[Tensor, "example"]:
        """Return the difficulty of each example, for a curriculum; only the order matters.

        The default is the sum of the tokens, which for numbers is the size of the operands. A task overrides it if its
        tokens are not numbers, or if another measure is more natural.
        """
        return self.tokens().sum(1).double()

    @property
    def no_group(self) -> str:
        """The reason for the lack of ``algebra``, if it is None."""
        return f"no group is known in which {self.kind} is the product"

    @property
    def no_operands(self) -> str:
        """The reason why the examples are not pairs of operands, if they are not."""
        return f"{self.kind} does not have two operands"

    @property
    def algebra(self) -> Algebra | None:
        """The group in which the labels are products of the operands, or None if no such group is known."""
        return None

    @property
    def operand_positions(self) -> tuple[int, ...]:
        """The positions of the operands in the token sequence; by default all."""
        return tuple(range(self.n_ctx))

    @property
    def branches(self) -> tuple[Branch, ...]:
        """The operations of which every example applies one, such as + and -; empty for a single operation."""
        return ()

    @property
    def rivals(self) -> tuple[Algebra, ...]:
        """The groups in which the labels of all examples but the withheld ones are products; empty for a single one."""
        return ()

    @property
    def operand_algebra(self) -> Algebra | None:
        """An algebra that holds for all examples or, where an operator is a token, for those with the first one."""
        return self.algebra

    @property
    def product_group(self) -> AnswerGroup | None:
        """The group in which the label of every example is the product of elements that its operands represent.

        By default the group of the algebra. Where an operator is a token, the elements depend on it: in C_p both a + b
        and a - b are products of a with an element that b represents.
        """
        return None if self.algebra is None else AnswerGroup(self.algebra.group, self.algebra.answer)

    @property
    def group_name(self) -> str | None:
        """The name of the group of the algebra, such as ``C31``, where it is known without building the group."""
        return None

    @property
    def answer_group(self) -> AnswerGroup | None:
        """The group that contains the classes, by default the group of the products, or None if unknown."""
        return self.product_group


class BinaryTask(Task):
    """c = a ∘ b for two operands from one vocabulary.

    The examples are the pairs for which a ∘ b is defined, in row-major order of (a, b).
    """

    @abstractmethod
    def table(self) -> Int[Tensor, "a b"]:
        """Return the class of every pair; -1 if the operation is not defined."""

    @property
    @abstractmethod
    def d_vocab(self) -> int:
        """Number of distinct operands."""

    @property
    def n_examples(self) -> int:
        return len(self._pairs)

    @property
    def n_ctx(self) -> int:
        return 2

    def tokens(self) -> Int[Tensor, "example position"]:
        return self._pairs.clone()

    def labels(self) -> Int[Tensor, "example answer"]:
        return self._table[tuple(self._pairs.T)].unsqueeze(1)

    def mirror(self) -> Int[Tensor, "example"]:
        if not self.is_commutative:
            return torch.arange(self.n_examples)
        a, b = self._pairs.T
        return torch.minimum(a, b) * self.d_vocab + torch.maximum(a, b)

    @cached_property
    def is_commutative(self) -> bool:
        """Whether a ∘ b = b ∘ a for all pairs for which either is defined."""
        n_left, n_right = self._table.shape
        square = self._table.new_full((max(n_left, n_right),) * 2, -1)
        square[:n_left, :n_right] = self._table
        return bool((square == square.T).all())

    @cached_property
    def _table(self) -> Int[Tensor, "a b"]:
        return self.table()

    @cached_property
    def _pairs(self) -> Int[Tensor, "example 2"]:
        return (self._table >= 0).nonzero()


def only_answer(labels: Labels) -> Int[Tensor, "example"] | Float[Tensor, "example output"]:
    """Return the labels of the only answer. Raises ValueError if there are several, from which one must be chosen.

    >>> only_answer(torch.tensor([[3], [5]])).tolist()
    [3, 5]
    """
    if labels.shape[1] != 1:
        raise ValueError(f"there are {labels.shape[1]} answers per example: choose one by at_answer")
    return labels.squeeze(1)
