"""A curriculum: the order in which training examples are introduced."""

from dataclasses import dataclass
from math import ceil
from typing import Literal

from jaxtyping import Float, Int

from grokinterp.lazy import Tensor
from grokinterp.optim.closed_form import require_share, require_steps
from grokinterp.specification import Specification


@dataclass(frozen=True, kw_only=True)
class Curriculum(Specification):
    """A share of the training examples at first, and all of them after ``over`` steps; start=1 disables it.

    Examples are ordered by difficulty: ``by`` the measure of the task ("size": by default the sum of the tokens), by
    their current loss ("loss"), or at random ("random", a control with the same number of examples). ``hardest_first``
    reverses the order.

    Source: Bengio et al. 2009, Curriculum learning; Hacohen and Weinshall 2019 (pacing functions; the anti-curriculum
    and random controls).

    Raises:
        ConfigError: if start is outside (0, 1], or over is below 1 or above 10^9.

    >>> curriculum = Curriculum(start=0.5, over=100)
    >>> [curriculum.share(t) for t in (0, 50, 100, 1000)], curriculum.count(50, 8)
    ([0.5, 0.75, 1.0, 1.0], 6)
    """

    start: float = 1.0
    over: int = 1000
    by: Literal["size", "loss", "random"] = "size"
    hardest_first: bool = False

    def __post_init__(self) -> None:
        require_share("start", self.start)
        require_steps("over", self.over, 1)

    @property
    def is_active(self) -> bool:
        """Whether any example is ever excluded."""
        return self.start < 1

    def share(self, step: int) -> float:
        """Return the share of training examples available to the update from ``step``: linear from ``start`` to 1."""
        return self.start + (1 - self.start) * min(max(step, 0) / self.over, 1.0)

    def count(self, step: int, examples: int) -> int:
        """Return the number of available examples: rounded up, at least one, and all once the share is 1."""
        return min(max(ceil(round(self.share(step) * examples, 6)), 1), examples)

    def order(self, difficulty: Float[Tensor, "example"]) -> Int[Tensor, "example"]:
        """Return the examples in the order of introduction; ties keep their order.

        >>> import torch
        >>> Curriculum(hardest_first=True).order(torch.tensor([2.0, 5.0, 2.0])).tolist()
        [1, 0, 2]
        """
        return difficulty.argsort(stable=True, descending=self.hardest_first)
