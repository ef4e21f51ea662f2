"""Sequences whose continuation is found in the context: repeated sequences and skip trigrams."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

from jaxtyping import Int

from grokinterp.errors import require
from grokinterp.lazy import Tensor, torch
from grokinterp.tasks.words import WordTask, require_length


@dataclass(frozen=True, kw_only=True)
class RepeatedSequence(WordTask):
    """The next token of a random sequence that repeats with a period of its own: the task of induction heads.

    A sequence of ``length`` tokens below ``p`` is continued with a period from ``shortest`` to ``length``, until there
    are 2 · length tokens. Every token after the first repeated one is asked for: [A][B] … [A] → [B]. Because periods
    differ, the distance between a token and its repetition does not reveal the answer; ``shortest = length`` makes
    it fixed. The labels of the positions before a sequence repeats are -1.

    Source: Olsson et al. 2022, In-context learning and induction heads; Nanda et al. 2023, appendix.

    Raises:
        ConfigError: if p is not from 2 to 1000, the length not from 2 to 32, or the shortest period not from 2 to it.

    >>> task = RepeatedSequence(p=5, length=3, shortest=2, samples=None)
    >>> i = task.tokens().tolist().index([4, 1, 4, 1, 4])
    >>> task.labels()[i].tolist()  # after the second 4: 1, then 4, then 1
    [1, 4, 1]
    """

    about: ClassVar[str] = "the next tokens of a sequence that repeats"
    has_synonyms: ClassVar[bool] = True
    kind: Literal["repeated_sequence"] = "repeated_sequence"
    p: int = 20
    length: int = 8
    shortest: int = 4
    samples: int | None = 2000

    def __post_init__(self) -> None:
        require(2 <= self.p <= 1000, "p", self.p, "must be an integer from 2 to 1000")
        require(2 <= self.length <= 32, "length", self.length, "must be an integer from 2 to 32")
        rule = f"must be an integer from 2 to length={self.length}"
        require(2 <= self.shortest <= self.length, "shortest", self.shortest, rule)
        super().__post_init__()

    @property
    def letters(self) -> tuple[int, ...]:
        return (self.length - self.shortest + 1, *(self.p,) * self.length)

    @property
    def d_vocab(self) -> int:
        return self.p

    @property
    def n_classes(self) -> int:
        return self.p

    @property
    def n_examples(self) -> int:
        """The number of samples, or of all sequences, some of which have several periods."""
        return len(self._words) if self.samples is None else self.samples

    @property
    def n_ctx(self) -> int:
        return 2 * self.length - 1

    @property
    def n_answers(self) -> int:
        return 2 * self.length - 1 - self.shortest

    @property
    def answers_every_token(self) -> bool:
        return True

    def tokens_of(self, words: Int[Tensor, "example place"]) -> Int[Tensor, "example position"]:
        return self._repeated(words)[:, :-1]

    def labels_of(self, words: Int[Tensor, "example place"]) -> Int[Tensor, "example answer"]:
        following, at = self._repeated(words)[:, self.shortest + 1 :], torch.arange(self.shortest, self.n_ctx)
        return torch.where(at < self._period(words), -1, following)

    def _period(self, words: Int[Tensor, "example place"]) -> Int[Tensor, "example 1"]:
        return words[:, :1] + self.shortest

    def _repeated(self, words: Int[Tensor, "example place"]) -> Int[Tensor, "example term"]:
        place = torch.arange(2 * self.length) % self._period(words)
        return words[:, 1:].gather(1, place)

    @property
    def no_operands(self) -> str:
        """The reason why the examples are not pairs of operands."""
        return "its examples are sequences"


@dataclass(frozen=True, kw_only=True)
class SkipTrigram(WordTask):
    """[A] … [B] → [C]: the answer to the last token B depends on the one key A among the tokens before it.

    The keys are the first ``keys`` tokens, followed by ``fillers`` tokens that mean nothing and ``queries`` tokens that
    may be last. The answer is an entry of a random table with a row per key and a column per query, drawn from
    ``seed``.

    Source: Elhage et al. 2021, A mathematical framework for transformer circuits (skip-trigrams).

    Raises:
        ConfigError: if a number of tokens is not from 1 to 1000, or the length not from 2 to 64.

    >>> task = SkipTrigram(keys=2, fillers=1, queries=2, classes=5, length=3, samples=None)
    >>> task.tokens().tolist()[:2], task.n_examples  # the filler is token 2, and the queries are 3 and 4
    ([[0, 2, 3], [0, 2, 4]], 8)
    """

    about: ClassVar[str] = "the class of the last token and the one key before it"
    kind: Literal["skip_trigram"] = "skip_trigram"
    keys: int = 10
    fillers: int = 10
    queries: int = 10
    classes: int = 20
    length: int = 6
    samples: int | None = 2000

    def __post_init__(self) -> None:
        for key in ("keys", "fillers", "queries", "classes"):
            least = 2 if key in ("keys", "classes") else 1
            rule = f"must be an integer from {least} to 1000"
            require(least <= getattr(self, key) <= 1000, key, getattr(self, key), rule)
        require_length(self.length, 2)
        super().__post_init__()

    @property
    def letters(self) -> tuple[int, ...]:
        return (self.length - 1, self.keys, self.queries, *(self.fillers,) * (self.length - 2))

    @property
    def d_vocab(self) -> int:
        return self.keys + self.fillers + self.queries

    @property
    def n_classes(self) -> int:
        return self.classes

    @property
    def n_ctx(self) -> int:
        return self.length

    def tokens_of(self, words: Int[Tensor, "example place"]) -> Int[Tensor, "example position"]:
        place, key, query, fillers = words[:, :1], words[:, 1:2], words[:, 2:3], words[:, 3:] + self.keys
        padded, at = torch.cat([fillers, fillers[:, :0].new_zeros(len(words), 1)], 1), torch.arange(self.length - 1)
        before = torch.where(at == place, key, padded.gather(1, (at - (at > place).long()).expand(len(words), -1)))
        return torch.cat([before, query + self.keys + self.fillers], 1)

    def labels_of(self, words: Int[Tensor, "example place"]) -> Int[Tensor, "example answer"]:
        return self.table[words[:, 1], words[:, 2]].unsqueeze(1)

    @cached_property
    def table(self) -> Int[Tensor, "key query"]:
        """The class of every key and query."""
        generator = torch.Generator().manual_seed(self.seed)
        return torch.randint(self.classes, (self.keys, self.queries), generator=generator)

    @property
    def no_operands(self) -> str:
        """The reason why the examples are not pairs of operands."""
        return "its key stands at any place among other tokens"
