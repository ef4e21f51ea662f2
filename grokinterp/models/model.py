"""What every model is: a HookedRootModule that answers a token sequence, and says where its parts are."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from grokinterp.errors import NotDefined
from grokinterp.models.hooked import ActivationCache, HookedRootModule
from grokinterp.models.readout import Readout, ReadoutInputs


class Model(HookedRootModule, ABC):
    """A network that answers token sequences; parameters and hooks have their TransformerLens names.

    ``model(tokens)`` has one logit per class at every position it answers at; the answer is the last:
    ``model(tokens)[:, -1]``. That plain form is the oracle. ``readout`` computes the same faster
    where a model knows how.
    """

    spec: Any

    inside: ClassVar[str] = ""
    """What stands before the names of parameters in the module's own tree."""

    vectorizes: ClassVar[bool] = True
    """Whether it runs under ``torch.func.vmap``."""

    @property
    @abstractmethod
    def n_layers(self) -> int:
        """Hidden layers."""

    @property
    def n_heads(self) -> int:
        """Attention heads per layer; 0 without attention."""
        return 0

    @property
    @abstractmethod
    def embedding(self) -> Float[Tensor, "token feature"]:
        """What a token is turned into, the positions' tables side by side where each has its own."""

    @property
    def n_tables(self) -> int:
        """How many tables lie side by side in ``embedding``: one that all positions share, or one for each."""
        return 1

    def embedded_by(self, table: Float[Tensor, "token feature"]) -> dict[str, Tensor]:
        """The parameters that embed tokens by another table of the layout of ``embedding``.

        A table that all positions share may have more rows than ``embedding``: tokens of their own.
        """
        return {"embed.W_E": table}

    @property
    def embeds_one_hot(self) -> bool:
        """Whether tokens are one-hot vectors, so that ``embedding`` is a table of the first layer's."""
        return False

    @property
    def adds_operands(self) -> bool | None:
        """Whether tokens first meet in a sum: the first nonlinearity of several tokens reads Σ_i f_i(token_i).

        Such a network multiplies no two operands before that nonlinearity, whatever its weights are. None: unknown.
        """
        return False

    @property
    @abstractmethod
    def W_U(self) -> Float[Tensor, "d_model class"]:
        """From what ``Readout.residual`` holds to the logits."""

    @property
    @abstractmethod
    def W_L(self) -> Float[Tensor, "neuron class"]:
        """From the last hidden layer to the logits, final LayerNorm left out."""

    @property
    @abstractmethod
    def b_U(self) -> Float[Tensor, "class"]:
        """What the unembedding adds to the logits."""

    @property
    def neuron_weights(self) -> Float[Tensor, "feature neuron"]:
        """The weights that the neurons of the last hidden layer read with."""
        raise NotDefined("neuron_weights", self.lacks("the weights that the neurons read with"))

    @property
    def n_neurons(self) -> int:
        """Neurons of the last hidden layer; 0 where they are unknown."""
        return len(self.W_L)

    @property
    @abstractmethod
    def kept_per_example(self) -> int:
        """Numbers that the backward pass keeps of every example, at least."""

    @property
    def examples_at_once(self) -> int:
        """Examples of a plain forward pass: all positions of all would not stay in the processor's cache."""
        return 1024

    def require_forward(self) -> None:
        """Raise NotDefined where there are weights and no network."""
        return None

    def lacks(self, part: str) -> str:
        """Why there can be no measure of a part."""
        return f"the model {self.spec.kind} has no {part.removeprefix('a ').removeprefix('an ')}"

    @abstractmethod
    def initialize(self, generator: torch.Generator | None) -> None:
        """Draw the weights; zero without a generator."""

    @abstractmethod
    def forward(self, tokens: Int[Tensor, "batch position"]) -> Float[Tensor, "batch answer class"]:
        """Logits at every position that the model answers at."""

    def readout(self, inputs: ReadoutInputs) -> Readout:
        """Logits and last-layer activations of every example; the plain form whenever a hook is attached."""
        if any(point.has_hooks() for point in self.hook_points()):
            return self.readout_by_hooks(inputs.tokens)
        return self.readout_fast(inputs)

    @abstractmethod
    def readout_by_hooks(self, tokens: Int[Tensor, "example position"]) -> Readout:
        """``readout`` by the plain forward pass, activations caught by hooks."""

    def readout_fast(self, inputs: ReadoutInputs) -> Readout:
        """``readout`` in the form that computes least."""
        return self.readout_by_hooks(inputs.tokens)

    @property
    @abstractmethod
    def feature_hooks(self) -> tuple[str, ...]:
        """The hooks at which a representation of the question stands, in the order of the forward pass."""

    @property
    def embed_hook(self) -> str | None:
        """The hook of [batch, position, feature] that the tokens are turned into; None where it is unknown."""
        return "hook_embed"

    def is_linear_in_neurons(self, tokens: Int[Tensor, "example position"]) -> bool:
        """Whether the last hidden layer adds neurons · ``W_L`` to the logits, all else being equal.

        Args:
            tokens: examples to try it on, where it does not follow from how the model is built.
        """
        return False

    @property
    def pre_hook(self) -> str:
        """The hook of what the last hidden layer's activation function is applied to. Raises NotDefined without one."""
        raise NotDefined("pre-activations", self.lacks("the pre-activations"))

    @property
    def activation(self) -> Callable[[Tensor], Tensor]:
        """The last hidden layer's activation function. Raises NotDefined where it is unknown."""
        raise NotDefined("activation function", self.lacks("the last hidden layer's activation function"))

    @property
    def pattern_hooks(self) -> tuple[str, ...]:
        """The hooks of every layer's attention pattern; none without attention."""
        return ()

    def positions(self, n_ctx: int) -> int:
        """Positions that attention looks at, where sequences have ``n_ctx``."""
        return n_ctx

    @property
    def first_operand(self) -> int:
        """The position of the first operand in the sequences that the model attends over."""
        return 0

    def pattern_at_readout(
        self, pattern: Float[Tensor, "batch head query position"]
    ) -> Float[Tensor, "batch head position"]:
        """Attention from the position that the answer is read at."""
        return pattern[:, :, -1]

    def at_readout(self, x: Float[Tensor, "batch *position_and_feature"]) -> Float[Tensor, "batch feature"]:
        """An activation where the answer is read, as one vector per example; all of it in a model without positions."""
        return x.flatten(1)

    def catch(self, tokens: Int[Tensor, "example position"], *names: str) -> list[Tensor]:
        """The logits and the activations at some hooks, of one plain forward pass."""
        kept: dict[str, Tensor] = {}

        def keep(value: Tensor, *, hook: Any) -> None:
            kept[str(hook.name)] = value

        with self.hooks(fwd_hooks=[(name, keep) for name in names]):
            logits = self(tokens)
        return [logits, *(kept[name] for name in names)]

    def run_with_cache(  # type: ignore[override]
        self, *args: Any, remove_batch_dim: bool = False, **kwargs: Any
    ) -> tuple[Tensor, ActivationCache]:
        """As HookedRootModule's, with an ActivationCache: ``cache["pattern", 0]``."""
        logits, cache = super().run_with_cache(*args, remove_batch_dim=remove_batch_dim, **kwargs)
        return logits, ActivationCache(cache, self, has_batch_dim=not remove_batch_dim)


def in_program(model: Model, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Parameters by the names that ``functional_call`` knows them by in a program whose ``model`` this is.

    Raises:
        NotDefined: a recorded model without its module, of which there is nothing to call.
    """
    model.require_forward()
    return {f"model.{model.inside}{name}": value for name, value in tensors.items()}


class ReadoutProgram(nn.Module):
    """``readout`` of a model as a module, so that ``functional_call`` can swap parameters named ``model.…``."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: ReadoutInputs) -> Readout:
        return self.model.readout(inputs)
