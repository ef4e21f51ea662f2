"""A module from another training loop as a model with the parts that its user named."""

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, ClassVar, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from grokinterp.errors import ConfigError, NotDefined, require, short
from grokinterp.models import first_mixing
from grokinterp.models.call_taps import CallTaps, InputTap
from grokinterp.models.hooked import HookPoint
from grokinterp.models.known_parts import Table
from grokinterp.models.layers import activation_between
from grokinterp.models.model import Model
from grokinterp.models.parts import depth_of, submodule_of
from grokinterp.models.places import EXAMPLES
from grokinterp.models.readout import Readout
from grokinterp.models.recorded_inputs import RecordedInputs
from grokinterp.models.recorded_spec import RecordedSpec
from grokinterp.models.recorded_state import require_fit, state_tensors
from grokinterp.models.sites import PatchSite
from grokinterp.models.taps import Tap, answer_of, vector
from grokinterp.torch_settings import exact_attention

NEEDS_MODULE = "needs the module: Trajectory.open(path, module=…)"

KEYS = {
    "an embedding": "embedding",
    "an embedding of tokens": "embedding",
    "an unembedding": "unembedding",
    "attention": "attention",
    "the last hidden layer": "neurons",
    "the output weights of the neurons": "neuron_output",
    "the pre-activations": "pre_activations",
    "a vector for each example before its answer": "reads",
}
"""The key of ``Recorder(parts=…)`` for each part, or its argument ``reads``."""

MOST_KEPT = 2**25
"""Largest number of activations of the examples in one forward pass: 256 MB in float64."""

LINEAR_ON = 16
"""Number of examples that test whether the logits are linear in the neurons."""

Answer = Callable[[Any], Tensor]
"""Function from the output of a module to the logits [example, class]."""


@final
class RecordedModel(Model):
    """A module as a model, with hooks on the outputs of its submodules.

    Parameters, buffers and hooks have the names of the module. Embedding, unembedding, neurons and attention are
    available if they were named to the recorder, and NotDefined otherwise. Token sequences are defined by the task;
    examples without a task are represented by their index. Analyses run in the loop, never under vmap.

    Args:
        spec: the recorded specification.
        module: a copy of the user's module, because hooks and evaluation mode change it; or ``Weights``.
        inputs: inputs of all examples; None with ``Weights``.
        answer: function from the output of the module to the logits (default: ``answer_of``).
        before: the number of positions before the last at which the logits, and all activations, are read: that of one
            of several answers. The module still sees the whole input, since it may not be causal.

    Raises:
        ConfigError: the module does not have the recorded parameters, buffers or submodules, or the last linear layers
            do not read as many positions.
    """

    module: nn.Module
    inside: ClassVar[str] = "module."
    vectorizes: ClassVar[bool] = False

    def __init__(
        self,
        spec: RecordedSpec,
        module: nn.Module,
        inputs: RecordedInputs | None = None,
        answer: Answer | None = None,
        *,
        before: int = 0,
    ) -> None:
        super().__init__()
        self.spec, self.module, self.inputs, self.answer, self.before = spec, module, inputs, answer, before
        self.places = {name: place.earlier(before) for name, place in spec.places.items()}
        for name in spec.read_hooks:
            require(self.reaches(name), "answer", name, f"has no position {before} before the last")
        self.mod_dict, self.hook_dict = {}, {}
        require_fit(spec, module)
        for name, shape in spec.hooks.items():
            point = HookPoint()
            point.name = name
            self.mod_dict[name] = self.hook_dict[name] = point
            if inputs is not None:
                self._tap(name, point, shape)
        calls = [name for name, place in self.places.items() if place.at != "input"]
        self.calls = [(self.hook_dict[name], self.places[name]) for name in calls]
        self.eval()

    def _tap(self, name: str, point: HookPoint, shape: tuple[int, ...]) -> None:
        """Attach a hook point to the module; hook points of function calls are active in ``forward``."""
        place = self.places.get(name)
        if place is None:
            self.module.get_submodule(name).register_forward_hook(Tap(point, shape.index(EXAMPLES)))
        elif place.at == "input":
            part = self.module.get_submodule(place.module)
            part.register_forward_pre_hook(InputTap(point, place), with_kwargs=True)

    def require_forward(self) -> None:
        if self.inputs is None:
            raise NotDefined("the forward pass", NEEDS_MODULE)

    def lacks(self, part: str) -> str:
        name, key = self.spec.class_name, KEYS.get(part)
        if key is None:
            return f"a recorded {name} does not show {part}"
        if self.spec.regression and key != "reads":
            return f"{part} of {name} can only be named with a task, and a regression has none"
        argument = "reads=…" if key == "reads" else f'task=…, parts={{"{key}": …}}'
        return f"the recorder was not given {part} of {name}: Recorder({argument}) names it"

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the trained parameters, each once, with their names in the module."""
        tensors = dict(self.module.named_parameters())
        return ((name, tensors[name]) for name in self.spec.parameters)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Return the trained parameters and all other tensors of the state, by their names in the module."""
        tensors = state_tensors(self.module)
        return {name: tensors[name].detach() for name in (*self.spec.parameters, *self.spec.buffers)}

    @torch.no_grad()
    def load_state_dict(self, state_dict: Mapping[str, Tensor], *args: Any, **kwargs: Any) -> Any:
        """Load a state in the format of ``state_dict``, keeping the dtypes of the model."""
        tensors = state_tensors(self.module)
        for name in (*self.spec.parameters, *self.spec.buffers):
            tensors[name].copy_(state_dict[name])

    def initialize(self, generator: torch.Generator | None) -> None:
        """Set all weights to zero, because the initialization of the module is unknown."""
        for weight in self.parameters():
            weight.detach().zero_()

    def forward(self, tokens: Int[Tensor, "batch position"]) -> Float[Tensor, "batch answer class"]:
        """Return the logits of some examples, with exact attention."""
        self.require_forward()
        assert self.inputs is not None
        weight, encoding = next(self.parameters()), self.spec.encoding
        inputs = self.inputs if encoding is None else encoding.inputs(self.inputs, tokens)
        chosen = tokens[:, 0] if encoding is None else torch.arange(len(tokens))
        with ExitStack() as stack:
            stack.enter_context(exact_attention())  # other kernels cannot be differentiated twice
            if any(point.has_hooks() for point, _ in self.calls):
                stack.enter_context(CallTaps(self.calls))
            try:
                output = inputs.given_to(self.module, chosen, device=weight.device, dtype=weight.dtype)
            except RuntimeError as error:
                if "dtype" not in str(error):
                    raise
                precision = str(weight.dtype).removeprefix("torch.")
                rule = f"must run in {precision}, in which it is analyzed: {short(error)}"
                raise ConfigError("module", self.spec.class_name, rule) from error
        if self.answer is None:
            logits = answer_of(output, self.spec.read_at, before=self.before)
        else:
            logits = vector(self.answer(output), self.spec.read_at, before=self.before)
        if logits is None:
            raise ConfigError("module", self.spec.class_name, "gives no logits [example, class]")
        return logits[:, : self.spec.classes or None].unsqueeze(1)

    def readout_by_hooks(self, tokens: Int[Tensor, "example position"]) -> Readout:
        """Return logits, inputs of the last linear layers (no features without them), neurons, and attention."""
        parts = [self._readout_of(some) for some in tokens.split(self.examples_at_once)]
        pattern = torch.cat([part[0] for part in parts]) if self.n_heads else None
        neurons, residual, logits = (torch.cat([part[i] for part in parts]) for i in (1, 2, 3))
        return Readout(pattern, neurons, residual, logits)

    def _readout_of(self, tokens: Int[Tensor, "batch position"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return attention, neurons, inputs of the last linear layers, and logits of examples that fit into memory."""
        spec = self.spec
        names = dict.fromkeys(
            (*spec.read_hooks, *([spec.parts.neurons] if self.n_neurons else []), *self.pattern_hooks[-1:])
        )
        logits, *values = self.catch(tokens, *names)
        found = dict(zip(names, values, strict=True))
        none = logits.new_zeros(len(tokens), 0)
        residual = torch.cat([none, *(self.at_readout(found[name]) for name in spec.read_hooks)], 1)
        neurons = residual if spec.parts.neurons is None else self.at_readout(found[spec.parts.neurons])
        pattern = self.pattern_at_readout(found[self.pattern_hooks[-1]]) if self.n_heads else none
        return pattern, neurons, residual, logits[:, -1]

    def at_readout(self, x: Float[Tensor, "batch *position_and_feature"]) -> Float[Tensor, "batch feature"]:
        return vector(x, self.spec.read_at, before=self.before)

    def reaches(self, hook: str) -> bool:
        """Return whether an activation has the position at which the answer is read, or no positions."""
        position_and_feature = [size for size in self.spec.hooks[hook] if size != EXAMPLES]
        return len(position_and_feature) != 2 or position_and_feature[0] > self.before

    def pattern_at_readout(
        self, pattern: Float[Tensor, "batch *head query position"]
    ) -> Float[Tensor, "batch head position"]:
        """Return the attention from the read-out position; a pattern averaged over heads counts as one head."""
        whole = pattern if pattern.ndim == 4 else pattern.unsqueeze(1)
        if self.spec.read_at == "mean":
            return whole.mean(2)
        return whole[:, :, -1 if self.spec.read_at == "last" else 0]

    @property
    def feature_hooks(self) -> tuple[str, ...]:
        return tuple(name for name in self.spec.features if self.reaches(name))

    @property
    def examples_at_once(self) -> int:
        return max(1, min(1024, MOST_KEPT // max(1, self.kept_per_example)))

    @property
    def evaluated_at_once(self) -> int:
        """All examples, because ``readout`` itself runs ``examples_at_once`` at a time."""
        return sys.maxsize

    @property
    def kept_per_example(self) -> int:
        return sum(math.prod(size for size in shape if size != EXAMPLES) for shape in self.spec.hooks.values())

    @property
    def embed_hook(self) -> str | None:
        hook = self.spec.parts.embed_hook
        whole = hook is not None and self.spec.hooks[hook][-2] == self.positions(self.spec.hooks[hook][-2])
        return hook if whole else None

    @torch.no_grad()
    def is_linear_in_neurons(self, tokens: Int[Tensor, "example position"]) -> bool:
        """Return whether a change of the neurons at all positions changes the logits by its product with ``W_L``."""
        try:
            W_L = self.W_L
        except NotDefined:
            return False
        tokens = tokens[:LINEAR_ON]
        (logits,), hook = self.catch(tokens), self.spec.parts.neurons
        generator = torch.Generator().manual_seed(0)
        change = torch.randn(self.n_neurons, generator=generator, dtype=torch.float64).to(W_L)
        with self.hooks(fwd_hooks=[(hook, lambda value, hook: value + change)]):
            moved = self(tokens) - logits
        return torch.allclose(moved[:, -1], (change @ W_L).expand(len(tokens), -1), rtol=1e-4, atol=1e-6)

    @property
    def b_U(self) -> Float[Tensor, "class"]:
        """The bias of the unembedding; zero without a bias."""
        name, W_U = self.spec.parts.bias, self.W_U
        return W_U.new_zeros(W_U.shape[1]) if name is None else state_tensors(self.module)[name][: W_U.shape[1]]

    @property
    def pattern_hooks(self) -> tuple[str, ...]:
        return self.spec.parts.attention

    @property
    def first_operand(self) -> int:
        return 0 if self.spec.encoding is None else self.spec.encoding.first_operand

    def positions(self, n_ctx: int) -> int:
        if self.pattern_hooks:
            return self.spec.hooks[self.pattern_hooks[-1]][-1]
        return n_ctx if self.spec.parts.embed_hook is None else self.spec.hooks[self.spec.parts.embed_hook][-2]

    def part_of(self, tensor: str) -> str:
        """Return the submodule of a tensor, at the deepest level with at most 16 submodules."""
        return submodule_of(tensor, depth_of([*self.spec.parameters]))

    @property
    def dense_matrices(self) -> dict[str, Float[Tensor, "_ _"]]:
        """All parameters with at least two axes, flattened after the first (a convolution is [out, in · space])."""
        return {name: w.flatten(1) for name, w in self.named_parameters() if w.ndim > 1 and w.numel()}

    @property
    def patch_sites(self) -> dict[str, PatchSite]:
        """No sites, because the parallel branches of the module are unknown."""
        return {}

    @property
    def n_layers(self) -> int:
        return len(self.pattern_hooks)

    @property
    def n_heads(self) -> int:
        if not self.pattern_hooks:
            return 0
        shape = self.spec.hooks[self.pattern_hooks[-1]]
        return shape[1] if len(shape) == 4 else 1

    @property
    def n_neurons(self) -> int:
        return 0 if self.spec.parts.neurons is None else width(self.spec.hooks[self.spec.parts.neurons])

    @property
    def pre_hook(self) -> str:
        """The hook of the pre-activations. Raises NotDefined if they are unknown or averaged over positions."""
        hook = self.spec.parts.pre_activations
        if hook is None:
            raise NotDefined("pre-activations", self.lacks("the pre-activations"))
        if self.spec.read_at == "mean":
            raise NotDefined("pre-activations", "the neurons are averaged over positions")
        return hook

    @property
    @torch.no_grad()
    def activation(self) -> Callable[[Tensor], Tensor]:
        """The activation function of the last hidden layer. Raises NotDefined if no known function fits."""
        neurons = self.spec.parts.neurons
        if neurons is None or self.inputs is None:
            raise NotDefined("activation function", self.lacks("the last hidden layer"))
        _, before, after = self.catch(first_mixing.pairs(), self.pre_hook, neurons)
        found = activation_between(before, after) if before.shape == after.shape else None
        if found is None:
            raise NotDefined("activation function", self.lacks("a known activation function of the last hidden layer"))
        return found

    def _table(self, table: Table | None, part: str) -> Tensor:
        """Return a matrix of the module. Raises NotDefined if it was not named to the recorder."""
        if table is None:
            raise NotDefined(part, self.lacks(part))
        return table.of(state_tensors(self.module))

    @property
    def embedding(self) -> Float[Tensor, "token feature"]:
        return self._table(self.spec.parts.embedding, "an embedding")

    @property
    def n_tables(self) -> int:
        table = self.spec.parts.embedding
        return 1 if table is None else table.n_tables

    def embedded_by(self, table: Float[Tensor, "token feature"]) -> dict[str, Tensor]:
        own = self.spec.parts.embedding
        if own is None:
            raise NotDefined("embedding", self.lacks("an embedding"))
        return own.put(table, state_tensors(self.module))

    @property
    @torch.no_grad()
    def adds_operands(self) -> bool | None:
        """Whether the tokens are combined in a sum on which alone the logits depend, tested on nine pairs."""
        encoding = self.spec.encoding
        if self.inputs is None or encoding is None or encoding.n_tokens != 2:
            return None
        return first_mixing.adds_operands(self)

    @property
    def W_U(self) -> Float[Tensor, "d_model class"]:
        return self._table(self.spec.parts.unembedding, "an unembedding").mT[:, : self.spec.classes or None]

    @property
    def W_L(self) -> Float[Tensor, "neuron class"]:
        parts = self.spec.parts
        if parts.neurons is None:
            raise NotDefined("W_L", self.lacks("the last hidden layer"))
        if parts.neurons in self.spec.read_hooks:
            return self.W_U
        return self._table(parts.neuron_output, "the output weights of the neurons") @ self.W_U


def width(shape: tuple[int, ...]) -> int:
    """Return the number of features that ``vector`` makes of an activation of this shape.

    >>> width((-1, 3, 8)), width((-1, 8)), width((2, -1, 8)), width((-1, 8, 4, 4))
    (8, 8, 8, 8)
    """
    sizes = [size for size in shape if size != EXAMPLES]
    return 1 if not sizes else sizes[0] if len(sizes) == 3 else sizes[-1]
