"""Results of one analysis as a netCDF file: analysis/NAME.nc."""

import hashlib
import io
import re
from pathlib import Path

import numpy as np
import xarray as xr

from grokinterp.errors import RunDirectoryError
from grokinterp.storage.atomic import write_atomic

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


DIGEST = "content_digest"


def write_analysis(run: Path, name: str, dataset: xr.Dataset) -> None:
    """Write or replace the results of one analysis, atomically."""
    (run / "analysis").mkdir(exist_ok=True)
    marked = dataset.assign_attrs({DIGEST: _digest(dataset)})
    write_atomic(run / "analysis" / f"{name}.nc", bytes(marked.to_netcdf(engine="scipy")), replace=True)


def read_analysis(run: Path, name: str) -> xr.Dataset | None:
    """The results of one analysis, None if there are none, or the file is not one of ours.

    Raises:
        RunDirectoryError: the file is damaged.
    """
    path = run / "analysis" / f"{name}.nc"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        dataset = xr.load_dataset(io.BytesIO(content), engine="scipy")
        expected = dataset.attrs.pop(DIGEST, None)
        damaged = expected is not None and expected != _digest(dataset)
    except Exception as error:  # the netCDF reader raises whatever a damaged header leads it to
        raise RunDirectoryError(run, f"analysis/{name}.nc is damaged ({type(error).__name__})") from None
    if damaged:
        raise RunDirectoryError(run, f"analysis/{name}.nc is damaged: its content does not match its digest")
    return None if expected is None else dataset


def _digest(dataset: xr.Dataset) -> str:
    """SHA-256 over every variable's name, shape and values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(map(str, dataset.variables)):
        values = dataset[name].values
        plain = np.char.encode(values.astype(str)) if values.dtype.kind in "SOUT" else values.astype("<f8")
        digest.update(f"{name}{values.shape}".encode() + plain.tobytes())
    return digest.hexdigest()


def analysis_names(run: Path) -> tuple[str, ...]:
    """The analyses that have results."""
    found = [path.stem for path in (run / "analysis").glob("*.nc")]
    return tuple(sorted(name for name in found if NAME.fullmatch(name)))
