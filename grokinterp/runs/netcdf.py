"""Datasets as netCDF files that carry the SHA-256 of their bytes, which is verified before they are parsed."""

import hashlib
import io

import numpy as np
import xarray as xr

from grokinterp.shared import WARNING_FILTERS

SEAL = "sha256"
"""The global attribute with the SHA-256 of the whole file, computed with zeros in place of its own digits."""

BLANK = b"0" * 64
PLACE = b"\0\0\0\x06sha256\0\0" + b"\0\0\0\x02" + b"\0\0\0\x40"
"""The bytes of a netCDF-3 header before the digits: length of the name, padded name, type (text), number of digits."""

EARLIER = "content_digest"
"""The attribute of earlier versions: a digest of the variables alone."""

PART = 2**20
"""The number of bytes of a variable that are converted at a time."""


def encode_dataset(dataset: xr.Dataset) -> bytes:
    """Return the dataset as netCDF; equal datasets give equal bytes."""
    data = bytearray(dataset.assign_attrs({SEAL: BLANK.decode()}).to_netcdf(engine="scipy"))
    start = data.index(PLACE) + len(PLACE)
    data[start : start + len(BLANK)] = hashlib.sha256(data).hexdigest().encode()
    return bytes(data)


def decode_dataset(data: bytes) -> xr.Dataset:
    """Return the dataset in netCDF bytes, whose digest is verified before they are parsed.

    Raises:
        ValueError: if a byte was changed, or the file was written by another program, with a short reason.
    """
    if PLACE in data:
        _require_seal(data)
        dataset = _parsed(data)
        del dataset.attrs[SEAL]
        return dataset
    if EARLIER.encode() not in data:
        raise ValueError("no digest: damaged or written by another program")
    dataset = _parsed(data)
    if dataset.attrs.pop(EARLIER, None) != _digest_of_variables(dataset):
        raise ValueError("damaged: its content does not match its digest")
    return dataset


def _require_seal(data: bytes) -> None:
    """Raise ValueError unless the bytes have the SHA-256 that they state."""
    start = data.index(PLACE) + len(PLACE)
    stop = start + len(BLANK)
    digest = hashlib.sha256(memoryview(data)[:start])
    digest.update(BLANK)
    digest.update(memoryview(data)[stop:])
    if data[start:stop] != digest.hexdigest().encode():
        raise ValueError("damaged: its bytes do not match their digest")


def _parsed(data: bytes) -> xr.Dataset:
    """Return the dataset in netCDF bytes. Raises ValueError."""
    try:
        with WARNING_FILTERS.held():  # xarray adds one whenever it decodes
            return xr.load_dataset(io.BytesIO(data), engine="scipy")
    except Exception as error:  # a damaged header can raise anything
        raise ValueError(f"damaged ({type(error).__name__})") from None


def _digest_of_variables(dataset: xr.Dataset) -> str:
    """Return the SHA-256 over the name, shape and values of every variable, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(map(str, dataset.variables)):
        values = dataset[name].values
        digest.update(f"{name}{values.shape}".encode())
        if values.dtype.kind in "SOUT":
            digest.update(np.char.encode(values.astype(str)).tobytes())
            continue
        for part in np.array_split(values.reshape(-1), values.nbytes // PART + 1):
            digest.update(part.astype("<f8").tobytes())
    return digest.hexdigest()
