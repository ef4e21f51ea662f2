"""Mini-batches: an endless stream of reshuffled epochs, cut into batches of equal size."""

from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from grokinterp.experiment.random_streams import EPOCH, POOL, stream
from grokinterp.training.host_copy import pinned


@final
class Batches:
    """A batch holds the next ``size`` positions of the stream; a batch may span two epochs.

    The order of epoch e depends only on (seed, e), so that a batch depends only on its position in the stream. Every
    epoch contains every example once.

    Args:
        examples: number of examples.
        seed: seed of the orders. device: device of the batches.
    """

    def __init__(self, examples: int, *, seed: int, device: torch.device) -> None:
        self.examples, self.seed, self.device = examples, seed, device
        self._orders: dict[int, Int[Tensor, "example"]] = {}

    def at(self, place: int, size: int) -> Int[Tensor, "batch"]:
        """Return the examples at the positions from ``place`` on, at most as many as there are."""
        epoch, start = divmod(place, self.examples)
        first = self.order(epoch)[start : start + size]
        missing = size - len(first)
        return torch.cat([first, self.order(epoch + 1)[:missing]]) if missing else first

    def among(self, pool: Int[Tensor, "pool"], step: int, size: int) -> Int[Tensor, "batch"]:
        """Draw ``size`` of the given examples for this step without replacement, or return all if there are fewer."""
        if size >= len(pool):
            return pool
        drawn = torch.randperm(len(pool), generator=stream(self.seed, POOL, step))[:size]
        return pool[pinned(drawn, pool.device).to(pool.device, non_blocking=True)]

    def order(self, epoch: int) -> Int[Tensor, "example"]:
        """Return the order of an epoch; the last two are cached, each copied to the device once."""
        if epoch not in self._orders:
            order = torch.randperm(self.examples, generator=stream(self.seed, EPOCH, epoch))
            kept = {epoch - 1: self._orders[epoch - 1]} if epoch - 1 in self._orders else {}
            self._orders = kept | {epoch: pinned(order, self.device).to(self.device, non_blocking=True)}
        return self._orders[epoch]
