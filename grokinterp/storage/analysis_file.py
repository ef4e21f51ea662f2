"""Results of one analysis as a netCDF file: analysis/NAME.nc."""

import io
import re
from pathlib import Path

import xarray as xr

from grokinterp.errors import RunDirectoryError
from grokinterp.storage.atomic import write_atomic

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


def write_analysis(run: Path, name: str, dataset: xr.Dataset) -> None:
    """Write or replace the results of one analysis, atomically."""
    (run / "analysis").mkdir(exist_ok=True)
    write_atomic(run / "analysis" / f"{name}.nc", bytes(dataset.to_netcdf(engine="scipy")), replace=True)


def read_analysis(run: Path, name: str) -> xr.Dataset | None:
    """The results of one analysis, None if there are none.

    Raises:
        RunDirectoryError: the file is damaged.
    """
    path = run / "analysis" / f"{name}.nc"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return xr.load_dataset(io.BytesIO(content), engine="scipy")
    except Exception as error:  # the netCDF reader raises whatever a damaged header leads it to
        raise RunDirectoryError(run, f"analysis/{name}.nc is damaged ({type(error).__name__})") from None


def analysis_names(run: Path) -> tuple[str, ...]:
    """The analyses that have results."""
    found = [path.stem for path in (run / "analysis").glob("*.nc")]
    return tuple(sorted(name for name in found if NAME.fullmatch(name)))
