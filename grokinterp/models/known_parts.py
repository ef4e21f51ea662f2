"""The parts of a module that its user has named: embedding, unembedding, neurons, attention, and input encoding."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Int

from grokinterp.lazy import Tensor, torch
from grokinterp.models.recorded_inputs import RecordedInputs


@dataclass(frozen=True, kw_only=True)
class Table:
    """A matrix with a row per token (or class, or neuron), and how a module stores it.

    ``names``: its tensors, one per operand if the operands have separate tables. ``transposed``: whether the tensors
    store rows as columns. ``tables``: number of tables in one tensor, along a separate first axis or concatenated.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    names: tuple[str, ...]
    transposed: bool = False
    tables: int = 1

    @property
    def n_tables(self) -> int:
        return len(self.names) * self.tables

    def of(self, tensors: Mapping[str, Tensor]) -> Float[Tensor, "token feature"]:
        """Return the matrix, with several tables side by side."""
        found: list[Tensor] = []
        for name in self.names:
            weight = tensors[name].mT if self.transposed else tensors[name]
            if self.tables > 1:
                found += list(weight if weight.ndim == 3 else weight.unflatten(0, (self.tables, -1)))
            else:
                found.append(weight)
        return torch.cat(found, 1) if len(found) > 1 else found[0]

    def put(self, table: Float[Tensor, "token feature"], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors that store another matrix of this layout, the inverse of ``of``."""
        each = table.chunk(self.n_tables, 1)
        found = {}
        for i, name in enumerate(self.names):
            own = each[i * self.tables : (i + 1) * self.tables]
            if self.tables == 1:
                weight = own[0]
            else:
                weight = torch.stack(own) if tensors[name].ndim == 3 else torch.cat(own)
            found[name] = weight.mT if self.transposed else weight
        return found


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """The encoding of the tokens of a task in the inputs of a module.

    ``columns``: input and column of each of the ``n_tokens`` tokens; ``one_hot``: alternatively, the input that holds
    a one-hot vector of length ``width`` for each token. All other inputs are the same in every example.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    n_tokens: int
    columns: tuple[tuple[str, int], ...] = ()
    one_hot: str | None = None
    width: int = 0

    def inputs(self, template: RecordedInputs, tokens: Int[Tensor, "example position"]) -> RecordedInputs:
        """Return the inputs of token sequences, which may have new tokens, based on the inputs of the first example."""
        tokens = tokens.cpu()
        found = {
            name: value[:1].expand(len(tokens), *value.shape[1:]).clone() for name, value in template.tensors.items()
        }
        if self.one_hot is not None:
            like = found[self.one_hot]
            vectors = torch.nn.functional.one_hot(tokens, max(self.width, int(tokens.max()) + 1)).to(like.dtype)
            found[self.one_hot] = vectors if like.ndim == 3 else vectors.flatten(1)
        for place, (name, column) in enumerate(self.columns):
            target = found[name] if found[name].ndim > 1 else found[name].unsqueeze(1)
            target[:, column] = tokens[:, place].to(target.dtype)
        return RecordedInputs(found, template.layout)

    @property
    def first_operand(self) -> int:
        """The position of the first token in the sequence."""
        return self.columns[0][1] if self.columns else 0


@dataclass(frozen=True, kw_only=True)
class KnownParts:
    """The parts of a module that were named to its recorder.

    ``embedding``: table with a row per token, and ``embed_hook``, the hook of the embedded tokens; ``unembedding``:
    table with a row per class, and its ``bias``; ``neurons``: hook of the last hidden layer; ``pre_activations``: hook
    of the input of its activation function; ``neuron_output``: output weights of the neurons to the input of the
    unembedding, a row per neuron; ``attention``: hook of the pattern of each layer.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    embedding: Table | None = None
    embed_hook: str | None = None
    unembedding: Table | None = None
    bias: str | None = None
    neurons: str | None = None
    pre_activations: str | None = None
    neuron_output: Table | None = None
    attention: tuple[str, ...] = ()

    @property
    def hooks(self) -> tuple[str, ...]:
        """The hooks of the named parts."""
        single = (self.neurons, self.pre_activations, self.embed_hook)
        return (*(name for name in single if name is not None), *self.attention)

    @property
    def tensors(self) -> tuple[str, ...]:
        """The tensors of the named parts."""
        tables = (self.embedding, self.unembedding, self.neuron_output)
        named = [name for table in tables if table is not None for name in table.names]
        return (*named, *([] if self.bias is None else [self.bias]))
