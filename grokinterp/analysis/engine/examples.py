"""The subset of examples that a costly analysis uses, the same at every checkpoint."""

import torch
from jaxtyping import Int
from torch import Tensor

BATCH = 1024  # examples at a time, so that intermediate results stay in the processor's cache


def drawn_examples(n: int, most: int, *, seed: int = 0) -> Int[Tensor, "chosen"]:
    """Return the indices of at most ``most`` of n examples, drawn from the seed, in ascending order.

    >>> drawn_examples(3, 5)
    tensor([0, 1, 2])
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(n, generator=generator)[:most].sort().values
