"""The parent of all models: a HookedRootModule that answers token sequences and states what its parts are."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.errors import NotDefined
from grokinterp.maths.matrix_norms import Ruler
from grokinterp.models.hooked import ActivationCache, HookedRootModule
from grokinterp.models.parts import part_of
from grokinterp.models.readout import Answers, Readout, ReadoutInputs
from grokinterp.models.sites import HeadTail, NeuronTail, PatchSite
from grokinterp.models.training_mode import batch_norms, dropouts

MOST_VALUES = 2**26
"""Largest number of values in a read-out without gradients: 256 MiB in single precision."""

FEWEST = 1024
"""Smallest number of examples in a read-out without gradients."""


class Model(HookedRootModule, ABC):
    """A network that answers token sequences; parameters and hooks have their TransformerLens names.

    ``model(tokens)`` gives one logit per class at every position that the model answers at. The answers are the last
    ``n_answers`` of them; a read-out is that of the last, ``model(tokens)[:, -1]``. This plain form is the oracle of
    ``readout``, which may compute the same values faster. The read-out of another answer is that of the sequence up to
    its position (``Problem.at_answer``), because several answers need causal attention.
    Analyses ask a model for its properties and never for its class; the defaults here say NotDefined.
    """

    spec: Any

    inside: ClassVar[str] = ""
    """The prefix of parameter names in the module's own tree."""

    n_answers: int = 1
    """Number of answers per sequence, which are read at its last positions."""

    vectorizes: ClassVar[bool] = True
    """Whether the model runs under ``torch.func.vmap``."""

    @property
    @abstractmethod
    def n_layers(self) -> int:
        """Number of hidden layers."""

    @property
    def n_heads(self) -> int:
        """Number of attention heads per layer; 0 without attention."""
        return 0

    @property
    @abstractmethod
    def embedding(self) -> Float[Tensor, "token feature"]:
        """The vector of every token; where each position has its own table, the tables are side by side."""

    @property
    def n_tables(self) -> int:
        """Number of tables side by side in ``embedding``: 1 that all positions share, or one per position."""
        return 1

    def embedded_by(self, table: Float[Tensor, "token feature"]) -> dict[str, Tensor]:
        """Return the parameters that embed tokens by another table of the layout of ``embedding``.

        A table that all positions share may have more rows than ``embedding``, for additional tokens.
        """
        raise NotDefined("embedding", self.lacks("an embedding that can be replaced"))

    @property
    def embeds_one_hot(self) -> bool:
        """Whether tokens are one-hot vectors, so that ``embedding`` is a table of first-layer weights."""
        return False

    @property
    def adds_operands(self) -> bool | None:
        """Whether tokens are first combined in a sum: the first nonlinearity of several tokens reads Σ_i f_i(token_i).

        Such a network does not multiply operands before this nonlinearity, for any weights. None: unknown.
        """
        return False

    @property
    @abstractmethod
    def W_U(self) -> Float[Tensor, "d_model class"]:
        """The map from ``Readout.residual`` to the logits."""

    @property
    @abstractmethod
    def W_L(self) -> Float[Tensor, "neuron class"]:
        """The map from the last hidden layer to the logits, without the final LayerNorm."""

    @property
    @abstractmethod
    def b_U(self) -> Float[Tensor, "class"]:
        """The bias of the unembedding."""

    @property
    def neuron_weights(self) -> Float[Tensor, "feature neuron"]:
        """The input weights of the neurons of the last hidden layer."""
        raise NotDefined("neuron_weights", self.lacks("the input weights of the neurons"))

    @property
    def n_neurons(self) -> int:
        """Number of neurons of the last hidden layer; 0 where they are unknown."""
        return len(self.W_L)

    # the weights, as used by analyses

    def part_of(self, tensor: str) -> str:
        """Return the part of the model that a parameter or buffer belongs to."""
        return part_of(tensor)

    def rate_factor(self, parameter: str, *, adaptive: bool) -> float:
        """Return the factor by which the parametrization multiplies the learning rate of a parameter.

        Args:
            parameter: the name of the parameter.
            adaptive: whether the optimizer is Adam or AdamW, and not SGD.
        """
        return 1.0

    @property
    def differs_in_training(self) -> bool:
        """Whether the network of training has dropout or BatchNorm, and so is not the network of evaluation."""
        return bool(batch_norms(self)) or self.draws_in_training

    @property
    def draws_in_training(self) -> bool:
        """Whether the network of training draws random numbers, for dropout."""
        return any(True for _ in dropouts(self))

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """The names of the parameters in each part of the model; every parameter is in exactly one part.

        Parts without trained parameters (tied embeddings, fixed positions, one-hot vectors) are omitted.
        """
        found: dict[str, list[str]] = {}
        for name, _ in self.named_parameters():
            found.setdefault(self.part_of(name), []).append(name)
        return {part: tuple(names) for part, names in found.items()}

    @property
    def dense_matrices(self) -> dict[str, Float[Tensor, "_ _"]]:
        """The embedding, the unembedding, the neuron-to-logit map, and the matrices between them, by name."""
        outside = ("embed.", "unembed.")
        between = {name: w for name, w in self.named_parameters() if w.ndim == 2 and not name.startswith(outside)}
        return {"W_E": self.embedding, "W_U": self.W_U} | between | {"W_L": self.W_L}

    @property
    def head_circuits(self) -> dict[str, tuple[Float[Tensor, "head d_model _"], Float[Tensor, "head d_model _"]]]:
        """The circuits of the last layer's heads by name, each as matrices A, B of every head with circuit A Bᵀ."""
        return {}

    @property
    def head_values(
        self,
    ) -> tuple[Float[Tensor, "layer head d_model d_head"], Float[Tensor, "layer head d_head d_model"]] | None:
        """The matrices W_V and W_O of every head of every layer; None where they are unknown."""
        return None

    @property
    def weight_chain(self) -> list[Float[Tensor, "_ _"]]:
        """The matrices [in, out] that are applied to an input, from its one-hot vectors to the logits."""
        raise NotDefined("norm bounds", self.lacks("the layers"))

    @property
    def chain_biases(self) -> list[Float[Tensor, "_"]] | None:
        """The biases of the last matrices of ``weight_chain`` in a feed-forward network.

        None in other networks, and for an activation function for which weights do not multiply along paths.
        """
        return None

    def logit_bound(self, ruler: Ruler) -> Float[Tensor, "*"]:
        """Return an upper bound on the absolute logits for any sequence of tokens."""
        raise NotDefined("norm bounds", self.lacks("the layers"))

    @property
    def has_true_gradient(self) -> bool:
        """Whether backpropagation computes the gradient of the loss, that is, does not stop inside the model."""
        return True

    @property
    def position_tables(self) -> tuple[Float[Tensor, "token feature"], ...]:
        """The vectors that the network reads for each token at each position, or one table for all positions.

        These are the embeddings; in an MLP, their products with the first layer's weights.
        """
        return self.embedding.chunk(self.n_tables, dim=1)

    @property
    def operand_tables(self) -> tuple[Float[Tensor, "token feature"], Float[Tensor, "token feature"]]:
        """The vectors that the network reads for each token as the first and as the last operand."""
        tables = self.position_tables
        return tables[0], tables[-1]

    @property
    def neurons_add_operands(self) -> bool:
        """Whether a neuron of the last hidden layer reads the sum of the rows of the ``operand_tables``."""
        return False

    # the branches of the computation

    @property
    def components(self) -> tuple[str, ...]:
        """The terms whose sum is the logits; empty without a residual stream."""
        return ()

    def logit_components(
        self, tokens: Int[Tensor, "example position"], classes: Int[Tensor, "example"]
    ) -> Float[Tensor, "component example"]:
        """Return the contribution of each component to the logit of the example's class minus the mean logit."""
        raise NotDefined("logit attribution", self.lacks("a residual stream"))

    @property
    def patch_sites(self) -> dict[str, PatchSite]:
        """The branches of the computation by name, in the order of the forward pass; empty if they are unknown.

        A network without parallel branches has only its embedding, because every later layer carries all information.
        """
        return {"hook_embed": PatchSite("hook_embed")}

    def head_tail(self, layer: int, tokens: Int[Tensor, "example position"]) -> HeadTail:
        """Return a layer's heads and the network after them."""
        raise NotDefined("head ablation", self.lacks("the outputs of the heads"))

    def neuron_tail(self, tokens: Int[Tensor, "example position"]) -> NeuronTail:
        """Return the last hidden layer's neurons and the network after them.

        Raises:
            NotDefined: the logits are not linear in the neurons, and the rest of the network is unknown.
        """
        if not self.is_linear_in_neurons(tokens):
            raise NotDefined("neuron ablation", "the logits are not linear in the neurons")
        readout = self.readout_by_hooks(tokens)
        neurons, logits = readout.neurons.unsqueeze(1), readout.logits.unsqueeze(1)
        return NeuronTail(neurons, logits, self.W_L, lambda stream: stream[..., 0, :])

    # the forward pass

    @property
    @abstractmethod
    def kept_per_example(self) -> int:
        """The approximate number of values that the backward pass keeps per example."""

    @property
    def examples_at_once(self) -> int:
        """Number of examples per plain forward pass, few enough for the processor's cache."""
        return 1024

    @property
    def evaluated_at_once(self) -> int:
        """The number of examples per read-out without gradients, few enough to fit into memory."""
        return max(FEWEST, MOST_VALUES // max(1, self.kept_per_example))

    def caught_at_once(self, positions: int) -> int:
        """Return the number of examples per plain forward pass without gradients, few enough to fit into memory."""
        return max(FEWEST, 2 * MOST_VALUES // max(1, self.kept_per_example * positions))

    def readout_of_many(self, inputs: ReadoutInputs, *, by_tables: bool = True) -> Readout:
        """Return the ``readout`` of any number of examples, computed in parts that fit into memory.

        Args:
            inputs: the examples.
            by_tables: allow forms without gradients that do not run under ``torch.func``.
        """
        return Readout.joined(self.readout(some) for some in inputs.split(self.evaluated_at_once))

    def require_forward(self) -> None:
        """Raise NotDefined if only the weights are known and not the network."""
        return None

    def lacks(self, part: str) -> str:
        """Return why a measure of a part is not defined."""
        return f"the model {self.spec.kind} has no {part.removeprefix('a ').removeprefix('an ')}"

    @abstractmethod
    def initialize(self, generator: torch.Generator | None) -> None:
        """Draw the weights; without a generator they become zero."""

    @abstractmethod
    def forward(self, tokens: Int[Tensor, "batch position"]) -> Float[Tensor, "batch answer class"]:
        """Return the logits at every position that the model answers at."""

    def readout(self, inputs: ReadoutInputs) -> Readout:
        """Return logits and last-layer activations of every example; by the plain form if a hook is attached."""
        return self.readout_fast(inputs) if self.is_plain else self.readout_by_hooks(inputs.tokens)

    @property
    def is_plain(self) -> bool:
        """Whether no hook is attached, and the network is that of evaluation, which the fast forms compute."""
        return not self.training and not any(point.has_hooks() for point in self.hook_points())

    @abstractmethod
    def readout_by_hooks(self, tokens: Int[Tensor, "example position"]) -> Readout:
        """Return the ``readout`` of the plain forward pass, with activations caught by hooks."""

    def readout_fast(self, inputs: ReadoutInputs) -> Readout:
        """Return the ``readout`` with the least computation."""
        return self.readout_by_hooks(inputs.tokens)

    def answers(self, inputs: ReadoutInputs) -> Answers:
        """Return the logits of every example for training, where they are differentiated once and not by torch.func.

        ``functional_answers`` has no such limits.
        """
        return self.answers_fast(inputs) if self.is_plain else self.functional_answers(inputs)

    def answers_fast(self, inputs: ReadoutInputs) -> Answers:
        """Return the ``answers`` with the least computation."""
        return self.functional_answers(inputs)

    def functional_answers(self, inputs: ReadoutInputs) -> Answers:
        """Return the logits of every example, for any number of derivatives and for torch.func."""
        if self.n_answers == 1:
            return self.readout(inputs).answers
        return Answers(self(inputs.tokens)[:, -self.n_answers :], None)

    @property
    @abstractmethod
    def feature_hooks(self) -> tuple[str, ...]:
        """The hooks with a representation of the question, in the order of the forward pass."""

    @property
    def embed_hook(self) -> str | None:
        """The hook of the embedded tokens [batch, position, feature]; None where it is unknown."""
        return "hook_embed"

    def is_linear_in_neurons(self, tokens: Int[Tensor, "example position"]) -> bool:
        """Return whether the last hidden layer adds neurons · ``W_L`` to the logits and affects nothing else.

        Args:
            tokens: examples on which it is tested, where it does not follow from the architecture.
        """
        return False

    @property
    def pre_hook(self) -> str:
        """The hook of the last hidden layer's pre-activations. Raises NotDefined without one."""
        raise NotDefined("pre-activations", self.lacks("the pre-activations"))

    @property
    def activation(self) -> Callable[[Tensor], Tensor]:
        """The last hidden layer's activation function. Raises NotDefined where it is unknown."""
        raise NotDefined("activation function", self.lacks("the last hidden layer's activation function"))

    @property
    def pattern_hooks(self) -> tuple[str, ...]:
        """The hooks of every layer's attention pattern; empty without attention."""
        return ()

    def positions(self, n_ctx: int) -> int:
        """Return the number of positions that attention sees in sequences of length ``n_ctx``."""
        return n_ctx

    @property
    def first_operand(self) -> int:
        """The position of the first operand in the sequences that attention sees."""
        return 0

    def pattern_at_readout(
        self, pattern: Float[Tensor, "batch head query position"]
    ) -> Float[Tensor, "batch head position"]:
        """Return the attention from the position that the answer is read at."""
        return pattern[:, :, -1]

    def at_readout(self, x: Float[Tensor, "batch *position_and_feature"]) -> Float[Tensor, "batch feature"]:
        """Return an activation where the answer is read, one vector per example; all of it without positions."""
        return x.flatten(1)

    def catch(self, tokens: Int[Tensor, "example position"], *names: str) -> list[Tensor]:
        """Return the logits and the activations at some hooks of one plain forward pass."""
        kept: dict[str, Tensor] = {}

        def keep(value: Tensor, *, hook: Any) -> None:
            kept[str(hook.name)] = value

        with self.hooks(fwd_hooks=[(name, keep) for name in names]):
            logits = self(tokens)
        return [logits, *(kept[name] for name in names)]

    def run_with_cache(  # type: ignore[override]
        self, *args: Any, remove_batch_dim: bool = False, **kwargs: Any
    ) -> tuple[Tensor, ActivationCache]:
        """Return the logits and an ActivationCache, which understands ``cache["pattern", 0]``."""
        logits, cache = super().run_with_cache(*args, remove_batch_dim=remove_batch_dim, **kwargs)
        return logits, ActivationCache(cache, self, has_batch_dim=not remove_batch_dim)
