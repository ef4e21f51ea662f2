"""How a module brings its tokens together: by one sum that all answers go through, or otherwise."""

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

SIDE = 3
"""Tokens 0, 1, 2 in either place make a grid of nine pairs."""

MOVED = 4
"""How many places a pair's part moves on; no pair of (a, b) keeps a or b."""

ROUNDING = 1e-7
"""Parts smaller than this share of the largest are rounding, in the precision of float64."""


@final
class FirstMixing(TorchFunctionMode):
    """Watches for the first activation with an entry that depends on both tokens, while nine pairs are passed.

    ``is_sum`` is whether those entries are then sums f(a) + g(b); None as long as there is no such activation, which is
    the result of call number ``call``. If ``exchange`` is the number of a call, its result is given to other pairs.
    """

    def __init__(self, *, exchange: int | None = None) -> None:
        super().__init__()
        self.exchange, self.calls, self.call = exchange, 0, 0
        self.is_sum: bool | None = None

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        self.calls += 1
        if self.calls == self.exchange:
            return exchanged(output)
        if self.is_sum is None and isinstance(output, Tensor) and output.is_floating_point():
            grid = by_pair(output.detach())
            self.is_sum, self.call = None if grid is None else sums(grid), self.calls
        return output


def adds_operands(logits: Callable[[Tensor], Tensor]) -> bool | None:
    """Whether the tokens of a pair meet in a sum, and the logits depend on them through that sum alone.

    With the sums of other pairs in their place the logits must be those of the other pairs. None where the tokens meet
    in a sum first and the logits depend on them in another way too; False where they first meet otherwise.
    """
    with FirstMixing() as first:
        plain = logits(pairs())
    if not first.is_sum:
        return first.is_sum
    with FirstMixing(exchange=first.call):
        moved = logits(pairs())
    return True if torch.allclose(moved, exchanged(plain), rtol=0, atol=float(ROUNDING * plain.abs().amax())) else None


def exchanged(x: Tensor) -> Tensor:
    """An activation with the part of every pair given to another."""
    axis = pair_axis(x)
    return x if axis is None else x.roll(MOVED * (x.shape[axis] // SIDE**2), axis)


def pairs() -> Tensor:
    """The tokens of the nine pairs, in row-major order."""
    return torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE))


def by_pair(x: Tensor) -> Tensor | None:
    """An activation as [a, b, entry], None where no axis is that of the pairs."""
    axis = pair_axis(x)
    if axis is None:
        return None
    return x.movedim(axis, 0).reshape(SIDE, SIDE, -1).double()


def pair_axis(x: Tensor) -> int | None:
    """The axis of the pairs, None where no axis has their size."""
    if x.ndim and x.shape[0] and x.shape[0] % SIDE**2 == 0:
        return 0
    return next((i for i, size in enumerate(x.shape) if size == SIDE**2), None)


def sums(x: Tensor) -> bool | None:
    """Whether the entries of [a, b, entry] that depend on both are f(a) + g(b); None where none does.

    >>> a, b = torch.arange(3.0)[:, None, None], torch.arange(3.0)[None, :, None]
    >>> sums(a + b), sums(a * b + a), sums(torch.cat([a + 0 * b, b + 0 * a], 2))
    (True, False, None)
    """
    of_a, of_b = x - x.mean(0, keepdim=True), x - x.mean(1, keepdim=True)
    least = ROUNDING * x.abs().amax()
    mixed = (of_a.abs().amax((0, 1)) > least) & (of_b.abs().amax((0, 1)) > least)
    if not bool(mixed.any()):
        return None
    interaction = of_a - of_a.mean(1, keepdim=True)
    return bool(interaction[..., mixed].abs().amax() <= least)
