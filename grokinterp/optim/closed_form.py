"""Schedules that depend only on the step."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import cos, pi
from typing import Any, ClassVar, Literal

from grokinterp.errors import ConfigError
from grokinterp.optim.schedule import Schedule

LONGEST = 10**9
"""Largest number of steps of a period or a rise."""


@dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
    """The constant factor 1.

    >>> Constant().factor(7, 10, {})
    1.0
    """

    about: ClassVar[str] = "the value of the configuration at every step"
    kind: Literal["constant"] = "constant"

    def factor(self, step: int, steps: int, state: Mapping[str, Any]) -> float:
        return 1.0


@dataclass(frozen=True, kw_only=True)
class Cosine(Schedule):
    """final + (1 - final) · (1 + cos(π t / T)) / 2 over a run of T steps: half a period of the cosine.

    The last update, t = T - 1, has the smallest factor, which is positive for every ``final`` and remains constant
    afterwards.

    Source: Loshchilov and Hutter 2016, SGDR, Equation 5, without restarts.

    Raises:
        ConfigError: if final is outside [0, 1].

    >>> [round(Cosine().factor(t, 4, {}), 3) for t in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    """

    about: ClassVar[str] = "falls from 1 to `final` along half a cosine over the run"
    kind: Literal["cosine"] = "cosine"
    final: float = 0.0

    def __post_init__(self) -> None:
        require_share("final", self.final, zero=True)

    @property
    def follows_length(self) -> bool:
        return True

    def factor(self, step: int, steps: int, state: Mapping[str, Any]) -> float:
        done = max(min(step, steps - 1), 0) / max(steps, 1)
        return self.final + (1 - self.final) * (1 + cos(pi * done)) / 2


@dataclass(frozen=True, kw_only=True)
class Cyclic(Schedule):
    """A triangle wave from ``low`` to 1 and back in every ``period`` steps, starting at ``low``.

    Source: Smith 2017, Cyclical learning rates, §3.1 (the triangular policy, whose step size is half of ``period``).

    Raises:
        ConfigError: if low is outside (0, 1], or the period is below 2 or above 10^9.

    >>> [Cyclic(low=0.5, period=4).factor(t, 100, {}) for t in range(6)]
    [0.5, 0.75, 1.0, 0.75, 0.5, 0.75]
    """

    about: ClassVar[str] = "a triangle wave between `low` and 1, of `period` steps"
    kind: Literal["cyclic"] = "cyclic"
    low: float = 0.1
    period: int = 1000

    def __post_init__(self) -> None:
        require_share("low", self.low)
        require_steps("period", self.period, 2)

    def factor(self, step: int, steps: int, state: Mapping[str, Any]) -> float:
        place = step % self.period
        return self.low + (1 - self.low) * 2 * min(place, self.period - place) / self.period


@dataclass(frozen=True, kw_only=True)
class Increasing(Schedule):
    """A linear rise from ``low`` to 1 in ``over`` steps (None: the whole run), constant afterwards.

    Source: Smith et al. 2018, Don't decay the learning rate, increase the batch size, for batches; for weight decay it
    means memorizing first and simplifying later.

    Raises:
        ConfigError: if low is outside (0, 1], or over is below 1 or above 10^9.

    >>> [Increasing(low=0.5, over=2).factor(t, 100, {}) for t in range(4)]
    [0.5, 0.75, 1.0, 1.0]
    """

    about: ClassVar[str] = "rises from `low` to 1 in `over` steps, by default over the whole run"
    kind: Literal["increasing"] = "increasing"
    low: float = 0.1
    over: int | None = None

    def __post_init__(self) -> None:
        require_share("low", self.low)
        if self.over is not None:
            require_steps("over", self.over, 1)

    @property
    def follows_length(self) -> bool:
        return self.over is None

    def factor(self, step: int, steps: int, state: Mapping[str, Any]) -> float:
        over = max(steps, 1) if self.over is None else self.over
        return self.low + (1 - self.low) * min(max(step, 0) / over, 1.0)


def require_share(key: str, value: float, *, zero: bool = False) -> None:
    """Raise ConfigError unless 0 < value ≤ 1, or, with ``zero``, 0 ≤ value ≤ 1."""
    if not (0 < value <= 1 or (zero and value == 0)):
        raise ConfigError(key, value, "must be from 0 to 1" if zero else "must be above 0 and at most 1")


def require_steps(key: str, value: int, least: int) -> None:
    """Raise ConfigError unless least ≤ value ≤ 10^9."""
    if not least <= value <= LONGEST:
        raise ConfigError(key, value, f"must be an integer from {least} to 10^9")
