"""Damaged results of analyses (netCDF): flipped bits in headers and data, shortened files, foreign files."""

import re
import shutil
from collections.abc import Iterable, Iterator

import xarray as xr

from benchmarks.reliability.processes import guarded
from benchmarks.reliability.readings import RECORDS, analyses_of, conclusions_of, judge, read
from benchmarks.reliability.specimen import NOT_FILES, Lab, flipped
from benchmarks.reliability.trial import Row, Trial, row

READERS = {"analyses": analyses_of, "conclusions": conclusions_of}
FILE = "analysis/performance.nc"


def faults(lab: Lab) -> Iterator[Row]:
    """Damage a result and read the run."""
    content = (lab.run / FILE).read_bytes()
    with xr.open_dataset(lab.run / FILE, engine="scipy") as dataset:
        size = len(content) - sum(variable.nbytes for variable in dataset.variables.values())
    header, data = range(8 * size), range(8 * size, 8 * len(content))
    for kind, bits in (("header", lab.some(header, 4_000, 10)), ("data", lab.some(data, 500, 5))):
        flips = ((f"bit {bit}", flipped(content, bit)) for bit in bits)
        yield row(f"analysis/*.nc with a flipped bit in its {kind}", read_each(lab, flips))
    cuts = ((f"{n} bytes", content[:n]) for n in lab.some(range(len(content)), 500, 5))
    yield row("analysis/*.nc cut short", read_each(lab, cuts))
    yield row("analysis/*.nc replaced", read_each(lab, foreign(lab)))
    yield row("analysis/*.nc that is not a regular file", no_file(lab))


def read_each(lab: Lab, contents: Iterable[tuple[str, bytes]]) -> Iterator[Trial]:
    """Read the run with each content in place of the result."""
    intact = read(lab.run, READERS)
    for fault, content in contents:
        with lab.damaged(FILE, content) as run:
            yield judge(fault, intact, read(run, READERS), r"performance(\.nc)?")


def foreign(lab: Lab) -> Iterator[tuple[str, bytes]]:
    """Yield contents that are not the results of this analysis of this run."""
    other = (lab.other / FILE).read_bytes()
    bare = xr.Dataset({"all_loss": ("step", [1.0, 2.0])})
    yield from {
        "empty": b"",
        "text": b"results",
        "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(200),
        "zip": b"PK\x03\x04" + bytes(200),
        "another run's": other,
        "another analysis": (lab.run / "analysis/weight_norms.nc").read_bytes(),
        "netCDF without a step": bytes(bare.rename(step="x").to_netcdf(engine="scipy")),
        "netCDF with text steps": bytes(bare.assign_coords(step=["a", "b"]).to_netcdf(engine="scipy")),
        "netCDF with NaN steps": bytes(bare.assign_coords(step=[0.0, float("nan")]).to_netcdf(engine="scipy")),
    }.items()


def no_file(lab: Lab) -> Iterator[Trial]:
    """Put a directory, a pipe, or a device in place of a result, or beside it."""
    intact = read(lab.run, RECORDS)
    for place in (FILE, "analysis/extra.nc"):
        for fault, put in NOT_FILES.items():
            path, kept = lab.run / place, lab.run / "kept"
            if path.exists():
                path.rename(kept)
            put(path)
            found = guarded(read, lab.run, RECORDS)
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            if kept.exists():
                kept.rename(path)
            yield judge(f"{place}: {fault}", intact, found, re.escape(path.stem))
