"""Gradient filters of several runs at once, with their memory."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import vmap

from grokinterp.optim import GradientFilter, GrokfastDual
from grokinterp.optim.filter import Memory
from grokinterp.optim.joined import joined
from grokinterp.training.flat_optimizers import column
from grokinterp.training.flat_weights import FlatWeights, joined_row
from grokinterp.training.ring import Ring, RingMA, in_place


@final
class FlatFilters:
    """The filters of every run, in order, applied to gradients [run, weight].

    Elementwise filters see all weights of all runs as one tensor; other filters see each parameter, by ``vmap`` over
    the runs.

    Args:
        given: the filters of every run, of the same kinds.
        weights: the weights of the runs.
    """

    def __init__(self, given: Sequence[Sequence[GradientFilter]], weights: FlatWeights) -> None:
        self.given, self.weights = [[in_place(one) for one in filters] for filters in given], weights
        self.factors = [1.0] * len(given)
        self.memory: list[Memory] = [None] * len(given[0])
        self.filters = self.boosted()

    def boosted(self) -> list[GradientFilter]:
        """Return the filters with each run's λ multiplied by its factor."""
        runs = [
            [one.boosted(factor) for one in filters] for filters, factor in zip(self.given, self.factors, strict=True)
        ]
        return [joined(of, lambda values: column(values, self.weights.values)) for of in zip(*runs, strict=True)]

    def boost(self, run: int, factor: float) -> None:
        """Multiply every λ of a run by ``factor`` from now on."""
        self.factors[run] *= factor
        self.filters = self.boosted()

    def keep(self, places: Sequence[int], weights: FlatWeights) -> None:
        """Keep the filters of some of the runs, whose weights are now in another buffer."""
        self.given, self.factors = [self.given[i] for i in places], [self.factors[i] for i in places]
        self.weights, rows = weights, torch.tensor(places, device=weights.values.device)
        self.memory = [rows_of(memory, rows) for memory in self.memory]
        self.filters = self.boosted()

    def gain(self, run: int) -> float:
        """Return the factor by which all filters together multiply a constant gradient of a run."""
        gain = 1.0
        for filter in self.given[run]:
            gain *= filter.boosted(self.factors[run]).gain
        return gain

    def __call__(self, gradients: Float[Tensor, "run weight"]) -> Float[Tensor, "run weight"]:
        """Return the filtered gradients of this step."""
        for i, filter in enumerate(self.filters):
            if filter.is_elementwise:
                gradients, self.memory[i] = filter(gradients, self.weights.values, self.memory[i])
            else:
                gradients = self.by_parameter(filter, gradients)
        return gradients

    def by_parameter(
        self, filter: GradientFilter, gradients: Float[Tensor, "run weight"]
    ) -> Float[Tensor, "run weight"]:
        """Apply a filter without memory to each parameter of each run."""
        both = zip(self.weights.split(gradients), self.weights.split(self.weights.values), strict=True)
        found = [vmap(lambda one, weight: filter(one, weight)[0])(one, weight) for one, weight in both]
        return torch.cat([one.flatten(1) for one in found], dim=1)

    def saved(self, run: int, order: Sequence[int]) -> dict[int, list[Memory]]:
        """Return the memory of a run by parameter, as ``Filtering`` saves it.

        Args:
            run: the position of the run.
            order: the positions of the parameters in the order of the optimizer.
        """
        if all(memory is None for memory in self.memory):
            return {}
        rows = [apply(plain(memory), lambda rows: self.weights.split(rows[run])) for memory in self.memory]
        return {
            i: [apply(memory, lambda views, place=place: views[place].clone()) for memory in rows]
            for i, place in enumerate(order)
        }

    def load(self, run: int, factor: float, saved: Mapping[int, list[Memory]], order: Sequence[int]) -> None:
        """Restore the factor and the memory of a run; all runs have seen equally many gradients."""
        self.factors[run] = factor
        self.filters = self.boosted()
        if not saved:
            return
        by_place = {place: saved[i] for i, place in enumerate(order)}
        for i, filter in enumerate(self.filters):
            row = together([by_place[place][i] for place in self.weights.places], joined_row)
            self.memory[i] = self.with_row(filter, self.memory[i], row, run)

    def with_row(self, filter: GradientFilter, memory: Memory, row: Memory, run: int) -> Memory:
        """Return the memory of a filter, created if it is None, with the row of one run."""
        if isinstance(filter, RingMA):
            memory = memory or Ring(filter.window, self.weights.values)
            memory.load(run, row)
        elif isinstance(filter, GrokfastDual):
            parts = zip((filter.ema, filter.ma), memory or (None, None), row, strict=True)
            return tuple(self.with_row(of, part, own, run) for of, part, own in parts)
        elif row is not None:
            memory = torch.zeros_like(self.weights.values) if memory is None else memory
            memory[run] = row
        return memory


def plain(memory: Memory) -> Memory:
    """Return a memory as the filters of a single run have it."""
    if isinstance(memory, Ring):
        return memory.memory
    return tuple(map(plain, memory)) if isinstance(memory, tuple) else memory


def rows_of(memory: Memory, rows: Int[Tensor, "kept"]) -> Memory:
    """Return the memory of some of the runs."""
    if isinstance(memory, Ring):
        memory.keep(rows)
        return memory
    if isinstance(memory, tuple):
        return tuple(rows_of(part, rows) for part in memory)
    return None if memory is None else memory[rows]


def apply(memory: Memory, change: Callable[[Any], Any]) -> Memory:
    """Return a memory with each of its tensors changed."""
    if isinstance(memory, tuple):
        return tuple(apply(part, change) for part in memory)
    return None if memory is None else change(memory)


def together(memories: Sequence[Memory], join: Callable[[list[Tensor]], Tensor]) -> Memory:
    """Return memories of the same structure as one, with their tensors joined."""
    first = memories[0]
    if isinstance(first, list | tuple):
        return tuple(together(parts, join) for parts in zip(*memories, strict=True))
    return None if first is None else join(list(memories))
