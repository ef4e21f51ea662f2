"""What every gradient filter is."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from jaxtyping import Float

from grokinterp.lazy import Tensor

Memory = Any
"""What a filter remembers of one parameter: None, a tensor, or a tuple of memories. Never changed in place."""


class GradientFilter(ABC):
    """A pure function of the gradient and the weights of one parameter, and of what it remembers of it.

    >>> from grokinterp.optim import OrthoGrad
    >>> import torch
    >>> filtered, memory = OrthoGrad()(torch.tensor([3.0, 4.0]), torch.tensor([1.0, 0.0]), None)
    >>> filtered
    tensor([0., 5.])
    """

    __pydantic_config__: ClassVar = {"extra": "forbid", "allow_inf_nan": False}

    about: ClassVar[str]
    """What the filter does, in one line."""

    has_memory: ClassVar[bool]
    """Whether what becomes of a gradient depends on those before it."""

    kind: str

    @property
    def copies(self) -> int:
        """How many numbers, at most, are remembered of every weight."""
        return 0

    @property
    def gain(self) -> float:
        """By what a gradient that never changes is multiplied: 1 + λ, or 1 where nothing is amplified."""
        return 1.0

    def boosted(self, factor: float | int) -> "GradientFilter":
        """The filter with ``factor`` times the λ; itself where there is none."""
        return self

    @abstractmethod
    def __call__(
        self, gradient: Float[Tensor, "*shape"], weight: Float[Tensor, "*shape"], memory: Memory = None
    ) -> tuple[Float[Tensor, "*shape"], Memory]:
        """The filtered gradient, and what to remember; neither argument is changed.

        Args:
            gradient: of the loss with respect to the weight.
            weight: where it was taken.
            memory: what the call before returned, None at the first.
        """
