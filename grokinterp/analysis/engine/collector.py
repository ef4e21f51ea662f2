"""Results of one analysis over the steps of a run, collected into a labeled dataset."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from grokinterp.analysis.engine.coordinates import Setting, coordinates
from grokinterp.analysis.engine.labeled import Analysis, Result, dimensions, field_labels, require_sizes


class Collector:
    """Collect the results of an analysis, step by step, in arrays that are allocated once.

    Many small arrays that outlive the large arrays allocated between them would fragment the memory.

    Args:
        analysis: the analysis.
        setting: the inputs of its coordinates.
        size: the largest number of steps.
        single: store float64 in single precision.
    """

    def __init__(self, analysis: Analysis, setting: Setting, size: int, *, single: bool = False) -> None:
        self.analysis, self.setting, self.size, self.single = analysis, setting, size, single
        self.kind: type = tuple
        self.steps: list[int] = []
        self.axes: dict[str, Sequence[Any]] = {}
        self.columns: dict[str, np.ndarray] = {}

    def add(self, step: int, result: Result) -> None:
        """Copy the fields of the result of another step.

        Raises:
            ConfigError: the axes of the result do not have the sizes of their coordinates.
        """
        if not self.steps:
            self.kind, self.axes = type(result), coordinates(self.analysis, self.setting)
            require_sizes(self.analysis, result, self.axes)
            for name, value in result._asdict().items():
                dtype = np.float32 if self.single and value.dtype == np.float64 else value.dtype
                self.columns[name] = np.empty((self.size, *value.shape), dtype)
        for name, column in self.columns.items():
            column[len(self.steps)] = getattr(result, name)
        self.steps.append(step)

    def dataset(self) -> xr.Dataset:
        """Return the steps so far (at least one), with dimensions from the annotations of the fields."""
        labels, dims_of = field_labels(self.kind), dimensions(self.kind)
        variables = {
            name: xr.DataArray(column[: len(self.steps)], dims=("step", *dims_of[name]), attrs=labels.get(name, {}))
            for name, column in self.columns.items()
        }
        dims = dict.fromkeys(str(dim) for variable in variables.values() for dim in variable.dims)
        coords = {"step": self.steps} | {dim: list(self.axes[dim]) for dim in dims if dim in self.axes}
        return xr.Dataset(variables, coords=coords)
