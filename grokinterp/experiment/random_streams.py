"""Random numbers that depend only on a seed and their purpose, and not on earlier draws."""

import numpy as np

from grokinterp.lazy import torch

NOISE, EPOCH, POOL, DIFFICULTY, REGULARIZATION, FRESH = range(6)
"""Purposes of random numbers, which are the first element of a path."""


def stream(seed: int, *path: int) -> "torch.Generator":
    """Return an independent generator for every seed and path, such as (seed, EPOCH, 7).

    >>> [int(torch.randint(100, (1,), generator=stream(0, EPOCH, epoch))) for epoch in (0, 1, 0)]
    [39, 0, 39]
    """
    mixed = np.random.SeedSequence(seed, spawn_key=path).generate_state(1)
    return torch.Generator().manual_seed(int(mixed[0]))
