"""Where activations stand that are no submodule's output, as data: nothing here imports torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from grokinterp.errors import ConfigError, short
from grokinterp.lazy import Tensor, torch

if TYPE_CHECKING:
    from grokinterp.models.hooked import HookPoint

ReadAt = Literal["last", "first", "mean"]
"""Which position of [example, position, feature] the answer is read at; ``mean`` of all."""

EXAMPLES = -1
"""In the shape of an activation, the axis of the examples."""

Kind = Literal["input", "operand", "pattern"]


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

    def through(self, point: "HookPoint", value: Tensor) -> Tensor:
        """The activation led through a hook point."""
        arranged = self.arranged(value)
        seen = self.seen(arranged)
        if (new := point(seen)) is seen:
            return value
        whole = self.changed(arranged, new)
        return whole.reshape(value.movedim(self.axis, 0).shape).movedim(0, self.axis)
