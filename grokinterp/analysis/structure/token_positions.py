"""The paths of the tokens' embeddings through training, along the principal components of the last embedding."""

import numpy as np
import xarray as xr

from grokinterp.errors import CheckpointError, RunDirectoryError, warn
from grokinterp.runs.trajectory import Trajectory

DIRECTIONS = 2
"""Number of principal components."""

MOST = 200
"""Largest number of checkpoints, evenly spaced."""


def token_positions(run: Trajectory) -> xr.Dataset:
    """Return the embedding of each token at each checkpoint along the principal components of the last embedding.

    With E_t the embedding of checkpoint t, centered over the tokens, the positions are E_t V, where V are the first
    right singular vectors of the last one. Share i is S_i² / Σ S² at the last checkpoint.

    Args:
        run: a run, or a part of it.

    Source: Power et al. 2022, §3 (embeddings); Liu et al. 2022 (their principal components).

    Raises:
        RunDirectoryError: no checkpoint can be read.
    """
    every = -(-len(run.steps) // MOST) or 1
    steps, tables = [], []
    for step in sorted({*run.steps[::every], *run.steps[-1:]}):
        try:
            table = run.model(step).embedding.detach().double().numpy()
        except CheckpointError as error:
            warn(f"left out: {error}", stacklevel=2)
            continue
        steps.append(step)
        tables.append(table - table.mean(0))
    if not steps:
        raise RunDirectoryError(run.path, "has no readable checkpoint")
    _, sizes, directions = np.linalg.svd(tables[-1], full_matrices=False)
    share = sizes**2 / max((sizes**2).sum(), np.finfo(float).tiny)
    positions = np.stack(tables) @ directions[:DIRECTIONS].T
    return xr.Dataset(
        {
            "token_position": (("step", "token", "direction"), positions),
            "position_share": ("direction", share[:DIRECTIONS]),
        },
        {"step": steps, "token": np.arange(positions.shape[1]), "direction": np.arange(1, positions.shape[2] + 1)},
    )
