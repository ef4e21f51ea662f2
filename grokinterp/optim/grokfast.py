"""Grokfast: amplify the slow part of the gradient."""

from abc import abstractmethod
from dataclasses import dataclass, field
from functools import reduce
from math import inf
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.errors import ConfigError
from grokinterp.optim.filter import GradientFilter, Memory


class Grokfast(GradientFilter):
    """g ← g + λ · (slow part of the gradients so far, this one included).

    With λ = 0 the gradient stays what it was, bit for bit. Where successive gradients agree, their
    slow part is the gradient itself: the step of plain descent is 1 + λ times as long.

    Source: Lee et al. 2024, §2.
    """

    has_memory: ClassVar[bool] = True

    def __call__(
        self, gradient: Float[Tensor, "*shape"], weight: Float[Tensor, "*shape"], memory: Memory = None
    ) -> tuple[Float[Tensor, "*shape"], Memory]:
        added, memory = self.addition(gradient, memory)
        return gradient if added is None else gradient + added, memory

    @abstractmethod
    def addition(
        self, gradient: Float[Tensor, "*shape"], memory: Memory
    ) -> tuple[Float[Tensor, "*shape"] | None, Memory]:
        """λ times the slow part, None where nothing is to be added, and what to remember."""


@dataclass(frozen=True, kw_only=True)
class GrokfastEMA(Grokfast):
    """The slow part is an exponential moving average: e ← α e + (1 - α) g, and at the first gradient e = g.

    Source: Lee et al. 2024, §2.3 (GROKFAST-EMA).

    >>> ema = GrokfastEMA(alpha=0.5, amplification=1.0)
    >>> first, memory = ema(torch.tensor([2.0]), torch.tensor([0.0]))
    >>> second, memory = ema(torch.tensor([4.0]), torch.tensor([0.0]), memory)
    >>> first, second  # 2 + 2, 4 + 3
    (tensor([4.]), tensor([7.]))

    Raises:
        ConfigError: alpha outside [0, 1], amplification negative or not finite.
    """

    alpha: float = 0.98
    amplification: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ConfigError("alpha", self.alpha, "must be from 0 to 1")
        require_amplification(self.amplification)

    def addition(
        self, gradient: Float[Tensor, "*shape"], memory: Memory
    ) -> tuple[Float[Tensor, "*shape"] | None, Memory]:
        slow = gradient.clone() if memory is None else self.alpha * memory + (1 - self.alpha) * gradient
        return amplified(slow, self.amplification), slow


@dataclass(frozen=True, kw_only=True)
class GrokfastMA(Grokfast):
    """The slow part is the mean of the last ``window`` gradients, taken anew at every call.

    During the warm-up, until the window is full, nothing is added; without it the mean is that of
    the gradients there are.

    Source: Lee et al. 2024, §2.2 (GROKFAST-MA).

    >>> ma = GrokfastMA(window=2, amplification=1.0)
    >>> first, memory = ma(torch.tensor([2.0]), torch.tensor([0.0]))
    >>> second, memory = ma(torch.tensor([4.0]), torch.tensor([0.0]), memory)
    >>> first, second  # 2, 4 + 3
    (tensor([2.]), tensor([7.]))

    Raises:
        ConfigError: a window below 1, amplification negative or not finite.
    """

    window: int = 100
    amplification: float = 5.0
    warm_up: bool = True

    def __post_init__(self) -> None:
        if self.window < 1:
            raise ConfigError("window", self.window, "must be an integer from 1")
        require_amplification(self.amplification)

    def addition(
        self, gradient: Float[Tensor, "*shape"], memory: Memory
    ) -> tuple[Float[Tensor, "*shape"] | None, Memory]:
        kept = (*(memory or ()), gradient.clone())[-self.window :]  # cloned: optimizers clear .grad in place
        if self.warm_up and len(kept) < self.window:
            return None, kept
        return amplified(mean(kept), self.amplification), kept


@dataclass(frozen=True, kw_only=True)
class GrokfastDual(Grokfast):
    """Both averages of the gradient as it came, both added: g ← g + λ₁ e + λ₂ m.

    Source: FORMULAS, accelerators (dual).
    """

    ema: GrokfastEMA = field(default_factory=GrokfastEMA)
    ma: GrokfastMA = field(default_factory=lambda: GrokfastMA(amplification=1.0))

    def addition(
        self, gradient: Float[Tensor, "*shape"], memory: Memory
    ) -> tuple[Float[Tensor, "*shape"] | None, Memory]:
        remembered = (None, None) if memory is None else memory
        pairs = zip((self.ema, self.ma), remembered, strict=True)
        added, kept = zip(*(one.addition(gradient, before) for one, before in pairs), strict=True)
        there = [part for part in added if part is not None]
        return reduce(torch.add, there) if there else None, kept


def require_amplification(value: float) -> None:
    """Raise ConfigError unless 0 ≤ value < ∞."""
    if not 0 <= value < inf:
        raise ConfigError("amplification", value, "must be 0 or positive, and finite")


def amplified(slow: Float[Tensor, "*shape"], by: float) -> Float[Tensor, "*shape"] | None:
    """λ times the slow part; None for λ = 0, since even + 0 would turn -0 into 0."""
    return by * slow if by else None


def mean(kept: tuple[Float[Tensor, "*shape"], ...]) -> Float[Tensor, "*shape"]:
    """The mean of some tensors, with room for one more only."""
    total = torch.zeros_like(kept[0])
    for one in kept:
        total += one
    return total / len(kept)
