"""Curves in array files: a .npz with one or many, a .npy each, or lists in a .pth file of PyTorch."""

import math
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from io import BufferedIOBase
from pathlib import Path
from typing import IO, Any

import numpy as np

from grokinterp.interop.archives import require_bounded_zip
from grokinterp.interop.logs.containers import tables_of
from grokinterp.interop.logs.names import is_step, meaning, without_roles, words
from grokinterp.interop.logs.table import Table
from grokinterp.interop.text_files import ForeignFileError, open_binary


def read_npz(path: Path, wanted: Iterable[str] = ()) -> list[Table]:
    """Return the arrays in a .npz file as columns. Raises ForeignFileError."""
    with open_binary(path) as file:
        try:
            require_bounded_zip(file, compressed=True)
            with zipfile.ZipFile(file) as archive:
                arrays = {name.removesuffix(".npy"): _array(archive, name, path) for name in archive.namelist()}
        except ForeignFileError:
            raise
        except Exception as error:  # a damaged archive can raise anything
            why = str(error) if isinstance(error, ValueError) else "is not a numpy file"
            raise ForeignFileError(path, why) from None
    return _of_arrays(arrays, path, wanted)


def read_npy(paths: Sequence[Path], wanted: Iterable[str] = ()) -> list[Table]:
    """Return one array per file, named after the file, or a structured array by field. Raises ForeignFileError."""
    arrays: dict[str, np.ndarray] = {}
    for path in paths:
        array = _loaded(path)
        fields = array.dtype.names
        arrays |= {path.stem: array} if fields is None else {name: array[name] for name in fields}
    return _of_arrays(arrays, paths[0], wanted)


def together(paths: Sequence[Path]) -> list[list[Path]]:
    """Group paths of arrays by run: same folder, and same name except for split, quantity and steps.

    >>> together([Path("a_train_acc.npy"), Path("b_train_acc.npy"), Path("a_test_acc.npy")])
    [[...Path('a_train_acc.npy'), ...Path('a_test_acc.npy')], [...Path('b_train_acc.npy')]]
    """
    groups: dict[tuple[object, ...], list[Path]] = {}
    for path in paths:
        groups.setdefault((path.parent, without_roles(words(path.stem))), []).append(path)
    return list(groups.values())


def _loaded(path: Path) -> np.ndarray:
    with open_binary(path) as file:
        return _read(file, os.fstat(file.fileno()).st_size, path, "")


def _array(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    with archive.open(name) as member:
        return _read(member, archive.getinfo(name).file_size, path, f"{name.removesuffix('.npy')} ")


def _read(file: BufferedIOBase | IO[bytes], size: int, path: Path, name: str) -> np.ndarray:
    """Return the array in a file of ``size`` bytes, whose header is compared with this size before it is read."""
    try:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = header(file)
        if dtype.hasobject:
            raise ForeignFileError(path, f"{name}holds Python objects, which are not read")
        entries = math.prod(shape)
        if entries * dtype.itemsize > size:
            raise ForeignFileError(path, f"{name}states shape {shape}, more than its {size} bytes")
        array = np.frombuffer(file.read(entries * dtype.itemsize), dtype=dtype, count=entries)
        return array.reshape(shape, order="F" if is_fortran else "C")
    except ForeignFileError:
        raise
    except Exception:  # a damaged header can raise anything
        raise ForeignFileError(path, f"{name}is not a numpy file".strip()) from None


def _of_arrays(arrays: Mapping[str, np.ndarray], path: Path, wanted: Iterable[str]) -> list[Table]:
    """Return a table of the arrays with one axis; with a leading axis of runs, a table for each run."""
    used = {name: array for name, array in arrays.items() if meaning(name) or is_step(name) or name in set(wanted)}
    for name, array in used.items():
        if array.dtype.kind not in "iufb":
            raise ForeignFileError(path, f"{name} holds {array.dtype}, not numbers")
    runs = {array.shape[0] for array in used.values() if array.squeeze().ndim == 2}
    about = {name: array.item() for name, array in arrays.items() if array.ndim == 0 and array.dtype.kind in "iufb"}
    if len(runs) > 1 or any(array.squeeze().ndim > 2 for array in used.values()):
        shapes = ", ".join(f"{name} {array.shape}" for name, array in used.items())
        raise ForeignFileError(
            path, f"must hold one-dimensional curves, or arrays of runs by evaluations; it has {shapes}"
        )
    tables = []
    for run in range(runs.pop()) if runs else [None]:
        table = Table(path, names=list(arrays), about=about, run="" if run is None else str(run))
        for name, array in used.items():
            table.columns[name] = np.asarray(_of_run(array, run), dtype=np.float64)
        tables.append(table)
    return tables


def _of_run(array: np.ndarray, run: int | None) -> np.ndarray:
    return array[run].reshape(-1) if run is not None and array.squeeze().ndim == 2 else array.reshape(-1)


def read_pth(path: Path, wanted: Iterable[str] = ()) -> list[Table]:
    """Return the curves in a file written by ``torch.save``: lists and tensors of numbers at any depth.

    Raises:
        ForeignFileError: if PyTorch cannot load the file with ``weights_only=True``, or it has no curves.
    """
    from grokinterp.interop.files import read_torch

    tables = tables_of(plain(read_torch(path)), path, frozenset(wanted))
    if not any(map(meaning, (name for table in tables for name in table.columns))):
        raise ForeignFileError(path, "holds no lists of losses or accuracies")
    return tables


def plain(content: Any) -> Any:
    """Convert containers with small tensors to lists; tensors with several axes, which are weights, are omitted.

    >>> plain({"a": [1.0], "b": (1, 2)})
    {'a': [1.0], 'b': [1, 2]}
    """
    if isinstance(content, Mapping):
        return {str(name): plain(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [plain(value) for value in content]
    if hasattr(content, "detach"):
        return content.detach().tolist() if content.ndim < 2 else None
    return content
