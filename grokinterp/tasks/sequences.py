"""Next terms of sequences over Z_p that follow a rule."""

from abc import abstractmethod
from dataclasses import dataclass
from itertools import combinations
from math import gcd
from typing import ClassVar, Literal

from jaxtyping import Float, Int

from grokinterp.errors import ConfigError
from grokinterp.lazy import Tensor, torch
from grokinterp.maths.groups import Algebra, AnswerGroup, cyclic
from grokinterp.tasks.task import Task

LARGEST = 10**6
"""Largest number of sequences of a task in this file."""
LONGEST = 64
"""Largest number of terms of a sequence in the input."""


@dataclass(frozen=True, kw_only=True)
class SequenceTask(Task):
    """The tokens are the first ``length`` terms of a sequence over Z_p, and the label is the next term."""

    p: int = 11
    length: int = 4

    def __post_init__(self) -> None:
        if not 2 <= self.p <= 1000:
            raise ConfigError("p", self.p, "must be an integer from 2 to 1000")

    @property
    def d_vocab(self) -> int:
        return self.p

    @property
    def n_classes(self) -> int:
        return self.p

    @property
    def n_ctx(self) -> int:
        return self.length

    @property
    def answer_group(self) -> AnswerGroup:
        """The residues under addition: C_p."""
        return AnswerGroup(cyclic(self.p), torch.arange(self.p))

    @abstractmethod
    def terms(self) -> Int[Tensor, "example term"]:
        """Return the first length + 1 terms of every sequence."""

    def tokens(self) -> Int[Tensor, "example position"]:
        return self.terms()[:, :-1].clone()

    def labels(self) -> Int[Tensor, "example answer"]:
        return self.terms()[:, -1:].clone()


@dataclass(frozen=True, kw_only=True)
class LinearRecurrence(SequenceTask):
    """x_{t+1} = c_0 x_t + c_1 x_{t-1} + ... + c_{k-1} x_{t-k+1} mod p, from each of the p^k initial states.

    The examples are in the order of their first k terms. ``length=k`` is a single sum of k operands; a greater length
    shows applications of the rule before the question.

    Source: Lidl and Niederreiter 1997, chapter 8.

    Raises:
        ConfigError: if all coefficients are 0 modulo p, there are more than 10^6 states, or the length is below k or
            above 64.

    >>> task = LinearRecurrence(p=5, coefficients=(1, 1), length=4)  # Fibonacci modulo 5
    >>> task.tokens()[1].tolist(), int(task.label()[1])
    ([0, 1, 1, 2], 3)
    """

    about: ClassVar[str] = "the next term of x_{t+1} = c_0 x_t + ... + c_{k-1} x_{t-k+1} mod p"
    kind: Literal["linear_recurrence"] = "linear_recurrence"
    p: int = 97
    coefficients: tuple[int, ...] = (1, 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not any(self._reduced):
            raise ConfigError("coefficients", self.coefficients, f"must not all be 0 modulo p={self.p}")
        if len(self.coefficients) >= LARGEST.bit_length() or self.n_examples > LARGEST:
            rule = f"start p^{len(self.coefficients)} sequences with p={self.p}, more than {LARGEST}"
            raise ConfigError("coefficients", self.coefficients[:20], rule)
        if not len(self.coefficients) <= self.length <= LONGEST:
            rule = f"must be from {len(self.coefficients)}, the number of coefficients, to {LONGEST}"
            raise ConfigError("length", self.length, rule)

    @property
    def n_examples(self) -> int:
        return self.p ** len(self.coefficients)

    def terms(self) -> Int[Tensor, "example term"]:
        terms = list(words(self.p, len(self.coefficients)).T)
        while len(terms) <= self.length:
            terms.append(sum(c * terms[-1 - i] for i, c in enumerate(self._reduced)) % self.p)
        return torch.stack(terms, 1)

    def difficulty(self) -> Float[Tensor, "example"]:
        """Return the next term before reduction modulo p; terms that do not enter it do not count."""
        last = self.tokens().flip(1)[:, : len(self.coefficients)]
        return (last * torch.tensor(self._reduced)).sum(1).double()

    def mirror(self) -> Int[Tensor, "example"]:
        """Return an id that sums of the same operands share, for length = k: terms with equal coefficients commute."""
        if self.length > len(self.coefficients):
            return super().mirror()
        operands, coefficients = self.tokens(), torch.tensor(self._reduced).flip(0)
        for coefficient in coefficients.unique():
            equal = coefficients == coefficient
            operands[:, equal] = operands[:, equal].sort(1).values
        return (operands * self.p ** torch.arange(self.length).flip(0)).sum(1)

    @property
    def algebra(self) -> Algebra | None:
        """C_p for length = k, where the next term is a weighted sum of all terms."""
        if self.length > len(self.coefficients):
            return None
        residues = torch.arange(self.p)
        operands = tuple(coefficient * residues % self.p for coefficient in reversed(self._reduced))
        return Algebra(cyclic(self.p), operands, residues)

    @property
    def _reduced(self) -> tuple[int, ...]:
        return tuple(coefficient % self.p for coefficient in self.coefficients)


@dataclass(frozen=True, kw_only=True)
class PeriodicSequence(SequenceTask):
    """All sequences over Z_p that have one of the periods, which the model has to infer.

    The terms determine the next term if length >= d + e - gcd(d, e) for periods d and e; with one term fewer, two
    sequences agree on all terms shown and differ in the next. Examples are ordered by their least period, then by their
    terms.

    Source: Fine and Wilf 1965, Uniqueness theorems for periodic functions.

    Raises:
        ConfigError: if periods are not distinct or not from 1 to 19, there are more than 10^6 sequences, or the length
            does not determine the next term or is above 64.

    >>> task = PeriodicSequence(p=2, periods=(2, 3), length=4)
    >>> [(row.tolist(), int(label)) for row, label in zip(task.tokens()[2:5], task.label()[2:5])]
    [([0, 1, 0, 1], 0), ([1, 0, 1, 0], 1), ([0, 0, 1, 0], 0)]
    """

    about: ClassVar[str] = "the next term of a sequence over Z_p with one of these periods"
    kind: Literal["periodic_sequence"] = "periodic_sequence"
    periods: tuple[int, ...] = (2, 3)
    length: int = 6

    def __post_init__(self) -> None:
        super().__post_init__()
        longest = LARGEST.bit_length() - 1
        distinct = len(set(self.periods)) == len(self.periods) > 0
        if not (distinct and all(1 <= period <= longest for period in self.periods)):
            raise ConfigError("periods", self.periods[:20], f"must be distinct integers from 1 to {longest}")
        if self.n_examples > LARGEST:
            raise ConfigError(
                "periods", self.periods, f"give {self.n_examples} sequences with p={self.p}, more than {LARGEST}"
            )
        if not self._shortest <= self.length <= LONGEST:
            rule = f"must be from {self._shortest}, where periods {self.periods} settle the next term, to {LONGEST}"
            raise ConfigError("length", self.length, rule)

    @property
    def n_examples(self) -> int:
        return sum(self._counts.values())

    def terms(self) -> Int[Tensor, "example term"]:
        position = torch.arange(self.length + 1)
        return torch.cat([primitive_words(self.p, period)[:, position % period] for period in self._counts])

    def difficulty(self) -> Float[Tensor, "example"]:
        """Return the least period: how much must be remembered, whatever the terms."""
        return torch.cat([torch.full((count,), period).double() for period, count in self._counts.items()])

    @property
    def _shortest(self) -> int:
        """Number of terms that determine the next term."""
        pairs = combinations(self.periods, 2)
        return max([*self.periods, *(d + e - gcd(d, e) for d, e in pairs)])

    @property
    def _counts(self) -> dict[int, int]:
        """The number of sequences with each least period: p^d minus those whose period is a proper divisor of d."""
        counts: dict[int, int] = {}
        for d in range(1, max(self.periods) + 1):
            counts[d] = self.p**d - sum(count for divisor, count in counts.items() if d % divisor == 0)
        return {d: count for d, count in counts.items() if any(period % d == 0 for period in self.periods)}


def words(letters: int, length: int) -> Int[Tensor, "word position"]:
    """Return all sequences of numbers below ``letters``, in lexicographic order.

    >>> words(2, 2).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    return torch.cartesian_prod(*[torch.arange(letters)] * length).reshape(-1, length)


def primitive_words(letters: int, length: int) -> Int[Tensor, "word position"]:
    """Return the words that do not repeat a shorter word, in lexicographic order.

    >>> primitive_words(2, 2).tolist()
    [[0, 1], [1, 0]]
    """
    found = words(letters, length)
    for divisor in range(1, length):
        if length % divisor == 0:
            found = found[(found != found.roll(divisor, 1)).any(1)]
    return found
