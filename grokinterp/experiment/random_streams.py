"""Random numbers that follow from a seed and what they are for, and from nothing that was drawn before."""

import numpy as np

from grokinterp.lazy import torch

NOISE, EPOCH, POOL, DIFFICULTY = range(4)
"""What the numbers are for: the first part of a path."""


def stream(seed: int, *path: int) -> "torch.Generator":
    """A generator for every seed and path, such as (seed, EPOCH, 7), independent of those of all others.

    >>> [int(torch.randint(100, (1,), generator=stream(0, EPOCH, epoch))) for epoch in (0, 1, 0)]
    [39, 0, 39]
    """
    mixed = np.random.SeedSequence(seed, spawn_key=path).generate_state(1)
    return torch.Generator().manual_seed(int(mixed[0]))
