"""The path of the weights through training: their positions along the principal components of all checkpoints."""

from collections.abc import Iterator

import numpy as np
import torch
import xarray as xr

from grokinterp.errors import CheckpointError, RunDirectoryError
from grokinterp.runs.trajectory import Trajectory

DIRECTIONS = 3
"""Number of principal components."""

MOST = 200
"""Largest number of checkpoints, evenly spaced."""

BYTES = 2**29
"""Weights of all checkpoints that are in memory at a time."""


def weight_positions(run: Trajectory) -> xr.Dataset:
    """Return the weights of each checkpoint along the principal components of the weights of all checkpoints.

    With θ_t the weights of checkpoint t as one vector and θ̄ their mean over the checkpoints, the positions are the
    columns of U S of the singular value decomposition of θ_t - θ̄, from the Gram matrix of all checkpoints. Share i is
    S_i² / Σ S². The signs are such that the last position is not negative.

    Args:
        run: a run, or a part of it.

    Source: docs/formulas.md, Geometry.

    Raises:
        RunDirectoryError: fewer than two checkpoints can be read.
    """
    steps = readable(run)
    gram = np.zeros((len(steps), len(steps)))
    for matrix in stacked(run, steps):
        centered = matrix - matrix.mean(0)
        gram += centered @ centered.T
    values, vectors = np.linalg.eigh(gram)
    values, vectors = values[::-1].clip(min=0)[:DIRECTIONS], vectors[:, ::-1][:, :DIRECTIONS]
    positions = vectors * np.sqrt(values) * np.where(vectors[-1] < 0, -1, 1)
    total = max(np.trace(gram), np.finfo(float).tiny)
    return xr.Dataset(
        {"weight_position": (("step", "direction"), positions), "position_share": ("direction", values / total)},
        {"step": steps, "direction": np.arange(1, len(values) + 1)},
    )


def readable(run: Trajectory) -> list[int]:
    """Return evenly spaced steps whose checkpoints can be read.

    Raises:
        RunDirectoryError: there are fewer than two.
    """
    every = -(-len(run.steps) // MOST) or 1
    chosen = sorted({*run.steps[::every], *run.steps[-1:]})
    steps = [step for step, weights in run.each_weights(chosen) if not isinstance(weights, CheckpointError)]
    if len(steps) < 2:
        raise RunDirectoryError(run.path, f"has {len(steps)} readable checkpoint{'s' * (len(steps) != 1)}, not two")
    return steps


def stacked(run: Trajectory, steps: list[int]) -> Iterator[np.ndarray]:
    """Yield the weights of all checkpoints [step, weight], some parameters at a time, so that they fit into memory."""
    template = run.empty_model()
    names = [name for name, _ in template.named_parameters()]
    sizes = [weight.numel() for weight in template.parameters()]
    while names:
        count = max(1, int(np.searchsorted(np.cumsum(sizes), BYTES / 8 / len(steps), side="right")))
        some, names, sizes = names[:count], names[count:], sizes[count:]
        found = run.params(some, steps=steps)
        yield torch.cat([found[name].flatten(1).double() for name in some], dim=1).numpy()
