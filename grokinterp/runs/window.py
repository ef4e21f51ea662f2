"""Steps and parts of a run, chosen by the numbers in brackets: run[1200], run[-1], run[100:2000]."""

import operator
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import final

from grokinterp.errors import CheckpointError, ConfigError, require, short

STRIDE = "must be left out: choose among run.steps, as in [run[step] for step in run.steps[::5]]"
"""Rule for slices, whose stride could count steps or checkpoints."""


@final
@dataclass(frozen=True)
class Window:
    """A part of a run, start <= step < stop; None is the start or the end of the run.

    >>> 2000 in Window(100, 2000)
    False
    """

    start: int | None = None
    stop: int | None = None

    def __contains__(self, step: int) -> bool:
        return (self.start is None or step >= self.start) and (self.stop is None or step < self.stop)

    def __str__(self) -> str:
        return ":".join("" if bound is None else str(bound) for bound in (self.start, self.stop))

    @property
    def is_whole(self) -> bool:
        """Whether this is the whole run."""
        return (self.start, self.stop) == (None, None)

    def narrowed(self, steps: slice, saved: Sequence[int]) -> "Window":
        """Return the part of this window that a slice selects.

        Args:
            steps: a slice between two steps; negative bounds count the saved steps from the end.
            saved: the saved steps of this window, in ascending order.

        >>> str(Window(100, None).narrowed(slice(0, -1), [100, 200, 300]))
        '100:300'

        Raises:
            ConfigError: a bound is not an integer, the slice has a stride, or it ends before it starts.
            CheckpointError: a negative bound counts beyond the first saved step.
        """
        if steps.step is not None:
            raise ConfigError("stride", short(steps.step), STRIDE)
        start, stop = (None if at is None else bound_of(at, saved) for at in (steps.start, steps.stop))
        require(start is None or stop is None or start < stop, "steps", f"{start}:{stop}", "must start before they end")
        starts = [at for at in (self.start, start) if at is not None]
        stops = [at for at in (self.stop, stop) if at is not None]
        return Window(max(starts, default=None), min(stops, default=None))


WHOLE = Window()
"""The whole run."""


def bound_of(at: object, saved: Sequence[int]) -> int:
    """Return the step of a bound of a slice, which need not be saved."""
    number = integer("step", at)
    return number if number >= 0 else step_of(number, saved)


def step_of(step: object, saved: Sequence[int]) -> int:
    """Return a saved step; negative numbers count the saved steps from the end.

    >>> step_of(20, [0, 10, 20]), step_of(-1, [0, 10, 20])
    (20, 20)

    Raises:
        CheckpointError: the step is not among the saved ones.
        ConfigError: the number is not an integer.
    """
    number = integer("step", step)
    if -len(saved) <= number < 0:
        return saved[number]
    if number < 0:
        plural = "" if len(saved) == 1 else "s"
        raise CheckpointError(
            number, f"counted from the end; there {'is' if not plural else 'are'} {len(saved)} checkpoint{plural}"
        )
    if number not in saved:
        raise CheckpointError(number, f"not saved; the run has {listed(saved)}")
    return number


def integer(key: str, value: object) -> int:
    """Return an integer of any kind, such as one of NumPy.

    Raises:
        ConfigError: the value is not an integer.
    """
    if not isinstance(value, bool):
        with suppress(TypeError):
            return operator.index(value)  # ty: ignore[invalid-argument-type]
    raise ConfigError(key, short(value), "must be an integer: a saved step, or -1 for the last checkpoint")


def listed(steps: Sequence[int]) -> str:
    """Return steps as text, shortened in the middle.

    >>> listed(range(0, 100, 10))
    '0, 10, 20, ..., 80, 90'
    """
    if len(steps) <= 6:
        return ", ".join(map(str, steps)) or "no checkpoint yet"
    return f"{', '.join(map(str, steps[:3]))}, ..., {', '.join(map(str, steps[-2:]))}"
