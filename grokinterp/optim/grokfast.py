"""Grokfast: amplification of the slow part of the gradient."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import accumulate
from math import inf
from typing import ClassVar, Literal

from jaxtyping import Float

from grokinterp.errors import ConfigError
from grokinterp.lazy import Tensor, torch
from grokinterp.optim.filter import GradientFilter, Memory


class Grokfast(GradientFilter):
    """g ← g + λ · (slow part of the gradients so far, including this one).

    With λ = 0 the gradient is unchanged bit for bit. If successive gradients agree, their slow part is the gradient
    itself, and the step of plain gradient descent is 1 + λ times as long.

    Source: Lee et al. 2024, §2.
    """

    has_memory: ClassVar[bool] = True
    is_elementwise: ClassVar[bool] = True

    def __call__(
        self, gradient: Float[Tensor, "*shape"], weight: Float[Tensor, "*shape"], memory: Memory = None
    ) -> tuple[Float[Tensor, "*shape"], Memory]:
        added, memory = self.addition(gradient, memory)
        return gradient if added is None else gradient + added, memory

    @abstractmethod
    def addition(
        self, gradient: Float[Tensor, "*shape"], memory: Memory
    ) -> tuple[Float[Tensor, "*shape"] | None, Memory]:
        """Return λ times the slow part, or None if nothing is added, and the new memory."""


@dataclass(frozen=True, kw_only=True)
class GrokfastEMA(Grokfast):
    """The slow part is an exponential moving average: e ← α e + (1 - α) g, with e = g at the first gradient.

    Source: Lee et al. 2024, §2.3 (GROKFAST-EMA).

    >>> ema = GrokfastEMA(alpha=0.5, lamb=1.0)
    >>> first, memory = ema(torch.tensor([2.0]), torch.tensor([0.0]))
    >>> second, memory = ema(torch.tensor([4.0]), torch.tensor([0.0]), memory)
    >>> first, second  # 2 + 2, 4 + 3
    (tensor([4.]), tensor([7.]))

    Raises:
        ConfigError: if alpha is outside [0, 1], or lamb is negative or not finite.
    """

    about: ClassVar[str] = "adds λ times an exponential moving average of the gradients"

    kind: Literal["grokfast_ema"] = "grokfast_ema"
    alpha: float = 0.98
    lamb: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ConfigError("alpha", self.alpha, "must be from 0 to 1")
        require_lamb(self.lamb)

    @property
    def copies(self) -> int:
        return 1

    @property
    def gain(self) -> float:
        return 1.0 + self.lamb

    def boosted(self, factor: float | int) -> "GrokfastEMA":
        return replace(self, lamb=factor * self.lamb)

    def addition(
        self, gradient: Float[Tensor, "*shape"], memory: Memory
    ) -> tuple[Float[Tensor, "*shape"] | None, Memory]:
        slow = gradient.clone() if memory is None else self.alpha * memory + (1 - self.alpha) * gradient
        return amplified(slow, self.lamb), slow


@dataclass(frozen=True, kw_only=True)
class GrokfastMA(Grokfast):
    """The slow part is the mean of the last ``window`` gradients.

    With the warm-up, nothing is added until the window is full; without it, the mean is over the gradients so far.

    The sum over the window takes about two additions per gradient, however long the window, and nothing is ever
    subtracted, so that the rounding error of a gradient disappears with it. The newer gradients are stored with their
    running sum, the older gradients as the sums of each and all that follow it: each new gradient drops the oldest of
    these sums, and when none is left the newer gradients become the older.

    Source: Lee et al. 2024, §2.2 (GROKFAST-MA).

    >>> ma = GrokfastMA(window=2, lamb=1.0)
    >>> first, memory = ma(torch.tensor([2.0]), torch.tensor([0.0]))
    >>> second, memory = ma(torch.tensor([4.0]), torch.tensor([0.0]), memory)
    >>> first, second  # 2, 4 + 3
    (tensor([2.]), tensor([7.]))

    Raises:
        ConfigError: if the window is below 1, or lamb is negative or not finite.
    """

    about: ClassVar[str] = "adds λ times the mean of the last gradients"

    kind: Literal["grokfast_ma"] = "grokfast_ma"
    window: int = 100
    lamb: float = 5.0
    warm_up: bool = True

    def __post_init__(self) -> None:
        if self.window < 1:
            raise ConfigError("window", self.window, "must be an integer from 1")
        require_lamb(self.lamb)

    @property
    def copies(self) -> int:
        return self.window + 1

    @property
    def gain(self) -> float:
        return 1.0 + self.lamb

    def boosted(self, factor: float | int) -> "GrokfastMA":
        return replace(self, lamb=factor * self.lamb)

    def addition(
        self, gradient: Float[Tensor, "*shape"], memory: Memory
    ) -> tuple[Float[Tensor, "*shape"] | None, Memory]:
        newer, newest, older = memory or ((), None, ())
        if len(newer) + len(older) == self.window:
            if not older:
                newer, newest, older = (), None, sums_to_the_end(newer)
            older = older[1:]
        gradient = gradient.clone()  # optimizers clear .grad in place
        newer, newest = (*newer, gradient), gradient if newest is None else newest + gradient
        count = len(newer) + len(older)
        if self.warm_up and count < self.window:
            return None, (newer, newest, older)
        total = newest + older[0] if older else newest
        return amplified(total / count, self.lamb), (newer, newest, older)


@dataclass(frozen=True, kw_only=True)
class GrokfastDual(Grokfast):
    """Both averages of the raw gradient, both added: g ← g + λ₁ e + λ₂ m.

    Source: docs/formulas.md, Accelerators (dual).
    """

    about: ClassVar[str] = "adds λ times an exponential moving average and λ times the mean of the last gradients"

    kind: Literal["grokfast_dual"] = "grokfast_dual"
    ema: GrokfastEMA = field(default_factory=GrokfastEMA)
    ma: GrokfastMA = field(default_factory=lambda: GrokfastMA(lamb=1.0))

    @property
    def copies(self) -> int:
        return self.ema.copies + self.ma.copies

    @property
    def gain(self) -> float:
        return 1.0 + self.ema.lamb + self.ma.lamb

    def boosted(self, factor: float | int) -> "GrokfastDual":
        return replace(self, ema=self.ema.boosted(factor), ma=self.ma.boosted(factor))

    def addition(
        self, gradient: Float[Tensor, "*shape"], memory: Memory
    ) -> tuple[Float[Tensor, "*shape"] | None, Memory]:
        remembered = (None, None) if memory is None else memory
        pairs = zip((self.ema, self.ma), remembered, strict=True)
        added, kept = zip(*(one.addition(gradient, before) for one, before in pairs), strict=True)
        there = [part for part in added if part is not None]
        return reduce(torch.add, there) if there else None, kept


def require_lamb(value: float) -> None:
    """Raise ConfigError unless 0 ≤ value < ∞."""
    if not 0 <= value < inf:
        raise ConfigError("lamb", value, "must be 0 or positive, and finite")


def amplified(slow: Float[Tensor, "*shape"], by: float | Float[Tensor, "run 1"]) -> Float[Tensor, "*shape"] | None:
    """Return λ times the slow part, or None for λ = 0, since even + 0 would turn -0 into 0."""
    return None if isinstance(by, float | int) and by == 0 else by * slow


def sums_to_the_end(kept: Sequence[Float[Tensor, "*shape"]]) -> tuple[Float[Tensor, "*shape"], ...]:
    """Return the sums of each tensor and all that follow it.

    >>> sums_to_the_end([torch.tensor(1.0), torch.tensor(2.0), torch.tensor(4.0)])
    (tensor(7.), tensor(6.), tensor(4.))
    """
    return tuple(accumulate(reversed(kept)))[::-1]
