"""The recorded specification of a module from another training loop: names, shapes, and known parts."""

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from grokinterp.errors import ConfigError, short
from grokinterp.models.known_parts import Encoding, KnownParts
from grokinterp.models.places import EXAMPLES, Place, ReadAt
from grokinterp.models.specifications import ModelSpec
from grokinterp.specification import ADDED

RESERVED = ("update/", "average/", "__metadata__")
"""Prefixes of names that have a special meaning in a checkpoint file."""


@dataclass(frozen=True, kw_only=True)
class RecordedSpec(ModelSpec):
    """Names and shapes of the tensors and activations of a module.

    ``parameters``: the trained parameters, each once even if it has several names; ``buffers``: the other tensors of
    the state. ``hooks``: the submodules that return a tensor, in the order in which they finish, with shapes in which
    -1 is the axis of the examples, and the ``places`` that are not outputs of submodules. ``features``: the hooks at
    which representations are compared. ``reads``: the input of the last linear layer, or several in an ensemble;
    ``penultimate``: if there is none, the last submodule before the logits. ``read_at``: the position at which
    [example, position, feature] is read. ``own_logits``: whether a user function extracts the logits from the output.

    If the task is known: ``examples``: digest of the file of inputs; ``encoding``: encoding of the tokens in the
    inputs; ``classes``: number of logits used; ``parts``: the parts named by the user. ``regression``: whether the
    outputs are numbers, so that there is no such task.

    Raises:
        ConfigError: a name cannot be stored or drawn, a feature is not a hook, or a part does not exist.
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
    regression: bool = field(default=False, metadata=ADDED)

    def __post_init__(self) -> None:
        if not self.parameters:
            raise ConfigError("parameters", 0, "must include at least one trained parameter")
        for name in (self.class_name, *self.parameters, *self.buffers, *self.hooks):
            plain = name.isprintable() and "$" not in name and 1 <= len(name) <= 200
            if not plain or name.startswith(RESERVED):
                rule = f"must have 1-200 printable characters, no $, and not begin with {', '.join(RESERVED)}"
                raise ConfigError("name", short(repr(name)), rule)
        if both := sorted(self.parameters.keys() & self.buffers.keys()):
            raise ConfigError("buffers", short(both[0]), "is also a parameter")
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
    def is_recorded(self) -> bool:
        return True

    def require_sequences(self) -> None:
        return None

    @property
    def knows_task(self) -> bool:
        return self.examples is not None

    @property
    def read_hooks(self) -> tuple[str, ...]:
        """The hooks from which the answer is computed: the inputs of the last linear layers, or the last submodule."""
        return self.reads or (() if self.penultimate is None else (self.penultimate,))


def as_recorded(spec: ModelSpec) -> RecordedSpec:
    """Return the specification of a recorded module with its type. Raises ConfigError for any other model."""
    if not isinstance(spec, RecordedSpec):
        raise ConfigError("model.kind", spec.kind, "must be recorded")
    return spec
