"""Files are read in one place only, which refuses pipes, devices, and files larger than the caller allows.

Elsewhere ``open`` and its relatives may not be called: see ``open_regular`` and ``read_regular`` in storage/files.py.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "grokinterp"
SEAM = {"storage/files.py"}
WRITERS = {"storage/atomic.py", "storage/lock.py", "storage/metrics_writer.py", "storage/staging.py", "streams.py"}
"""The modules that open files to write, to lock and to synchronize them, and the null device."""

OPENERS = {"open", "os.open", "io.open", "codecs.open", "json.load", "tomllib.load", "tomllib.loads", "gzip.open"}
METHODS = {"read_text", "read_bytes", "write_text", "write_bytes", "hardlink_to"}
LOADERS = {
    "torch.load": "interop/files.py",
    "safetensors.torch.load": "interop/weights.py",
    "xr.load_dataset": "runs/netcdf.py",
    "zipfile.ZipFile": "interop/archives.py interop/logs/arrays.py",
    "sqlite3.connect": "sweeps/database.py",
}
"""Functions that read an open file, bytes, or a database, and the modules that pass them what the seam opened."""

REFUSED = {
    "np.load", "numpy.load", "np.loadtxt", "np.genfromtxt", "np.fromfile", "np.memmap", "torch.from_file",
    "xr.open_dataset", "xr.open_dataarray", "xr.load_dataarray", "safetensors.torch.load_file", "safe_open",
    "netcdf_file", "pd.read_csv", "tarfile.open", "h5py.File",
}  # fmt: skip
READERS = {"RunDirectory", "Trajectory", "Results", "archive"}
"""Names whose method ``open`` opens a run, or a member of an archive that is open already."""


def raw_reads(file: Path, root: Path = PACKAGE) -> Iterator[str]:
    """Calls in a file that read or write other files past the seam."""
    where = file.relative_to(root).as_posix()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        owner, _, method = called.rpartition(".")
        opens = called in OPENERS | REFUSED or (owner and method in METHODS)
        opens = opens or (method == "open" and owner.split(".")[-1] not in READERS)
        if called in LOADERS:
            opens = where not in LOADERS[called].split()
        if opens and where not in SEAM | WRITERS:
            yield f"{where}:{node.lineno} calls {called}"


def test_every_file_is_read_through_the_seam():
    assert [found for file in sorted(PACKAGE.rglob("*.py")) for found in raw_reads(file)] == []


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("open(path)", False),
        ("path.open('rb')", False),
        ("with Path(path).open() as file: pass", False),
        ("os.open(path, 0)", False),
        ("path.read_bytes()", False),
        ("path.with_name('x').read_text()", False),
        ("np.load(path)", False),
        ("torch.load(path, weights_only=True)", False),
        ("xr.open_dataset(path)", False),
        ("tomllib.load(file)", False),
        ("out.write_text(page)", False),
        ("read_regular(path, limit=10)", True),
        ("RunDirectory.open(path)", True),
        ("grokinterp.Trajectory.open(path)", True),
    ],
)
def test_reading_past_the_seam_is_found(line, allowed, tmp_path):
    file = tmp_path / "new.py"
    file.write_text(line)
    assert (not list(raw_reads(file, tmp_path))) is allowed
