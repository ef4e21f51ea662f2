"""Files that expand far beyond their size are refused before anything in them is loaded."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from grokinterp.interop import ForeignFileError
from grokinterp.interop.files import read_torch
from grokinterp.interop.logs.arrays import read_npy, read_npz
from tests.support.hostile import doubled, inside_itself


def rewritten(path: Path, compression: int, extra: dict[str, bytes] | None = None) -> Path:
    """The same archive with all members compressed in a way, and with more members."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in (members | (extra or {})).items():
            archive.writestr(name, content)
    return path


def saved(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


def doubled_members(path: Path) -> Path:
    """An archive whose directory lists a member twice."""
    saved({"a": torch.ones(1000)}, path)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(archive.namelist()[-1], b"1")
    return path


TORCH = {
    "compressed": (
        lambda path: rewritten(saved({"a": torch.zeros(2**20)}, path), zipfile.ZIP_DEFLATED),
        "holds compressed members, which PyTorch does not write",
    ),
    "two members of a name": (doubled_members, "holds several members of the same name"),
    "a list inside itself": (lambda path: saved(inside_itself(), path), "nests containers inside each other"),
    "doubled lists": (lambda path: saved(doubled(40), path), "entries by repeating"),
    "a doubled key": (lambda path: saved({doubled(16, tuple): 1}, path), "holds a key that is too large to hash"),
    "doubled in a set": (lambda path: saved({doubled(16, tuple)}, path), "holds a key that is too large to hash"),
    "bytes": (lambda path: saved(bytearray(10), path), "holds a bytearray"),
    "an integer": (lambda path: saved([10**400], path), "holds an integer of 1329 bits"),
    "a meta tensor": (lambda path: saved([torch.ones(3, device="meta")], path), "holds a meta, sparse, nested or"),
    "a sparse tensor": (lambda path: saved([torch.eye(3).to_sparse()], path), "holds a meta, sparse, nested or"),
}


@pytest.mark.parametrize("name", TORCH)
def test_a_file_of_pytorch_that_expands_is_refused(name, tmp_path):
    make, words = TORCH[name]
    with pytest.raises(ForeignFileError) as error:
        read_torch(make(tmp_path / "file.pt"))
    assert words in str(error.value)
    assert str(error.value).isprintable()


def test_the_old_format_of_pytorch_is_read_and_checked(tmp_path):
    torch.save({"a": torch.ones(3), (1, 2): [1, 2]}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert read_torch(tmp_path / "old.pt")[1, 2] == [1, 2]
    torch.save({doubled(16, tuple): 1}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(ForeignFileError, match="too large to hash"):
        read_torch(tmp_path / "old.pt")


def test_repeated_values_are_read_as_long_as_they_are_few(tmp_path):
    row = [1.0, 2.0]
    assert read_torch(saved({"a": [row] * 1000, "b": {(0, 1), (1, 2)}}, tmp_path / "file.pt"))["a"][999] == row


def test_arrays_that_expand_are_refused(tmp_path):
    np.savez_compressed(tmp_path / "log.npz", train_loss=np.zeros(1000), test_loss=np.zeros(1000), step=np.arange(1000))
    (table,) = read_npz(tmp_path / "log.npz")
    assert table.rows == 1000
    rewritten(tmp_path / "log.npz", zipfile.ZIP_DEFLATED, {"more.npy": bytes(2**27)})
    with pytest.raises(ForeignFileError, match=r"expands from \d+ to \d+ bytes"):
        read_npz(tmp_path / "log.npz")


@pytest.mark.parametrize("shape", [(10**12,), (2**62, 2**62), (10**6, 0, 10**12)])
def test_an_array_is_not_larger_than_its_file(shape, tmp_path):
    with (tmp_path / "loss.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
        file.write(bytes(80))
    try:
        tables = read_npy([tmp_path / "loss.npy"])
    except ForeignFileError as error:
        assert "more than its 2" in str(error) or "must hold" in str(error)  # noqa: PT017
    else:
        assert [column.size for table in tables for column in table.columns.values()] == [0]
