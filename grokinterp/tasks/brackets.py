"""Balanced brackets, a formal language."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Int

from grokinterp.lazy import Tensor, torch
from grokinterp.tasks.words import WordTask, require_length

BALANCED, OPEN, BROKEN = range(3)
"""The classes of a string of brackets."""


@dataclass(frozen=True, kw_only=True)
class Brackets(WordTask):
    """Whether each prefix of a string of brackets is balanced, can still be balanced, or cannot.

    Token 0 opens a bracket, and token 1 closes one. After every token the answer is 0 if the string so far is balanced,
    1 if some brackets are still open, and 2 if a bracket was closed that had not been opened. The last answer is about
    the whole string.

    Source: the Dyck language with one kind of bracket (Chomsky and Schützenberger 1963).

    Raises:
        ConfigError: if the length is not from 2 to 64.

    >>> task = Brackets(length=4)
    >>> task.tokens()[6].tolist(), task.labels()[6].tolist()  # ())(
    ([0, 1, 1, 0], [1, 0, 2, 2])
    """

    about: ClassVar[str] = "whether brackets are balanced, open or broken after every token"
    kind: Literal["brackets"] = "brackets"
    length: int = 12

    def __post_init__(self) -> None:
        require_length(self.length, 2)
        super().__post_init__()

    @property
    def letters(self) -> tuple[int, ...]:
        return (2,) * self.length

    @property
    def d_vocab(self) -> int:
        return 2

    @property
    def n_classes(self) -> int:
        return 3

    @property
    def n_answers(self) -> int:
        return self.length

    @property
    def n_ctx(self) -> int:
        return self.length

    @property
    def answers_every_token(self) -> bool:
        return True

    def tokens_of(self, words: Int[Tensor, "example place"]) -> Int[Tensor, "example position"]:
        return words.clone()

    def labels_of(self, words: Int[Tensor, "example place"]) -> Int[Tensor, "example answer"]:
        depth = (1 - 2 * words).cumsum(1)
        broken = depth.cummin(1).values < 0
        return torch.where(broken, BROKEN, torch.where(depth > 0, OPEN, BALANCED))

    @property
    def no_operands(self) -> str:
        """The reason why the examples are not pairs of operands."""
        return "its examples are strings of brackets"
