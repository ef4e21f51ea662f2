"""Mini-batches: the endless stream of reshuffled epochs, cut into pieces of one size."""

from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from grokinterp.experiment.streams import EPOCH, stream


@final
class Batches:
    """Batch t holds places t·size to (t + 1)·size - 1 of the stream; where size does not divide, it spans two epochs.

    The order of epoch e follows from (seed, e) alone, so that a batch depends on nothing that came
    before it, and a resumed run needs only its step. Every epoch has every example once.

    Args:
        examples: how many there are. size: how many a batch has, at most as many.
        seed: draws the orders. device: where the batches are wanted.
    """

    def __init__(self, examples: int, size: int, *, seed: int, device: torch.device) -> None:
        self.examples, self.size, self.seed, self.device = examples, size, seed, device
        self._orders: dict[int, Int[Tensor, "example"]] = {}

    def at(self, step: int) -> Int[Tensor, "batch"]:
        """The examples of batch ``step``."""
        epoch, start = divmod(step * self.size, self.examples)
        first = self.order(epoch)[start : start + self.size]
        missing = self.size - len(first)
        return torch.cat([first, self.order(epoch + 1)[:missing]]) if missing else first

    def order(self, epoch: int) -> Int[Tensor, "example"]:
        """The order of one epoch; the last two are kept, each copied to the device once."""
        if epoch not in self._orders:
            order = torch.randperm(self.examples, generator=stream(self.seed, EPOCH, epoch))
            if self.device.type == "cuda":
                order = order.pin_memory()  # only then does the copy not wait for the device
            order = order.to(self.device, non_blocking=True)
            self._orders = {kept: self._orders[kept] for kept in (epoch - 1,) if kept in self._orders} | {epoch: order}
        return self._orders[epoch]
