"""Named tensors as safetensors bytes with a digest of their content, and a reader that verifies it.

safetensors alone loads flipped bits silently; here every name, dtype, shape and byte, the step, the run id and the
extra strings enter a SHA-256 that is stored in the header and verified on every read.
"""

import hashlib
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from grokinterp.errors import CheckpointError
from grokinterp.storage.files import canonical_json, open_regular, read_regular
from grokinterp.storage.tensor_header import (
    DTYPES,
    FORMAT,
    Entry,
    Header,
    header_length,
    lay_out,
    parse_header,
    render_header,
)

if TYPE_CHECKING:
    import torch

MAX_FILE_BYTES = 4 * 2**30
_CODES = {torch_name: code for code, (torch_name, _) in DTYPES.items()}


class Stored(NamedTuple):
    """The content of a verified file."""

    tensors: dict[str, "torch.Tensor"]
    step: int
    run_id: str
    digest: str
    extra: dict[str, str]


def encode_tensors(
    tensors: Mapping[str, "torch.Tensor"], *, step: int, run_id: str, extra: Mapping[str, str] | None = None
) -> bytes:
    """Return safetensors bytes of ``tensors``, with step, run id, extra strings and digest in the metadata.

    Equal content gives equal bytes.

    Raises:
        ValueError: if a dtype is not in ``DTYPES``, the step is negative or the header exceeds 8 MiB.
    """
    if step < 0:
        raise ValueError(f"step={step}: must be >= 0")
    extra = dict(extra or {})
    raw = {name: _raw_bytes(tensor) for name, tensor in tensors.items()}
    entries = lay_out({name: (_dtype_code(name, t), tuple(t.shape)) for name, t in tensors.items()})
    digest = content_digest(entries, raw, step=step, run_id=run_id, extra=extra)
    metadata = {"format": "pt", "grokinterp": FORMAT, "digest": digest, "run_id": run_id, "step": str(step)}
    metadata |= {f"extra.{key}": text for key, text in extra.items()}
    header = render_header(metadata, entries)
    return b"".join([len(header).to_bytes(8, "little"), header, *(raw[entry.name] for entry in entries)])


def content_digest(
    entries: Iterable[Entry], raw: Mapping[str, bytes | memoryview], *, step: int, run_id: str, extra: Mapping[str, str]
) -> str:
    """Return the SHA-256 of a canonical JSON line (extra, run_id, step, [name, dtype, shape] by name) and the bytes.

    The bytes of the tensors follow the line in order of their names.
    """
    by_name = sorted(entries, key=lambda entry: entry.name)
    tensors = [[entry.name, entry.dtype, list(entry.shape)] for entry in by_name]
    line = canonical_json({"extra": dict(extra), "run_id": run_id, "step": step, "tensors": tensors})
    digest = hashlib.sha256(line.encode("ascii") + b"\n")
    for entry in by_name:
        digest.update(raw[entry.name])
    return digest.hexdigest()


def decode_tensors(data: bytes, *, name: str) -> Stored:
    """Return the verified content of ``data``; ``name`` is the file's name for the error.

    Raises:
        CheckpointError: if ``data`` is not a complete, unchanged file of this format, with a short reason.
    """
    header = verify(data, name=name)
    tensors = {entry.name: _tensor(data, header.data_start, entry) for entry in header.entries}
    return Stored(tensors, header.step, header.run_id, header.digest, header.extra)


def verify(data: bytes, *, name: str) -> Header:
    """Return the header of ``data`` after verifying its structure and digest. Raises CheckpointError."""
    try:
        header = parse_header(data, size=len(data))
    except ValueError as error:
        raise CheckpointError(name, str(error)) from None
    view = memoryview(data)[header.data_start :]
    raw = {entry.name: view[entry.start : entry.stop] for entry in header.entries}
    actual = content_digest(header.entries, raw, step=header.step, run_id=header.run_id, extra=header.extra)
    if actual != header.digest:
        raise CheckpointError(name, f"damaged: content digest {actual[:12]}, but {header.digest[:12]} in the header")
    return header


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a checkpoint file of at most 4 GiB. Raises CheckpointError."""
    try:
        return read_regular(path, limit=MAX_FILE_BYTES)
    except (OSError, ValueError) as error:
        raise CheckpointError(path.name, _reason(error)) from None


def states_digest(path: Path, digest: str) -> bool:
    """Return whether the header of a checkpoint file contains a digest; nothing else is read, parsed or verified."""
    try:
        with open_regular(path, limit=MAX_FILE_BYTES) as file:
            size = os.fstat(file.fileno()).st_size
            return digest.encode() in file.read(header_length(file.read(8), size=size))
    except (OSError, ValueError):
        return False


def _reason(error: OSError | ValueError) -> str:
    """Return a short reason without the path, which the caller names."""
    return f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)


def _dtype_code(name: str, tensor: "torch.Tensor") -> str:
    """Return the safetensors dtype. Raises ValueError naming the tensor."""
    torch_name = str(tensor.dtype).removeprefix("torch.")
    if torch_name not in _CODES:
        raise ValueError(f"tensor {name} has dtype {torch_name}: must be one of {', '.join(_CODES)}")
    return _CODES[torch_name]


def _raw_bytes(tensor: "torch.Tensor") -> bytes:
    """Return the elements in row-major order, little-endian."""
    import torch

    if sys.byteorder != "little":
        raise OSError("checkpoints are little-endian: this machine is not supported")
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()


def _tensor(data: bytes, data_start: int, entry: Entry) -> "torch.Tensor":
    """Return a tensor that owns a copy of its bytes."""
    import torch

    dtype = getattr(torch, DTYPES[entry.dtype][0])
    if entry.start == entry.stop:
        return torch.empty(entry.shape, dtype=dtype)
    own = bytearray(memoryview(data)[data_start + entry.start : data_start + entry.stop])
    return torch.frombuffer(own, dtype=dtype).reshape(entry.shape)
