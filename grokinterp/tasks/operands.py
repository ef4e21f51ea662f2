"""Sums and products of any number of operands."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import ClassVar, Literal

from jaxtyping import Int

from grokinterp.errors import ConfigError
from grokinterp.lazy import Tensor, torch
from grokinterp.maths import groups
from grokinterp.maths.groups import Algebra, AnswerGroup, Group, cyclic
from grokinterp.maths.residues import discrete_logarithm, is_prime
from grokinterp.tasks.groups import require_group
from grokinterp.tasks.words import MOST_EXAMPLES, WordTask


@dataclass(frozen=True, kw_only=True)
class OperandsTask(WordTask):
    """An operation on n operands from one vocabulary; the words are the sequences of operands."""

    n: int = 3

    def __post_init__(self) -> None:
        if not 2 <= self.n <= 16:
            raise ConfigError("n", self.n, "must be an integer from 2 to 16")
        number = self.d_vocab**self.n
        if number > 2**62:
            raise ConfigError("n", self.n, f"has {self.d_vocab}^{self.n} sequences, more than 2^62")
        if self.samples is None and number > MOST_EXAMPLES:
            raise ConfigError("n", self.n, f"has {number} sequences, more than {MOST_EXAMPLES}; give samples")
        super().__post_init__()

    @property
    def letters(self) -> tuple[int, ...]:
        return (self.d_vocab,) * self.n

    @property
    def n_classes(self) -> int:
        return self.d_vocab

    @property
    @abstractmethod
    def commutes(self) -> bool:
        """Whether the order of the operands never changes the answer."""

    @abstractmethod
    def values(self, tokens: Int[Tensor, "example operand"]) -> Int[Tensor, "example"]:
        """Return the class of every sequence of operands."""

    def labels_of(self, words: Int[Tensor, "example place"]) -> Int[Tensor, "example answer"]:
        return self.values(words).unsqueeze(1)

    def mirror(self) -> Int[Tensor, "example"]:
        """Return an id that sequences share if they differ only in the order of operands, if this is irrelevant."""
        if not self.commutes:
            return super().mirror()
        return (self._words.sort(1).values * self.d_vocab ** torch.arange(self.n).flip(0)).sum(1)


@dataclass(frozen=True, kw_only=True)
class ResidueOperands(OperandsTask):
    """An operation on n residues modulo p in which their order is irrelevant."""

    p: int = 23

    def __post_init__(self) -> None:
        if not 3 <= self.p <= 1000:
            raise ConfigError("p", self.p, "must be an integer from 3 to 1000")
        super().__post_init__()

    @property
    def d_vocab(self) -> int:
        return self.p

    @property
    def commutes(self) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class ModularSum(ResidueOperands):
    """c = (a_1 + … + a_n) mod p.

    ``LinearRecurrence`` with as many terms as coefficients is a weighted sum, such as a + b - c.

    Source: Doshi et al. 2024 (sums of many terms); Nanda et al. 2023, §3, for n = 2.

    Raises:
        ConfigError: if p is not from 3 to 1000 or n not from 2 to 16; there are more than 10^6 sequences without
            ``samples``, or more than 2^62; samples is not from 2 to 10^6 and their number; or the seed is negative.

    >>> task = ModularSum(p=5, n=3)
    >>> task.tokens()[38].tolist(), int(task.label()[38])
    ([1, 2, 3], 1)
    """

    about: ClassVar[str] = "c = (a_1 + ... + a_n) mod p"
    kind: Literal["modular_sum"] = "modular_sum"

    def values(self, tokens: Int[Tensor, "example operand"]) -> Int[Tensor, "example"]:
        return tokens.sum(1) % self.p

    @property
    def group_name(self) -> str:
        return f"C{self.p}"

    @property
    def algebra(self) -> Algebra:
        residues = torch.arange(self.p)
        return Algebra(cyclic(self.p), (residues,) * self.n, residues)


@dataclass(frozen=True, kw_only=True)
class ModularProduct(ResidueOperands):
    """c = (a_1 · … · a_n) mod p; the product in C_{p-1} of the discrete logarithms if p is prime.

    Source: Furuta et al. 2024, for n = 2; Doshi et al. 2024 (many terms).

    Raises:
        ConfigError: as for ``ModularSum``.

    >>> task = ModularProduct(p=5, n=3)
    >>> task.tokens()[69].tolist(), int(task.label()[69])  # 2 · 3 · 4 = 24
    ([2, 3, 4], 4)
    """

    about: ClassVar[str] = "c = (a_1 · ... · a_n) mod p"
    kind: Literal["modular_product"] = "modular_product"

    def values(self, tokens: Int[Tensor, "example operand"]) -> Int[Tensor, "example"]:
        return reduce(lambda product, operand: product * operand % self.p, tokens.T)

    @property
    def group_name(self) -> str | None:
        return f"C{self.p - 1}" if is_prime(self.p) else None

    @property
    def algebra(self) -> Algebra | None:
        if not is_prime(self.p):
            return None
        logarithm = discrete_logarithm(self.p)
        return Algebra(cyclic(self.p - 1), (logarithm,) * self.n, logarithm)

    @property
    def answer_group(self) -> AnswerGroup:
        """The group of the products, or otherwise the residues under addition: C_p."""
        return super().answer_group or AnswerGroup(cyclic(self.p), torch.arange(self.p))


@dataclass(frozen=True, kw_only=True)
class GroupProduct(OperandsTask):
    """c = x_1 · … · x_n in a finite group, or c = x_n · … · x_1 under the convention ``right_first``.

    Groups and conventions are those of ``GroupComposition``, which is the case n = 2.

    Source: Chughtai et al. 2023, §3, for n = 2.

    Raises:
        ConfigError: if the group or the convention is unknown, or as for ``ModularSum``.

    >>> task = GroupProduct(group="S3", n=3)
    >>> swap_0_1, swap_1_2 = task.structure.elements.index("102"), task.structure.elements.index("021")
    >>> example = 36 * swap_0_1 + 6 * swap_1_2 + swap_0_1
    >>> task.structure.elements[task.label()[example]]
    '210'
    """

    about: ClassVar[str] = "c = x_1·...·x_n in a finite group: S4, A5, D7, C13, ..."
    kind: Literal["group_product"] = "group_product"
    group: str = "S4"
    convention: Literal["left_first", "right_first"] = "left_first"

    def __post_init__(self) -> None:
        require_group(self.group, self.convention)
        super().__post_init__()

    @cached_property
    def structure(self) -> Group:
        """The named group; x · y is "x then y" for permutations."""
        return groups.group(self.group)

    @property
    def d_vocab(self) -> int:
        return groups.order(self.group)

    @property
    def commutes(self) -> bool:
        return self.structure.is_abelian

    def values(self, tokens: Int[Tensor, "example operand"]) -> Int[Tensor, "example"]:
        ordered = tokens.T if self.convention == "left_first" else tokens.T.flip(0)
        return reduce(lambda product, operand: self.structure.table[product, operand], ordered)

    @property
    def group_name(self) -> str:
        return self.group

    @property
    def algebra(self) -> Algebra:
        x = torch.arange(self.structure.order) if self.convention == "left_first" else self.structure.inverse
        return Algebra(self.structure, (x,) * self.n, x)
