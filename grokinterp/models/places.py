"""Activations that are no submodule's output: the input of a submodule, or what a function computes with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from grokinterp.errors import ConfigError, short
from grokinterp.models.attention_calls import ATTENTION, with_pattern
from grokinterp.models.hooked import HookPoint

Kind = Literal["input", "operand", "pattern"]

LINEAR = frozenset(
    {
        *("linear", "bilinear", "conv1d", "conv2d", "conv3d", "matmul", "__matmul__", "mm", "bmm", "mv", "inner"),
        *("addmm", "baddbmm", "addbmm", "addmv", "einsum", "tensordot", "cdist"),
    }
)
"""Functions that multiply by weights; ``cdist`` compares with prototypes."""

WITH_SUMMAND = frozenset({"addmm", "baddbmm", "addbmm", "addmv"})
"""Those whose first tensor is added."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where in a forward pass an activation stands that no submodule gives.

    ``at``: the first "input" of a submodule; an "operand" of a linear function; the "pattern" of an attention
    function. ``module``: the submodule, or that in which the function is called ("" is the whole). ``call``: which
    linear (or attention) call of a forward pass, from 0; ``operand`` which of its tensors. ``axis``: the one of the
    examples, each with ``rows`` entries there. ``flat``: all other axes are features. ``position``: the only one that
    is looked at, or the "mean" of all (None keeps them).

    Raises:
        ConfigError: a negative number.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    at: Kind
    module: str = ""
    call: int = 0
    operand: int = 0
    axis: int = 0
    rows: int = 1
    flat: bool = False
    position: int | Literal["mean"] | None = None

    def __post_init__(self) -> None:
        for key in ("call", "operand", "axis", "rows"):
            if getattr(self, key) < (key == "rows"):
                raise ConfigError(key, getattr(self, key), f"must be an integer from {int(key == 'rows')}")
        if not self.module.isprintable() or len(self.module) > 200:
            raise ConfigError("module", short(repr(self.module)), "must have at most 200 printable characters")

    def arranged(self, value: Tensor) -> Tensor:
        """The activation with one row per example first."""
        first = value.movedim(self.axis, 0)
        first = first.unflatten(0, (-1, self.rows)) if self.rows > 1 else first
        return first.flatten(1) if self.flat else first

    def seen(self, arranged: Tensor) -> Tensor:
        """What is looked at of it."""
        if self.position is None:
            return arranged
        return arranged.mean(1) if self.position == "mean" else arranged[:, self.position]

    def changed(self, arranged: Tensor, value: Tensor) -> Tensor:
        """An arranged activation with another value where it is looked at; a mean changes by as much everywhere."""
        if self.position is None:
            return value
        if self.position == "mean":
            return arranged + (value - arranged.mean(1)).unsqueeze(1)
        return torch.cat([arranged[:, : self.position], value.unsqueeze(1), arranged[:, self.position + 1 :]], 1)

    def through(self, point: HookPoint, value: Tensor) -> Tensor:
        """The activation led through a hook point."""
        arranged = self.arranged(value)
        seen = self.seen(arranged)
        if (new := point(seen)) is seen:
            return value
        whole = self.changed(arranged, new)
        return whole.reshape(value.movedim(self.axis, 0).shape).movedim(0, self.axis)


@final
class InputTap:
    """A forward pre-hook that leads the first tensor a submodule is given through a hook point."""

    def __init__(self, point: HookPoint, place: Place) -> None:
        self.point, self.place = point, place

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not self.point.has_hooks() or (value := first_input(args, kwargs)) is None:
            return None
        return swapped((args, kwargs), value, self.place.through(self.point, value))


@final
class CallTaps(TorchFunctionMode):
    """While it is active, leads operands and patterns of numbered calls through hook points.

    Args:
        points: a hook point and its place, each of a call; those without hooks are passed over.
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
        """The number of this call among those of its kind."""
        self.count[kind] += 1
        return self.count[kind] - 1


def name_of(func: Callable[..., Any]) -> str:
    """A function's name, that of the operator ``@`` too."""
    return getattr(func, "__name__", "")


def operands(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """The tensors that a linear function multiplies, without what it adds.

    >>> x, w, b = torch.ones(1, 2), torch.ones(3, 2), torch.ones(3)
    >>> [len(value) for value in operands("linear", (x, w, b), {})], len(operands("addmm", (b, x, w.T), {}))
    ([1, 3], 2)
    """
    found = tensors_in([args, kwargs])
    if name in WITH_SUMMAND:
        return found[1:3]
    return found if name == "einsum" else found[: 3 if name == "bilinear" else 2]


def tensors_in(values: Any) -> list[Tensor]:
    """All tensors in nested lists and dicts, in order."""
    if isinstance(values, Tensor):
        return [values]
    several = list(values.values()) if isinstance(values, Mapping) else values
    if not isinstance(several, list | tuple):
        return []
    return [tensor for value in several for tensor in tensors_in(value)]


def swapped(values: Any, old: Tensor, new: Tensor) -> Any:
    """Nested tuples, lists and dicts with another tensor in place of one."""
    if isinstance(values, Tensor):
        return new if values is old else values
    if isinstance(values, dict):
        return {name: swapped(value, old, new) for name, value in values.items()}
    if type(values) in (list, tuple):
        return type(values)(swapped(value, old, new) for value in values)
    return values


def first_input(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor | None:
    """The first tensor that a submodule is given, None without one."""
    return next((value for value in [*args, *kwargs.values()] if isinstance(value, Tensor)), None)
