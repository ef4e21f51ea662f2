"""How a module first brings its tokens together: by a sum, or otherwise."""

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

SIDE = 3
"""Tokens 0, 1, 2 in either place make a grid of nine pairs."""

ROUNDING = 1e-7
"""Parts smaller than this share of the largest are rounding, in the precision of float64."""


@final
class FirstMixing(TorchFunctionMode):
    """Watches for the first activation with an entry that depends on both tokens, while nine pairs are passed.

    ``is_sum`` is whether those entries are then sums f(a) + g(b); None as long as there is no such activation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_sum: bool | None = None

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if self.is_sum is None and isinstance(output, Tensor) and output.is_floating_point():
            grid = by_pair(output.detach())
            self.is_sum = None if grid is None else sums(grid)
        return output


def pairs() -> Tensor:
    """The tokens of the nine pairs, in row-major order."""
    return torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE))


def by_pair(x: Tensor) -> Tensor | None:
    """An activation as [a, b, entry], None where no axis is that of the pairs."""
    axis = 0 if x.ndim and x.shape[0] and x.shape[0] % SIDE**2 == 0 else None
    axis = next((i for i, size in enumerate(x.shape) if size == SIDE**2), None) if axis is None else axis
    if axis is None:
        return None
    return x.movedim(axis, 0).reshape(SIDE, SIDE, -1).double()


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
