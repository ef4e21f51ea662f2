"""The read-out of a model for every example, and examples prepared for a fast read-out."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Readout(NamedTuple):
    """Last-layer activations and logits at the read-out position, for every example.

    pattern: attention from the read-out position, or its mean over positions if they are pooled; None without
        attention. neurons: the last hidden layer after its activation function. residual: the vector from which the
        answer is computed, before a final LayerNorm. supervised: the logits of every supervision step, which are all
        trained; None if there is only the answer.
    """

    pattern: Float[Tensor, "example head position"] | None
    neurons: Float[Tensor, "example neuron"]
    residual: Float[Tensor, "example d_model"]
    logits: Float[Tensor, "example class"]
    supervised: Float[Tensor, "supervision example class"] | None = None


class ReadoutInputs(NamedTuple):
    """Examples with their distinct (token, position) pairs, the *rows*.

    ``row`` is the row of each position of each example; ``query_row`` lists the distinct rows of the last position, and
    ``query`` is the index of each example in this list.
    """

    tokens: Int[Tensor, "example position"]
    row_token: Int[Tensor, "row"]
    row_position: Int[Tensor, "row"]
    row: Int[Tensor, "example position"]
    query_row: Int[Tensor, "query"]
    query: Int[Tensor, "example"]

    @classmethod
    def of(cls, tokens: Int[Tensor, "example position"]) -> "ReadoutInputs":
        """List the distinct pairs, ordered by position, then token."""
        d_vocab = int(tokens.max()) + 1
        pair = tokens + d_vocab * torch.arange(tokens.shape[1], device=tokens.device)
        distinct, row = pair.unique(return_inverse=True)
        query_row, query = row[:, -1].unique(return_inverse=True)
        return cls(tokens, distinct % d_vocab, distinct // d_vocab, row, query_row, query)

    def at(self, examples: Int[Tensor, "chosen"]) -> "ReadoutInputs":
        """Return some of the examples, with the same tables of rows."""
        chosen = (part[examples] for part in (self.tokens, self.row, self.query))
        tokens, row, query = chosen
        return self._replace(tokens=tokens, row=row, query=query)

    def to(self, device: torch.device | str) -> "ReadoutInputs":
        """Return the examples on another device."""
        return ReadoutInputs(*(part.to(device) for part in self))
