"""The save schedule."""

import math
from dataclasses import dataclass

from grokinterp.errors import require
from grokinterp.specification import Specification

MOST_PER_DECADE = 1000
"""Largest number of log-spaced steps per factor of 10; the first steps are then consecutive."""


@dataclass(frozen=True, kw_only=True)
class SaveAt(Specification):
    """The steps to save: the first, the last, and every ``every``-th.

    In addition, every ``dense_every``-th step is saved up to ``dense_until`` and, if ``transition_every`` is given,
    every ``transition_every``-th step after memorization while test accuracy is between 5 % and 99 %. If ``per_decade``
    is given, log-spaced steps are saved, that many from each power of 10 to the next. The resume state is written every
    ``resume_every`` steps.
    """

    every: int = 100
    dense_every: int = 10
    dense_until: int = 0
    transition_every: int | None = None
    per_decade: int | None = None
    resume_every: int = 500

    def __post_init__(self) -> None:
        for key in ("every", "dense_every", "transition_every", "resume_every"):
            value = getattr(self, key)
            require(value is None or 1 <= value <= 10**9, key, value, "must be an integer from 1 to 10^9")
        require(0 <= self.dense_until <= 10**9, "dense_until", self.dense_until, "must be from 0 to 10^9")
        each = self.per_decade
        require(each is None or 1 <= each <= MOST_PER_DECADE, "per_decade", each, "must be an integer from 1 to 1000")

    def saves(self, step: int, *, in_transition: bool) -> bool:
        """Return whether ``step`` is saved (the caller always saves the last step)."""
        dense = step <= self.dense_until and step % self.dense_every == 0
        transition = in_transition and self.transition_every is not None and step % self.transition_every == 0
        return step % self.every == 0 or dense or transition or self.is_log_spaced(step)

    def is_log_spaced(self, step: int) -> bool:
        """Return whether ``step`` is round(10^(k / ``per_decade``)) for an integer k.

        >>> [step for step in range(40) if SaveAt(per_decade=4).is_log_spaced(step)]
        [1, 2, 3, 6, 10, 18, 32]
        """
        if self.per_decade is None or step == 0:
            return False
        nearest = round(self.per_decade * math.log10(step))  # of powers a half step away, another may be rounded to it
        return any(round(10 ** (k / self.per_decade)) == step for k in (nearest - 1, nearest, nearest + 1))

    def log_spaced(self, last: int) -> list[int]:
        """Return the log-spaced steps up to ``last``, ascending."""
        if self.per_decade is None:
            return []
        powers = range(math.ceil(self.per_decade * math.log10(last + 1)))
        return sorted({step for k in powers if (step := round(10 ** (k / self.per_decade))) <= last})
