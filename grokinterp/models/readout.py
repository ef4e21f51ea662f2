"""The read-out of a model for every example, and examples prepared for a fast read-out."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Answers(NamedTuple):
    """The logits of some examples, with a leading run axis if there are several runs.

    Args:
        logits: the logits of every answer.
        supervised: the logits of every supervision step; None if there are only the answers.
    """

    logits: Float[Tensor, "*run example answer class"]
    supervised: Float[Tensor, "*run supervision example answer class"] | None

    def split(self, at_once: int) -> Iterator["Answers"]:
        """Yield parts of at most ``at_once`` examples, as views."""
        logits = self.logits.split(at_once, -3)
        supervised = [None] * len(logits) if self.supervised is None else self.supervised.split(at_once, -3)
        return map(Answers, logits, supervised)


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

    @property
    def answers(self) -> Answers:
        """The logits alone, as those of a single answer."""
        supervised = None if self.supervised is None else self.supervised.unsqueeze(-2)
        return Answers(self.logits.unsqueeze(-2), supervised)

    @classmethod
    def joined(cls, parts: Iterable["Readout"]) -> "Readout":
        """Join the read-outs of consecutive parts of the examples into one."""
        found = tuple(parts)
        if len(found) == 1:
            return found[0]
        columns, axes = [list(column) for column in zip(*found, strict=True)], (0, 0, 0, 0, 1)
        del found  # each column is freed as soon as it is joined
        return cls(*(joined(column, axis) for column, axis in zip(columns, axes, strict=True)))


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
        distinct, row = numbered(pair, d_vocab * tokens.shape[1])
        query_row, query = numbered(row[:, -1], len(distinct))
        return cls(tokens, distinct % d_vocab, distinct // d_vocab, row, query_row, query)

    @classmethod
    def sized(cls, examples: int, *, d_vocab: int, n_ctx: int, queries: int) -> "ReadoutInputs":
        """Return inputs of the given sizes with undefined content, for counting memory on the meta device.

        Args:
            examples: number of examples.
            d_vocab: number of tokens, each of which may occur at every position.
            n_ctx: number of positions.
            queries: number of tokens that may occur at the last position.
        """
        each = min(d_vocab, examples)
        rows, queries = (n_ctx - 1) * each + min(queries, each), min(queries, each)
        shapes = ((examples, n_ctx), (rows,), (rows,), (examples, n_ctx), (queries,), (examples,))
        return cls(*(torch.empty(shape, dtype=torch.int64) for shape in shapes))

    def at(self, examples: Any) -> "ReadoutInputs":
        """Return some of the examples, with the same tables of rows; ``examples`` indexes the leading axes."""
        chosen = (part[examples] for part in (self.tokens, self.row, self.query))
        tokens, row, query = chosen
        return self._replace(tokens=tokens, row=row, query=query)

    def split(self, at_once: int) -> Sequence["ReadoutInputs"]:
        """Return the examples in parts of at most ``at_once``, as views; tokens may have axes before the examples."""
        if self.query.shape[-1] <= at_once:
            return (self,)
        parts = self.tokens.split(at_once, -2), self.row.split(at_once, -2), self.query.split(at_once, -1)
        return [self._replace(tokens=tokens, row=row, query=query) for tokens, row, query in zip(*parts, strict=True)]

    def to(self, device: torch.device | str) -> "ReadoutInputs":
        """Return the examples on another device."""
        return ReadoutInputs(*(part.to(device) for part in self))


def numbered(values: Int[Tensor, "*shape"], most: int) -> tuple[Int[Tensor, "distinct"], Int[Tensor, "*shape"]]:
    """Return the distinct values, ascending, and the index of each value among them, without sorting.

    Args:
        values: integers from 0 to ``most`` - 1.
        most: the number of possible values.

    >>> numbered(torch.tensor([5, 2, 5]), 6)
    (tensor([2, 5]), tensor([1, 0, 1]))
    """
    occurs = torch.zeros(most, dtype=torch.bool, device=values.device)
    occurs[values.flatten()] = True
    return occurs.nonzero().flatten(), (occurs.cumsum(0) - 1)[values]


def joined(parts: list[Any], axis: int = 0) -> Any:
    """Join the parts of an array, or return None if they are None; the list is emptied, which frees the parts."""
    whole = None if parts[0] is None else torch.cat(parts, axis)
    parts.clear()
    return whole
