"""How a module first combines its tokens: by a sum on which the logits depend, or otherwise."""

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

SIDE = 3
"""Number of tokens per operand: tokens 0, 1, 2 form a grid of nine pairs."""

MOVED = 4
"""Shift of the pairs in an exchange, chosen so that no pair (a, b) keeps a or b."""

ROUNDING = 1e-7
"""Share of the largest part below which parts are rounding error in float64."""


@final
class FirstMixing(TorchFunctionMode):
    """Detect the first activation that depends on both tokens in a forward pass of the nine pairs.

    ``is_sum`` states whether its entries that depend on both tokens are sums f(a) + g(b); it is None as long as there
    is no such activation. ``call`` is the index of the call that computes it. The result of call number ``exchange``,
    if given, is exchanged between pairs.
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
    """Return whether the tokens of a pair are first combined in a sum, and the logits depend on this sum alone.

    This is tested by exchanging the sums between pairs: the logits must become those of the other pairs. None if the
    tokens are first combined in a sum, but the logits also depend on them otherwise; False if they are first combined
    in another way.
    """
    with FirstMixing() as first:
        plain = logits(pairs())
    if not first.is_sum:
        return first.is_sum
    with FirstMixing(exchange=first.call):
        moved = logits(pairs())
    return True if torch.allclose(moved, exchanged(plain), rtol=0, atol=float(ROUNDING * plain.abs().amax())) else None


def exchanged(x: Tensor) -> Tensor:
    """Return an activation in which the part of every pair is replaced by that of another pair."""
    axis = pair_axis(x)
    return x if axis is None else x.roll(MOVED * (x.shape[axis] // SIDE**2), axis)


def pairs() -> Tensor:
    """Return the tokens of the nine pairs, in row-major order."""
    return torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE))


def by_pair(x: Tensor) -> Tensor | None:
    """Return an activation as [a, b, entry]; None if it has no axis of pairs."""
    axis = pair_axis(x)
    if axis is None:
        return None
    return x.movedim(axis, 0).reshape(SIDE, SIDE, -1).double()


def pair_axis(x: Tensor) -> int | None:
    """Return the axis of the pairs; None if no axis has their number."""
    if x.ndim and x.shape[0] and x.shape[0] % SIDE**2 == 0:
        return 0
    return next((i for i, size in enumerate(x.shape) if size == SIDE**2), None)


def sums(x: Tensor) -> bool | None:
    """Return whether the entries of [a, b, entry] that depend on both tokens are f(a) + g(b); None if none does.

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
