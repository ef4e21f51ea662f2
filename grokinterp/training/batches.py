"""Mini-batches: the endless stream of reshuffled epochs, cut into pieces of one size."""

from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from grokinterp.experiment.random_streams import EPOCH, POOL, stream


@final
class Batches:
    """A batch holds the next ``size`` places of the stream; where the epoch ends inside it, it spans two.

    The order of epoch e follows from (seed, e) alone, so that a batch depends on its place in the stream and on
    nothing else. Every epoch has every example once.

    Args:
        examples: how many there are.
        seed: draws the orders. device: where the batches are wanted.
    """

    def __init__(self, examples: int, *, seed: int, device: torch.device) -> None:
        self.examples, self.seed, self.device = examples, seed, device
        self._orders: dict[int, Int[Tensor, "example"]] = {}

    def at(self, place: int, size: int) -> Int[Tensor, "batch"]:
        """The examples at the places from ``place`` on, at most as many as there are."""
        epoch, start = divmod(place, self.examples)
        first = self.order(epoch)[start : start + size]
        missing = size - len(first)
        return torch.cat([first, self.order(epoch + 1)[:missing]]) if missing else first

    def among(self, pool: Int[Tensor, "pool"], step: int, size: int) -> Int[Tensor, "batch"]:
        """``size`` of some examples, or all of them where they are fewer, drawn for this step without replacement."""
        if size >= len(pool):
            return pool
        drawn = torch.randperm(len(pool), generator=stream(self.seed, POOL, step))[:size]
        return pool[drawn.to(pool.device)]

    def order(self, epoch: int) -> Int[Tensor, "example"]:
        """The order of one epoch; the last two are kept, each copied to the device once."""
        if epoch not in self._orders:
            order = torch.randperm(self.examples, generator=stream(self.seed, EPOCH, epoch))
            if self.device.type == "cuda":
                order = order.pin_memory()  # only then does the copy not wait for the device
            order = order.to(self.device, non_blocking=True)
            self._orders = {kept: self._orders[kept] for kept in (epoch - 1,) if kept in self._orders} | {epoch: order}
        return self._orders[epoch]
