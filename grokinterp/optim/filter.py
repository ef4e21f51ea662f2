"""The interface of gradient filters."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from jaxtyping import Float

from grokinterp.lazy import Tensor
from grokinterp.specification import Specification

Memory = Any
"""The memory of a filter for a parameter: None, a tensor, or a tuple of memories. Never changed in place."""


class GradientFilter(Specification, ABC):
    """A pure function of a parameter's gradient and weights, and of the filter's memory of that parameter.

    >>> from grokinterp.optim import OrthoGrad
    >>> import torch
    >>> filtered, memory = OrthoGrad()(torch.tensor([3.0, 4.0]), torch.tensor([1.0, 0.0]), None)
    >>> filtered
    tensor([0., 5.])
    """

    about: ClassVar[str]
    """A one-line description of the filter."""

    has_memory: ClassVar[bool]
    """Whether the filtered gradient depends on earlier gradients."""

    is_elementwise: ClassVar[bool] = False
    """Whether every entry of the filtered gradient depends on the same entry of the gradients only."""

    kind: str

    @property
    def copies(self) -> int:
        """The largest number of values kept in memory per weight."""
        return 0

    @property
    def gain(self) -> float:
        """The factor by which a constant gradient is multiplied: 1 + λ, or 1 without amplification."""
        return 1.0

    def boosted(self, factor: float | int) -> "GradientFilter":
        """Return the filter with λ multiplied by ``factor``, or the filter itself if it has no λ."""
        return self

    @abstractmethod
    def __call__(
        self, gradient: Float[Tensor, "*shape"], weight: Float[Tensor, "*shape"], memory: Memory = None
    ) -> tuple[Float[Tensor, "*shape"], Memory]:
        """Return the filtered gradient and the new memory, without changing the arguments.

        Args:
            gradient: the gradient of the loss with respect to the weight.
            weight: the weight at which the gradient was computed.
            memory: the memory returned by the previous call, None at the first call.
        """
