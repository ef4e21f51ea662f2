"""Copies of tensors between the memory of the host and that of a device."""

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor


@final
class HostCopy:
    """A copy that later changes of the tensors do not affect, with one transfer per dtype.

    A transfer from CUDA goes to pinned memory, and the host does not wait for it until it reads the copy.

    Args:
        named: the tensors, all on the same device.
    """

    def __init__(self, named: Mapping[str, Tensor]) -> None:
        self.shapes = {name: tensor.shape for name, tensor in named.items()}
        self.names: dict[torch.dtype, list[str]] = {}
        for name, tensor in named.items():
            self.names.setdefault(tensor.dtype, []).append(name)
        self.flat = {dtype: transferred([named[name] for name in names]) for dtype, names in self.names.items()}
        self.arrival = torch.cuda.Event() if any(tensor.is_cuda for tensor in named.values()) else None
        if self.arrival is not None:
            self.arrival.record()

    @property
    def size(self) -> int:
        """The size in bytes."""
        return sum(flat.nbytes for flat in self.flat.values())

    def tensors(self) -> dict[str, Tensor]:
        """Return the copied tensors in their order, once they have arrived."""
        if self.arrival is not None:
            self.arrival.synchronize()
        found = {}
        for dtype, names in self.names.items():
            parts = self.flat[dtype].split([self.shapes[name].numel() for name in names])
            found |= {name: part.view(self.shapes[name]) for name, part in zip(names, parts, strict=True)}
        return {name: found[name] for name in self.shapes}


def transferred(tensors: list[Tensor]) -> Tensor:
    """Return a flat copy of tensors of the same dtype on the host; from CUDA, it may not have arrived yet."""
    flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
    if not flat.is_cuda:
        return flat
    return torch.empty(flat.shape, dtype=flat.dtype, pin_memory=True).copy_(flat, non_blocking=True)


def pinned(host: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the host that can be copied to a device without waiting for the device.

    The tensor must be contiguous. The allocator of pinned memory keeps the buffer until the copy has read it.
    """
    return host.pin_memory() if device.type == "cuda" else host
