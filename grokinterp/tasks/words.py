"""Tasks whose questions are words: all words of some letters, or a random sample of them."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import ClassVar

from jaxtyping import Int

from grokinterp.errors import ConfigError, require
from grokinterp.lazy import Tensor, torch
from grokinterp.tasks.task import Examples, Task

MOST_EXAMPLES = 10**6
"""Largest number of examples."""

LONGEST = 64
"""Largest number of letters of a word."""

TRIES = 100
"""Number of times that words are drawn until enough of them differ."""


@dataclass(frozen=True, kw_only=True)
class WordTask(Task):
    """A task whose examples are made from words, with a number of possible letters at every place of a word.

    The examples are those of all words in lexicographic order or, for ``samples``, of distinct words drawn uniformly by
    a separate generator from ``seed``.

    Raises:
        ConfigError: if there are more than 10^6 examples, fewer different words than ``samples``, or the seed is
            negative.
    """

    has_synonyms: ClassVar[bool] = False
    """Whether several words may give the same tokens; the first of them counts."""

    samples: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        words, samples = prod(self.letters), self.samples
        rule = f"are {words:,} words: above {MOST_EXAMPLES:,}, give task.samples"
        require(samples is not None or words <= MOST_EXAMPLES, "samples", samples, rule)
        most = min(MOST_EXAMPLES, words)
        rule = f"must be an integer from 2 to {most:,}"
        require(samples is None or 2 <= samples <= most, "samples", samples, rule)
        require(0 <= self.seed < 2**63, "seed", self.seed, "must be from 0 to 2^63 - 1")

    @property
    @abstractmethod
    def letters(self) -> tuple[int, ...]:
        """The number of possible letters at every place of a word."""

    @abstractmethod
    def labels_of(self, words: Int[Tensor, "example place"]) -> Int[Tensor, "example answer"]:
        """Return the labels of the examples made from some words."""

    def tokens_of(self, words: Int[Tensor, "example place"]) -> Int[Tensor, "example position"]:
        """Return the token sequences made from some words: the word, and all answers but the last."""
        return torch.cat([words, self.labels_of(words)[:, :-1]], 1)

    @property
    def n_ctx(self) -> int:
        return len(self.letters) + self.n_answers - 1

    @property
    def n_examples(self) -> int:
        return prod(self.letters) if self.samples is None else self.samples

    def tokens(self) -> Int[Tensor, "example position"]:
        return self.tokens_of(self._words)

    def labels(self) -> Int[Tensor, "example answer"]:
        return self.labels_of(self._words)

    def draw(self, count: int, generator: "torch.Generator") -> Examples:
        """Return examples of uniformly drawn words, which may repeat."""
        words = self._drawn(count, generator)
        return Examples(self.tokens_of(words), self.labels_of(words))

    def _drawn(self, count: int, generator: "torch.Generator") -> Int[Tensor, "example place"]:
        """Return uniformly drawn words."""
        return torch.stack([torch.randint(n, (count,), generator=generator) for n in self.letters], 1)

    @cached_property
    def _words(self) -> Int[Tensor, "example place"]:
        """Return the words of all examples, no two of which give the same tokens."""
        if self.samples is None:
            words = torch.cartesian_prod(*map(torch.arange, self.letters)).reshape(-1, len(self.letters))
            return words[first_of_each(self.tokens_of(words))] if self.has_synonyms else words
        generator, words = torch.Generator().manual_seed(self.seed), torch.empty(0, len(self.letters)).long()
        for _ in range(TRIES):
            words = torch.cat([words, self._drawn(self.samples, generator)])
            words = words[first_of_each(self.tokens_of(words))]
            if len(words) >= self.samples:
                return words[: self.samples]
        raise ConfigError("samples", self.samples, f"are more than the {len(words):,} different examples")


def first_of_each(rows: Int[Tensor, "row column"]) -> Int[Tensor, "distinct"]:
    """Return the index of the first of each set of equal rows, in ascending order.

    >>> first_of_each(torch.tensor([[1, 2], [0, 0], [1, 2]])).tolist()
    [0, 1]
    """
    distinct, index = rows.unique(dim=0, return_inverse=True)
    first = torch.full((len(distinct),), len(rows)).scatter_reduce(0, index, torch.arange(len(rows)), "amin")
    return first.sort().values


def require_length(length: int, least: int = 1) -> None:
    """Raise ConfigError unless words have a permitted length."""
    require(least <= length <= LONGEST, "length", length, f"must be an integer from {least} to {LONGEST}")
