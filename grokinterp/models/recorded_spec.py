"""What is recorded of a module that another training loop trains: names, shapes, and the parts that are known."""

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from grokinterp.errors import ConfigError, short
from grokinterp.models.known_parts import Encoding, KnownParts
from grokinterp.models.places import EXAMPLES, Place, ReadAt
from grokinterp.models.specifications import ModelSpec

RESERVED = ("update/", "average/", "__metadata__")
"""What a checkpoint file means by a name that begins so."""


@dataclass(frozen=True, kw_only=True)
class RecordedSpec(ModelSpec):
    """Names and shapes of what a module holds and gives.

    ``parameters`` are those that were trained, each once however many names it has; ``buffers`` the other tensors of
    its state. ``hooks``: the submodules that give a tensor, in the order in which they finish, with -1 for the axis
    of the examples, and the ``places`` that are no submodule's output. ``features`` are those at which representations
    are compared. ``reads``: what the last linear layer reads, several in an ensemble; ``penultimate``, where none was
    found, the last submodule before the logits. ``read_at``: the position at which [example, position, feature] is
    read. ``own_logits``: whether the logits were found in the module's output by a function of the user's.

    Where the task is known: ``examples`` is the digest of the inputs' file, ``encoding`` how tokens enter, ``classes``
    how many logits count; ``parts`` are those that the user named.

    Raises:
        ConfigError: a name that no file or figure can hold, a feature that is no hook, a part that is not there.
    """

    about: ClassVar[str] = "a module of your own, recorded from your training loop"

    kind: Literal["recorded"] = "recorded"
    class_name: str
    parameters: dict[str, tuple[int, ...]] = field(repr=False)
    buffers: dict[str, tuple[int, ...]] = field(default_factory=dict, repr=False)
    hooks: dict[str, tuple[int, ...]] = field(default_factory=dict, repr=False)
    places: dict[str, Place] = field(default_factory=dict, repr=False)
    features: tuple[str, ...] = field(default=(), repr=False)
    reads: tuple[str, ...] = ()
    penultimate: str | None = None
    read_at: ReadAt = "last"
    own_logits: bool = False
    examples: str | None = None
    classes: int = 0
    encoding: Encoding | None = None
    parts: KnownParts = field(default_factory=KnownParts)

    def __post_init__(self) -> None:
        if not self.parameters:
            raise ConfigError("parameters", 0, "there must be one that is trained")
        for name in (self.class_name, *self.parameters, *self.buffers, *self.hooks):
            plain = name.isprintable() and "$" not in name and 1 <= len(name) <= 200
            if not plain or name.startswith(RESERVED):
                rule = f"must have 1-200 printable characters, no $, and not begin with {', '.join(RESERVED)}"
                raise ConfigError("name", short(repr(name)), rule)
        if both := sorted(self.parameters.keys() & self.buffers.keys()):
            raise ConfigError("buffers", short(both[0]), "is a parameter too")
        for name, shape in (self.parameters | self.buffers | self.hooks).items():
            axes = shape.count(EXAMPLES) == 1 if name in self.hooks else True
            sizes = [size for size in shape if size != EXAMPLES or name not in self.hooks]
            if not axes or any(size < 0 for size in sizes) or math.prod(size or 1 for size in sizes) > 2**40:
                raise ConfigError("shape", f"{short(name)} {shape}", "must be sizes from 0, 2^40 elements at most")
        for name in (*self.features, *self.read_hooks, *self.places, *self.parts.hooks):
            if name not in self.hooks:
                raise ConfigError("features", short(name), "must be among the hooks")
        for name in self.parts.tensors:
            if name not in self.parameters | self.buffers:
                raise ConfigError("parts", short(name), "must be among the parameters")

    @property
    def read_hooks(self) -> tuple[str, ...]:
        """What the answer is computed from: what the last linear layers read, or the last submodule's output."""
        return self.reads or (() if self.penultimate is None else (self.penultimate,))
