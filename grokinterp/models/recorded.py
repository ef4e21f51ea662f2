"""A module that somebody else trained, as far as its recorder saw it: a model without parts of known names."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NoReturn, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from grokinterp.errors import ConfigError, NotDefined, short
from grokinterp.models.hooked import HookPoint
from grokinterp.models.model import Model, ModelSpec
from grokinterp.models.probes import ProbeInputs
from grokinterp.models.readout import Readout
from grokinterp.models.taps import EXAMPLES, ReadAt, Tap, logits_of, vector

NEEDS_MODULE = "needs the module: Trajectory.open(path, module=…)"

MOST_KEPT = 2**25
"""Numbers that all activations of the examples run together may have: 256 MB in float64."""

RESERVED = ("update/", "average/", "__metadata__")
"""What a checkpoint file means by a name that begins so."""

Answer = Callable[[Any], Tensor]
"""From what a module gives to the logits [example, class]."""


@dataclass(frozen=True, kw_only=True)
class RecordedSpec(ModelSpec):
    """Names and shapes of what a module holds and gives.

    ``parameters`` are those that were trained, each once however many names it has; ``buffers`` the other tensors of
    its state. ``hooks``: the submodules that give a tensor, in the order in which they finish, with -1 for the axis
    of the examples; ``features`` are those at which representations are compared, ``penultimate`` the last before
    the logits. ``read_at``: the position at which [example, position, feature] is read. ``own_logits``: whether the
    logits were found in the module's output by a function of the user's.

    Raises:
        ConfigError: a name that no file or figure can hold, or a feature that is no hook.
    """

    about: ClassVar[str] = "a module of your own, recorded from your training loop"

    kind: Literal["recorded"] = "recorded"
    class_name: str
    parameters: dict[str, tuple[int, ...]] = field(repr=False)
    buffers: dict[str, tuple[int, ...]] = field(default_factory=dict, repr=False)
    hooks: dict[str, tuple[int, ...]] = field(default_factory=dict, repr=False)
    features: tuple[str, ...] = field(default=(), repr=False)
    penultimate: str | None = None
    read_at: ReadAt = "last"
    own_logits: bool = False

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
        for name in (*self.features, *([] if self.penultimate is None else [self.penultimate])):
            if name not in self.hooks:
                raise ConfigError("features", short(name), "must be among the hooks")

    @property
    def n_weights(self) -> int:
        """Entries of all trained parameters."""
        return sum(math.prod(shape) for shape in self.parameters.values())

    def build(
        self, *, d_vocab: int, d_vocab_out: int, n_ctx: int, generator: torch.Generator | None = None
    ) -> "RecordedModel":
        """The weights without the module: every measure that needs more says so."""
        if generator is not None:
            raise ConfigError("kind", "recorded", "is trained by somebody else's loop; there is nothing to draw")
        return RecordedModel(self, Weights(self))


class Weights(nn.Module):
    """Parameters and buffers by their names, all zero, of a module that is not there."""

    def __init__(self, spec: RecordedSpec) -> None:
        super().__init__()
        # names with dots, which register_parameter would refuse
        self._parameters.update({name: nn.Parameter(torch.zeros(shape)) for name, shape in spec.parameters.items()})
        self._buffers.update({name: torch.zeros(shape) for name, shape in spec.buffers.items()})


@final
class RecordedModel(Model):
    """A module behind the face of a model: examples are their indices, hooks the outputs of its submodules.

    Parameters, buffers and hooks have the module's own names. All that stands in other models at a place of a known
    name (embedding, unembedding, heads, neurons) is NotDefined. Its analyses run in the loop, never under vmap.

    Args:
        spec: what was recorded of it.
        module: the module, which is changed (hooks, evaluation mode): a copy of the user's; or ``Weights``.
        inputs: of all examples; None with ``Weights``.
        answer: finds the logits in the module's output (default: ``logits_of``).

    Raises:
        ConfigError: the module has not the recorded parameters, buffers or submodules.
    """

    module: nn.Module
    inside: ClassVar[str] = "module."
    vectorizes: ClassVar[bool] = False

    def __init__(
        self, spec: RecordedSpec, module: nn.Module, inputs: ProbeInputs | None = None, answer: Answer | None = None
    ) -> None:
        super().__init__()
        self.spec, self.module, self.inputs, self.answer = spec, module, inputs, answer
        self.mod_dict, self.hook_dict = {}, {}
        require_fit(spec, module)
        for name, shape in spec.hooks.items():
            point = HookPoint()
            point.name = name
            self.mod_dict[name] = self.hook_dict[name] = point
            if inputs is not None:
                module.get_submodule(name).register_forward_hook(Tap(point, shape.index(EXAMPLES)))
        self.eval()

    def require_forward(self) -> None:
        if self.inputs is None:
            raise NotDefined("the forward pass", NEEDS_MODULE)

    def lacks(self, part: str) -> str:
        return f"nobody has told which part of {self.spec.class_name} is {part}"

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Parameter]]:
        """The trained parameters, each once, by the module's own names."""
        tensors = dict(self.module.named_parameters())
        return ((name, tensors[name]) for name in self.spec.parameters)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Trained parameters and all other tensors of the state, by the module's own names."""
        tensors = state_tensors(self.module)
        return {name: tensors[name].detach() for name in (*self.spec.parameters, *self.spec.buffers)}

    @torch.no_grad()
    def load_state_dict(self, state_dict: Mapping[str, Tensor], *args: Any, **kwargs: Any) -> Any:
        """Put in what ``state_dict`` gives; dtypes stay the model's."""
        tensors = state_tensors(self.module)
        for name in (*self.spec.parameters, *self.spec.buffers):
            tensors[name].copy_(state_dict[name])

    def initialize(self, generator: torch.Generator | None) -> None:
        """Zero; nobody here knows how the weights are drawn."""
        for weight in self.parameters():
            weight.detach().zero_()

    def forward(self, tokens: Int[Tensor, "batch position"]) -> Float[Tensor, "batch answer class"]:
        """Logits of some examples, the first of whose tokens is its number; attention in its exact form."""
        self.require_forward()
        assert self.inputs is not None
        weight = next(self.parameters())
        with sdpa_kernel(SDPBackend.MATH):  # the others cannot be differentiated twice
            output = self.inputs.given_to(self.module, tokens[:, 0], device=weight.device, dtype=weight.dtype)
        logits = logits_of(output, self.spec.read_at) if self.answer is None else self.answer(output)
        if logits is None:
            raise ConfigError("module", self.spec.class_name, "gives no logits [example, class]")
        return logits.unsqueeze(1)

    def readout_by_hooks(self, tokens: Int[Tensor, "example position"]) -> Readout:
        """Logits, and the last representation before them (no features where there is none)."""
        names = [] if self.spec.penultimate is None else [self.spec.penultimate]
        parts = []
        for some in tokens.split(self.examples_at_once):
            logits, *found = self.catch(some, *names)
            vectors = [self.at_readout(value) for value in found] or [logits.new_zeros(len(some), 0)]
            parts.append((logits[:, -1], vectors[0]))
        logits, residual = (torch.cat(part) for part in zip(*parts, strict=True))
        return Readout(None, residual, residual, logits)

    def at_readout(self, x: Float[Tensor, "batch *position_and_feature"]) -> Float[Tensor, "batch feature"]:
        return vector(x, self.spec.read_at)

    @property
    def feature_hooks(self) -> tuple[str, ...]:
        return self.spec.features

    @property
    def examples_at_once(self) -> int:
        return max(1, min(1024, MOST_KEPT // max(1, self.kept_per_example)))

    @property
    def kept_per_example(self) -> int:
        return sum(math.prod(size for size in shape if size != EXAMPLES) for shape in self.spec.hooks.values())

    @property
    def n_layers(self) -> int:
        return 0

    @property
    def n_neurons(self) -> int:
        return 0

    @property
    def embedding(self) -> NoReturn:
        raise NotDefined("embedding", self.lacks("an embedding"))

    @property
    def W_U(self) -> NoReturn:
        raise NotDefined("W_U", self.lacks("an unembedding"))

    @property
    def W_L(self) -> NoReturn:
        raise NotDefined("W_L", self.lacks("an unembedding"))


def state_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Every parameter once, and every buffer that belongs to the module's state, by name."""
    kept = module.state_dict().keys()
    buffers = {name: value for name, value in module.named_buffers() if name in kept}
    return dict(module.named_parameters()) | buffers


def require_fit(spec: RecordedSpec, module: nn.Module) -> None:
    """Raise ConfigError unless the module holds what was recorded."""
    if isinstance(module, Weights):
        return
    there = {name: tuple(value.shape) for name, value in state_tensors(module).items()}
    wanted = spec.parameters | spec.buffers
    for name in (*wanted, *there):
        if there.get(name) != wanted.get(name):
            found = f"has {short(name)} {list(there[name])}" if name in there else f"has no {short(name)}"
            recorded = f"the recorded one has it as {list(wanted[name])}" if name in wanted else "it was not recorded"
            raise ConfigError("module", type(module).__name__, f"{found}; {recorded}")
    parts = dict(module.named_modules())
    for name in spec.hooks:
        if name not in parts:
            raise ConfigError("module", type(module).__name__, f"has no submodule {short(name)}, which was recorded")
