"""Which training examples are let in when: easy ones first, or hard ones."""

from dataclasses import dataclass
from math import ceil
from typing import ClassVar, Literal

from jaxtyping import Float, Int

from grokinterp.lazy import Tensor
from grokinterp.optim.closed_form import require_share, require_steps


@dataclass(frozen=True, kw_only=True)
class Curriculum:
    """A share of the training examples at first, and all of them after ``over`` steps; start=1 is no curriculum.

    They are let in in order of difficulty ``by`` what the task says of its examples ("size": by default the sum of
    their tokens), by the loss of each at the weights of the moment ("loss"), or in an order drawn at random ("random",
    the control: as many examples, in no order). ``hardest_first`` turns the order around.

    Source: Bengio et al. 2009, Curriculum learning; Hacohen and Weinshall 2019 (pacing functions; the anti-curriculum
    and random controls).

    Raises:
        ConfigError: start outside (0, 1], or over below 1 or above 10^9.

    >>> curriculum = Curriculum(start=0.5, over=100)
    >>> [curriculum.share(t) for t in (0, 50, 100, 1000)], curriculum.count(50, 8)
    ([0.5, 0.75, 1.0, 1.0], 6)
    """

    __pydantic_config__: ClassVar = {"extra": "forbid", "allow_inf_nan": False}

    start: float = 1.0
    over: int = 1000
    by: Literal["size", "loss", "random"] = "size"
    hardest_first: bool = False

    def __post_init__(self) -> None:
        require_share("start", self.start)
        require_steps("over", self.over, 1)

    @property
    def is_active(self) -> bool:
        """Whether any example is ever left out."""
        return self.start < 1

    def share(self, step: int) -> float:
        """Of the training examples that the update from ``step`` may use: straight from ``start`` to 1."""
        return self.start + (1 - self.start) * min(max(step, 0) / self.over, 1.0)

    def count(self, step: int, examples: int) -> int:
        """How many of ``examples`` that is: rounded up, at least one, and all of them once the share is 1."""
        return min(max(ceil(round(self.share(step) * examples, 6)), 1), examples)

    def order(self, difficulty: Float[Tensor, "example"]) -> Int[Tensor, "example"]:
        """The examples as they are let in; equally difficult ones in the order they have.

        >>> import torch
        >>> Curriculum(hardest_first=True).order(torch.tensor([2.0, 5.0, 2.0])).tolist()
        [1, 0, 2]
        """
        return difficulty.argsort(stable=True, descending=self.hardest_first)
