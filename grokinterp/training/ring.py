"""The memory of Grokfast's mean of the last gradients, in one buffer that is changed in place."""

from dataclasses import dataclass, fields, replace
from typing import final

from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.optim import GradientFilter, GrokfastDual, GrokfastMA
from grokinterp.optim.filter import Memory
from grokinterp.optim.grokfast import amplified


@final
class Ring:
    """The last gradients of several runs in a ring buffer [window, run, weight], with the sums of ``GrokfastMA``.

    The places up to the newest gradient hold the newer gradients, whose sum is ``newest``. The places after it hold the
    sums of each older gradient and all older gradients that follow it; the next gradient replaces the first of these
    sums. A gradient takes about two additions, and nothing is copied or allocated.

    Args:
        window: number of gradients.
        like: a tensor of the shape of a gradient.
    """

    def __init__(self, window: int, like: Float[Tensor, "run weight"]) -> None:
        self.kept = like.new_zeros(window, *like.shape)
        self.newest = like.new_zeros(like.shape)
        self.count = 0

    def add(self, gradient: Float[Tensor, "run weight"]) -> tuple[Float[Tensor, "run weight"], int]:
        """Add a gradient; return the sum of the last gradients, to be read before the next call, and their number."""
        window = len(self.kept)
        place = self.count % window
        if place == 0:
            for k in reversed(range(window - 1 if self.count else 0)):  # the newer gradients become the older
                self.kept[k] += self.kept[k + 1]
            self.newest.copy_(gradient)
        else:
            self.newest += gradient
        self.kept[place] = gradient
        self.count += 1
        has_older = self.count > window and place + 1 < window
        return self.newest + self.kept[place + 1] if has_older else self.newest, min(self.count, window)

    @property
    def memory(self) -> Memory:
        """The same memory as ``GrokfastMA`` has it, as views."""
        window = len(self.kept)
        newer = (self.count - 1) % window + 1
        return tuple(self.kept[:newer]), self.newest, tuple(self.kept[newer:]) if self.count > window else ()

    def load(self, run: int, memory: Memory) -> None:
        """Restore the row of one run from ``memory``; all runs have seen equally many gradients."""
        newer, newest, older = memory
        self.count = len(newer) + (len(self.kept) if older else 0)
        self.newest[run] = newest
        for place, row in enumerate((*newer, *older)):
            self.kept[place, run] = row

    def keep(self, rows: Int[Tensor, "kept"]) -> None:
        """Keep some of the runs."""
        self.kept, self.newest = self.kept[:, rows], self.newest[rows]


@dataclass(frozen=True, kw_only=True)
class RingMA(GrokfastMA):
    """``GrokfastMA`` of several runs, whose memory is a ``Ring``."""

    def addition(
        self, gradient: Float[Tensor, "run weight"], memory: Memory
    ) -> tuple[Float[Tensor, "run weight"] | None, Memory]:
        ring = Ring(self.window, gradient) if memory is None else memory
        total, count = ring.add(gradient)
        if self.warm_up and count < self.window:
            return None, ring
        return amplified(total / count, self.lamb), ring


def in_place(filter: GradientFilter) -> GradientFilter:
    """Return the filter with every mean of the last gradients in a ``Ring``."""
    if isinstance(filter, GrokfastMA):
        return RingMA(**{field.name: getattr(filter, field.name) for field in fields(filter)})
    return replace(filter, ma=in_place(filter.ma)) if isinstance(filter, GrokfastDual) else filter
