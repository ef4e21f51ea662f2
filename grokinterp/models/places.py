"""Places of activations that are not outputs of submodules, as data that loads without torch."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from grokinterp.errors import ConfigError, require, short
from grokinterp.lazy import Tensor, torch

if TYPE_CHECKING:
    from grokinterp.models.hooked import HookPoint

ReadAt = Literal["last", "first", "mean"]
"""The position of [example, position, feature] at which the answer is read, or the mean over all positions."""

EXAMPLES = -1
"""Marks the axis of the examples in the shape of an activation."""

Kind = Literal["input", "operand", "pattern"]


@dataclass(frozen=True, kw_only=True)
class Place:
    """The place in a forward pass of an activation that is not the output of a submodule.

    ``at``: the first "input" of a submodule, an "operand" of a linear function, or the "pattern" of an attention
    function. ``module``: the submodule, or the submodule that calls the function ("" for the whole module). ``call``:
    index of the linear (or attention) call in a forward pass, from 0; ``operand``: index of its tensor. ``axis``: the
    axis of the examples, with ``rows`` entries per example. ``flat``: whether all other axes are features.
    ``position``: the position to use, or the "mean" over positions (None keeps all).

    Raises:
        ConfigError: a number is negative.
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
        """Return the activation with the examples as the first axis."""
        first = value.movedim(self.axis, 0)
        first = first.unflatten(0, (-1, self.rows)) if self.rows > 1 else first
        return first.flatten(1) if self.flat else first

    def seen(self, arranged: Tensor) -> Tensor:
        """Return an arranged activation at the selected position, or its mean."""
        if self.position is None:
            return arranged
        return arranged.mean(1) if self.position == "mean" else arranged[:, self.position]

    def changed(self, arranged: Tensor, value: Tensor) -> Tensor:
        """Return an arranged activation with another value at the selected position; a mean shifts all positions."""
        if self.position is None:
            return value
        if self.position == "mean":
            return arranged + (value - arranged.mean(1)).unsqueeze(1)
        return torch.cat([arranged[:, : self.position], value.unsqueeze(1), arranged[:, self.position + 1 :]], 1)

    def earlier(self, positions: int) -> "Place":
        """Return the place with its position, if it has one, a number of positions earlier."""
        if not isinstance(self.position, int):
            return self
        require(self.position >= positions, "position", self.position, f"must be at least {positions}")
        return replace(self, position=self.position - positions)

    def through(self, point: "HookPoint", value: Tensor) -> Tensor:
        """Return the activation after it passes through a hook point."""
        arranged = self.arranged(value)
        seen = self.seen(arranged)
        if (new := point(seen)) is seen:
            return value
        whole = self.changed(arranged, new)
        return whole.reshape(value.movedim(self.axis, 0).shape).movedim(0, self.axis)
