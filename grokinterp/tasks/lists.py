"""Tasks on lists of numbers: copy, reverse and sort them, and find their maximum."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Int

from grokinterp.errors import require
from grokinterp.lazy import Tensor
from grokinterp.tasks.words import WordTask, require_length


@dataclass(frozen=True, kw_only=True)
class ListTask(WordTask):
    """The examples are lists of ``length`` numbers below ``p``."""

    p: int = 10
    length: int = 4

    def __post_init__(self) -> None:
        require(2 <= self.p <= 1000, "p", self.p, "must be an integer from 2 to 1000")
        require_length(self.length, 2)
        super().__post_init__()

    @property
    def letters(self) -> tuple[int, ...]:
        return (self.p,) * self.length

    @property
    def d_vocab(self) -> int:
        return self.p

    @property
    def n_classes(self) -> int:
        return self.p

    @property
    def no_operands(self) -> str:
        """The reason why the examples are not pairs of operands."""
        return "its examples are lists"


@dataclass(frozen=True, kw_only=True)
class RearrangedList(ListTask):
    """The answers are the numbers of the list in another order; each is given the answers before it."""

    @property
    def n_answers(self) -> int:
        return self.length


@dataclass(frozen=True, kw_only=True)
class CopyList(RearrangedList):
    """The answers are the numbers of the list. Source: Power et al. 2022 (released program).

    Raises:
        ConfigError: if p is not from 2 to 1000, or the length not from 2 to 64.

    >>> task = CopyList(p=3, length=2)
    >>> task.tokens()[5].tolist(), task.labels()[5].tolist()
    ([1, 2, 1], [1, 2])
    """

    about: ClassVar[str] = "the numbers of a list"
    kind: Literal["copy_list"] = "copy_list"

    def labels_of(self, words: Int[Tensor, "example place"]) -> Int[Tensor, "example answer"]:
        return words.clone()


@dataclass(frozen=True, kw_only=True)
class ReverseList(RearrangedList):
    """The answers are the numbers of the list in reverse order. Source: Power et al. 2022 (released program).

    Raises:
        ConfigError: if p is not from 2 to 1000, or the length not from 2 to 64.

    >>> task = ReverseList(p=3, length=2)
    >>> task.tokens()[5].tolist(), task.labels()[5].tolist()
    ([1, 2, 2], [2, 1])
    """

    about: ClassVar[str] = "the numbers of a list in reverse order"
    kind: Literal["reverse_list"] = "reverse_list"

    def labels_of(self, words: Int[Tensor, "example place"]) -> Int[Tensor, "example answer"]:
        return words.flip(1)


@dataclass(frozen=True, kw_only=True)
class SortList(RearrangedList):
    """The answers are the numbers of the list in ascending order. Source: Power et al. 2022 (released program).

    Raises:
        ConfigError: if p is not from 2 to 1000, or the length not from 2 to 64.

    >>> task = SortList(p=3, length=3)
    >>> task.tokens()[19].tolist(), task.labels()[19].tolist()
    ([2, 0, 1, 0, 1], [0, 1, 2])
    """

    about: ClassVar[str] = "the numbers of a list in ascending order"
    kind: Literal["sort_list"] = "sort_list"

    def labels_of(self, words: Int[Tensor, "example place"]) -> Int[Tensor, "example answer"]:
        return words.sort(1).values


@dataclass(frozen=True, kw_only=True)
class Maximum(ListTask):
    """The answer is the largest number of the list, as in the max-of-k models of Gross et al. 2024, §3.

    Raises:
        ConfigError: if p is not from 2 to 1000, or the length not from 2 to 64.

    >>> task = Maximum(p=4, length=3)
    >>> task.tokens()[27].tolist(), int(task.label()[27])
    ([1, 2, 3], 3)
    """

    about: ClassVar[str] = "the largest number of a list"
    kind: Literal["maximum"] = "maximum"

    def labels_of(self, words: Int[Tensor, "example place"]) -> Int[Tensor, "example answer"]:
        return words.amax(1, keepdim=True)

    def mirror(self) -> Int[Tensor, "example"]:
        """Return an id that lists of the same numbers share."""
        return self._words.sort(1).values.unique(dim=0, return_inverse=True)[1]


@dataclass(frozen=True, kw_only=True)
class PlaceOfMaximum(ListTask):
    """The answer is the place of the largest number of the list, counted from 0; of equal numbers, the first counts.

    Raises:
        ConfigError: if p is not from 2 to 1000, or the length not from 2 to 64.

    >>> task = PlaceOfMaximum(p=4, length=3)
    >>> task.tokens()[27].tolist(), int(task.label()[27])
    ([1, 2, 3], 2)
    """

    about: ClassVar[str] = "the place of the largest number of a list"
    kind: Literal["place_of_maximum"] = "place_of_maximum"

    @property
    def n_classes(self) -> int:
        return self.length

    def labels_of(self, words: Int[Tensor, "example place"]) -> Int[Tensor, "example answer"]:
        return words.argmax(1, keepdim=True)
