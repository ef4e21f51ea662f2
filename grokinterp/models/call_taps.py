"""Hook points on activations that are not outputs of submodules: inputs of submodules, operands, and patterns."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from grokinterp.models.attention_calls import ATTENTION, with_pattern
from grokinterp.models.hooked import HookPoint
from grokinterp.models.places import Place

LINEAR = frozenset(
    {
        *("linear", "bilinear", "conv1d", "conv2d", "conv3d", "matmul", "__matmul__", "mm", "bmm", "mv", "inner"),
        *("addmm", "baddbmm", "addbmm", "addmv", "einsum", "tensordot", "cdist"),
    }
)
"""Functions that multiply by weights; ``cdist`` computes distances to prototypes."""

WITH_SUMMAND = frozenset({"addmm", "baddbmm", "addbmm", "addmv"})
"""Linear functions whose first tensor is a summand."""


@final
class InputTap:
    """A forward pre-hook that passes the first input tensor of a submodule through a hook point."""

    def __init__(self, point: HookPoint, place: Place) -> None:
        self.point, self.place = point, place

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not self.point.has_hooks() or (value := first_input(args, kwargs)) is None:
            return None
        return swapped((args, kwargs), value, self.place.through(self.point, value))


@final
class CallTaps(TorchFunctionMode):
    """While active, pass the operands and patterns of numbered calls through hook points.

    Args:
        points: hook points and their places, each in a call; points without hooks are skipped.
    """

    def __init__(self, points: Sequence[tuple[HookPoint, Place]]) -> None:
        super().__init__()
        self.linear = {p.call: (point, p) for point, p in points if p.at == "operand" and point.has_hooks()}
        self.patterns = {p.call: (point, p) for point, p in points if p.at == "pattern" and point.has_hooks()}
        self.count = {"linear": 0, "attention": 0}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs, name = kwargs or {}, name_of(func)
        if name in LINEAR:
            point, place = self.linear.get(self.next("linear"), (None, None))
            if point is not None and place is not None:
                value = operands(name, args, kwargs)[place.operand]
                args, kwargs = swapped((args, kwargs), value, place.through(point, value))
        if name in ATTENTION:
            point, place = self.patterns.get(self.next("attention"), (None, None))
            if point is not None and place is not None:
                tap, of = place.through, point
                return with_pattern(name, func, args, kwargs, lambda pattern: tap(of, pattern))
        return func(*args, **kwargs)

    def next(self, kind: str) -> int:
        """Return the index of this call among the calls of its kind."""
        self.count[kind] += 1
        return self.count[kind] - 1


def name_of(func: Callable[..., Any]) -> str:
    """Return the name of a function, including that of the operator ``@``."""
    return getattr(func, "__name__", "")


def operands(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """Return the tensors that a linear function multiplies, without summands.

    >>> import torch
    >>> x, w, b = torch.ones(1, 2), torch.ones(3, 2), torch.ones(3)
    >>> [len(value) for value in operands("linear", (x, w, b), {})], len(operands("addmm", (b, x, w.T), {}))
    ([1, 3], 2)
    """
    found = tensors_in([args, kwargs])
    if name in WITH_SUMMAND:
        return found[1:3]
    return found if name == "einsum" else found[: 3 if name == "bilinear" else 2]


def tensors_in(values: Any) -> list[Tensor]:
    """Return all tensors in nested lists and dicts, in order."""
    if isinstance(values, Tensor):
        return [values]
    several = list(values.values()) if isinstance(values, Mapping) else values
    if not isinstance(several, list | tuple):
        return []
    return [tensor for value in several for tensor in tensors_in(value)]


def swapped(values: Any, old: Tensor, new: Tensor) -> Any:
    """Return nested tuples, lists and dicts in which one tensor is replaced by another."""
    if isinstance(values, Tensor):
        return new if values is old else values
    if isinstance(values, dict):
        return {name: swapped(value, old, new) for name, value in values.items()}
    if type(values) in (list, tuple):
        return type(values)(swapped(value, old, new) for value in values)
    return values


def first_input(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor | None:
    """Return the first input tensor of a submodule; None without tensors."""
    return next((value for value in [*args, *kwargs.values()] if isinstance(value, Tensor)), None)
