"""Common parts of planted runs."""

import numpy as np
import xarray as xr

KEYS = (3, 5)
LAST = 3000

Data = dict[str, tuple[tuple[str, ...], np.ndarray]]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def as_dataset(at: np.ndarray, variables: Data, coords: dict) -> xr.Dataset:
    arrays = {name: (("step", *dims), values) for name, (dims, values) in variables.items()}
    used = {dim for dims, _ in variables.values() for dim in dims}
    return xr.Dataset(arrays, {"step": at} | {dim: coords[dim] for dim in coords if dim in used})
