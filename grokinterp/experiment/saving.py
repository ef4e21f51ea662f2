"""The save schedule."""

from dataclasses import dataclass

from grokinterp.errors import require
from grokinterp.specification import Specification


@dataclass(frozen=True, kw_only=True)
class SaveAt(Specification):
    """The steps to save: the first, the last, and every ``every``-th.

    In addition, every ``dense_every``-th step is saved up to ``dense_until`` and, if ``transition_every`` is given,
    every ``transition_every``-th step after memorization while test accuracy is between 5 % and 99 %. The resume state
    is written every ``resume_every`` steps.
    """

    every: int = 100
    dense_every: int = 10
    dense_until: int = 0
    transition_every: int | None = None
    resume_every: int = 500

    def __post_init__(self) -> None:
        for key in ("every", "dense_every", "transition_every", "resume_every"):
            value = getattr(self, key)
            require(value is None or 1 <= value <= 10**9, key, value, "must be an integer from 1 to 10^9")
        require(0 <= self.dense_until <= 10**9, "dense_until", self.dense_until, "must be from 0 to 10^9")

    def saves(self, step: int, *, in_transition: bool) -> bool:
        """Return whether ``step`` is saved (the caller always saves the last step)."""
        dense = step <= self.dense_until and step % self.dense_every == 0
        transition = in_transition and self.transition_every is not None and step % self.transition_every == 0
        return step % self.every == 0 or dense or transition
