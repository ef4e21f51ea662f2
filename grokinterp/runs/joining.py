"""Join the results of several analyses into one dataset."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import xarray as xr

from grokinterp.errors import warn
from grokinterp.runs.datasets import CHECKPOINTS, OUTSIDE


def merged(parts: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Return several analyses as one dataset over their common steps; without analyses, the step axis is empty.

    An analysis whose axes or fields contradict those of another analysis is left out and named in a warning. Analyses
    of grokinterp take precedence over analyses of other packages, otherwise the alphabetical order decides.
    """
    if not parts:
        return xr.Dataset(coords={"step": np.array([], dtype=np.int64)})
    common = sorted(set.intersection(*(set(part["step"].values.tolist()) for part in parts.values())))
    plain = {name: at_steps(part.drop_vars(CHECKPOINTS, errors="ignore"), common) for name, part in parts.items()}
    try:
        return joined_exactly(plain.values())
    except ValueError:
        pass
    whole, left_out = xr.Dataset(coords={"step": common}), []
    for name in sorted(plain, key=lambda name: (OUTSIDE in parts[name].attrs, name)):
        try:
            whole = joined_exactly([whole, plain[name]])
        except ValueError:
            left_out.append(name)
    warn(f"left out of the joined results, which they contradict: {', '.join(left_out)}", stacklevel=2)
    return whole


def at_steps(part: xr.Dataset, steps: Sequence[int]) -> xr.Dataset:
    """Return a dataset at some of its steps."""
    return part if part["step"].values.tolist() == list(steps) else part.sel(step=steps)


def joined_exactly(parts: Iterable[xr.Dataset]) -> xr.Dataset:
    """Return datasets as one, with the labels of their variables.

    Raises:
        ValueError: axes or fields of the same name differ.
    """
    whole = xr.merge(parts, join="exact", compat="no_conflicts", combine_attrs="drop_conflicts")
    return whole.drop_attrs(deep=False)
