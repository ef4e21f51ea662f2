"""What every task is: a finite list of token sequences and their labels."""

from abc import ABC, abstractmethod
from typing import ClassVar

from jaxtyping import Int
from torch import Tensor


class Task(ABC):
    """A finite problem: all examples can be listed, in one fixed order.

    A task is a frozen dataclass of its own parameters with a ``kind`` field that names it in a
    configuration. It knows nothing of models, splits or training.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid", "allow_inf_nan": False}

    kind: str

    @property
    @abstractmethod
    def n_examples(self) -> int:
        """Number of examples."""

    @property
    @abstractmethod
    def d_vocab(self) -> int:
        """Number of distinct input tokens."""

    @property
    @abstractmethod
    def n_classes(self) -> int:
        """Number of possible labels."""

    @property
    @abstractmethod
    def n_ctx(self) -> int:
        """Length of every token sequence."""

    @abstractmethod
    def tokens(self) -> Int[Tensor, "example position"]:
        """The input tokens of every example."""

    @abstractmethod
    def labels(self) -> Int[Tensor, "example"]:
        """The class of every example, in [0, n_classes)."""

    @abstractmethod
    def mirror(self) -> Int[Tensor, "example"]:
        """An id per example; examples that share it give each other's answer away.

        For a commutative operation (a, b) and (b, a) share one. An example without a mirror image
        has an id of its own.
        """
