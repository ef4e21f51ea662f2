"""Addition of numbers, digit by digit."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Int

from grokinterp.errors import require
from grokinterp.lazy import Tensor, torch
from grokinterp.tasks.words import WordTask


@dataclass(frozen=True, kw_only=True)
class DigitAddition(WordTask):
    """The sum of two numbers of ``digits`` digits; its digits + 1 digits, with all carries, are the answers.

    Tokens are the digits of both numbers and those of the sum that have been asked before. Numbers start with the digit
    of highest value, or with that of lowest value for ``lowest_first``, where every digit follows from the digits and
    the carry of its place; otherwise the first answers depend on all digits.

    Source: Nanda et al. 2023, appendix (five digits; each digit has a phase change of its own).

    Raises:
        ConfigError: if the base is not from 2 to 1000, or there are more than 32 digits.

    >>> task = DigitAddition(base=10, digits=2)
    >>> task.tokens()[5867].tolist(), task.labels()[5867].tolist()  # 58 + 67 = 125
    ([5, 8, 6, 7, 1, 2], [1, 2, 5])
    """

    about: ClassVar[str] = "the digits of the sum of two numbers"
    kind: Literal["digit_addition"] = "digit_addition"
    base: int = 10
    digits: int = 2
    lowest_first: bool = False

    def __post_init__(self) -> None:
        require(2 <= self.base <= 1000, "base", self.base, "must be an integer from 2 to 1000")
        require(1 <= self.digits <= 32, "digits", self.digits, "must be an integer from 1 to 32")
        super().__post_init__()

    @property
    def letters(self) -> tuple[int, ...]:
        return (self.base,) * (2 * self.digits)

    @property
    def d_vocab(self) -> int:
        return self.base

    @property
    def n_classes(self) -> int:
        return self.base

    @property
    def n_answers(self) -> int:
        return self.digits + 1

    def labels_of(self, words: Int[Tensor, "example place"]) -> Int[Tensor, "example answer"]:
        a, b = (part if self.lowest_first else part.flip(1) for part in words.chunk(2, 1))
        carry, found = torch.zeros_like(words[:, 0]), []
        for total in (a + b).unbind(1):
            found.append((total + carry) % self.base)
            carry = (total + carry) // self.base
        labels = torch.stack([*found, carry], 1)
        return labels if self.lowest_first else labels.flip(1)

    def mirror(self) -> Int[Tensor, "example"]:
        """Return an id that a + b and b + a share."""
        a, b = self._words.chunk(2, 1)
        differs = (a != b).int()
        at = differs.argmax(1, keepdim=True)  # the first digit in which they differ
        swapped = (a.gather(1, at) > b.gather(1, at)).expand_as(a)
        ordered = torch.cat([torch.where(swapped, b, a), torch.where(swapped, a, b)], 1)
        return ordered.unique(dim=0, return_inverse=True)[1]

    def carries(self) -> Int[Tensor, "example"]:
        """Return the number of carries of every example."""
        a, b = self._words.chunk(2, 1)
        return (a.sum(1) + b.sum(1) - self.labels().sum(1)) // (self.base - 1)

    @property
    def no_operands(self) -> str:
        """The reason why the examples are not pairs of operands."""
        return "its operands are numbers of several tokens"
