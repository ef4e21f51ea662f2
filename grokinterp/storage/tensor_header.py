"""The safetensors header of a checkpoint: written deterministically, and read as untrusted input.

A file is 8 bytes of header length, a JSON header, then the tensor bytes; the header's ``__metadata__`` holds this
package's metadata.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from grokinterp.storage.files import canonical_json, parse_json

FORMAT = "1"
MAX_HEADER_BYTES = 8 * 2**20
MAX_DIMENSIONS = 16

DTYPES = {
    "BOOL": ("bool", 1),
    "U8": ("uint8", 1),
    "I8": ("int8", 1),
    "I16": ("int16", 2),
    "I32": ("int32", 4),
    "I64": ("int64", 8),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "F32": ("float32", 4),
    "F64": ("float64", 8),
}
"""Map from safetensors dtype to (torch name, bytes per element)."""

_FIXED_KEYS = {"format", "grokinterp", "digest", "run_id", "step"}
_FOREIGN_STARTS = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


class Entry(NamedTuple):
    """A tensor in a header; ``start`` and ``stop`` count bytes from the end of the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


class Header(NamedTuple):
    """A parsed header: all information except the tensor bytes, which begin at ``data_start``."""

    entries: tuple[Entry, ...]
    step: int
    run_id: str
    digest: str
    extra: dict[str, str]
    data_start: int


def lay_out(described: Mapping[str, tuple[str, tuple[int, ...]]]) -> tuple[Entry, ...]:
    """Return contiguous entries, wide elements first (so that all are aligned), then by name."""
    entries, start = [], 0
    for name, (dtype, shape) in sorted(described.items(), key=lambda item: (-DTYPES[item[1][0]][1], item[0])):
        stop = start + math.prod(shape) * DTYPES[dtype][1]
        entries.append(Entry(name, dtype, shape, start, stop))
        start = stop
    return tuple(entries)


def render_header(metadata: Mapping[str, str], entries: Iterable[Entry]) -> bytes:
    """Return the JSON header, padded with spaces to a multiple of 8. Raises ValueError if it exceeds the limit."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    for entry in entries:
        if entry.name in header:
            raise ValueError("__metadata__ cannot be the name of a tensor")
        header[entry.name] = {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": [entry.start, entry.stop],
        }
    text = canonical_json(header).encode("ascii")
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER_BYTES:
        raise ValueError(f"header has {len(text)} bytes: must be <= {MAX_HEADER_BYTES}")
    return text


def header_length(prefix: bytes, *, size: int) -> int:
    """Return the length in the first 8 bytes if it fits a file of ``size`` bytes. Raises ValueError."""
    if size == 0:
        raise ValueError("empty file")
    if len(prefix) < 8:
        raise ValueError(f"truncated: {size} bytes")
    length = int.from_bytes(prefix[:8], "little")
    if length > MAX_HEADER_BYTES and prefix[:2] in _FOREIGN_STARTS:
        raise ValueError("a pickle or zip archive (torch.save), not safetensors; it was not loaded")
    if length > MAX_HEADER_BYTES:
        raise ValueError(f"not safetensors, or damaged: claims a header of {length} bytes")
    if 8 + length > size:
        raise ValueError(f"truncated: {size} bytes, but its header alone needs {8 + length}")
    return length


def parse_header(data: bytes, *, size: int) -> Header:
    """Return the header at the start of ``data``, checked against the file's ``size``. Raises ValueError."""
    data_start = 8 + header_length(data[:8], size=size)
    try:
        fields = parse_json(data[8:data_start].decode("utf-8"))
    except ValueError:
        raise ValueError("not safetensors, or damaged: its header is not JSON") from None
    if not isinstance(fields, dict):
        raise ValueError("not safetensors, or damaged: its header is not a JSON object")
    metadata = _checked_metadata(fields.pop("__metadata__", None))
    entries = tuple(_checked_entry(name, field) for name, field in fields.items())
    _require_tiling(entries, data_bytes=size - data_start)
    extra = {key.removeprefix("extra."): text for key, text in metadata.items() if key.startswith("extra.")}
    return Header(entries, int(metadata["step"]), metadata["run_id"], metadata["digest"], extra, data_start)


def _checked_metadata(metadata: Any) -> dict[str, str]:
    """Return the metadata if it is this package's and of this format. Raises ValueError."""
    if not isinstance(metadata, dict) or "digest" not in metadata or "grokinterp" not in metadata:
        raise ValueError("foreign safetensors file: it has no grokinterp digest")
    if not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("damaged: metadata that is not text")
    if metadata["grokinterp"] != FORMAT:
        raise ValueError(f"has format {metadata['grokinterp'][:20]!r}: this version reads format {FORMAT}")
    if {key for key in metadata if not key.startswith("extra.")} != _FIXED_KEYS or metadata["format"] != "pt":
        raise ValueError("damaged: metadata keys differ from the format's")
    step = metadata["step"]
    if not (step.isascii() and step.isdigit() and len(step) <= 18 and str(int(step)) == step):
        raise ValueError(f"damaged: step={step[:20]!r} is not a whole number")
    return metadata


def _checked_entry(name: str, field: Any) -> Entry:
    """Return the entry of a tensor description. Raises ValueError."""
    if not isinstance(field, dict) or set(field) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"damaged: the description of tensor {name[:80]!r}")
    dtype, shape, offsets = field["dtype"], field["shape"], field["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"damaged: dtype {str(dtype)[:20]!r} of tensor {name[:80]!r}")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2 or len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"damaged: shape or offsets of tensor {name[:80]!r}")
    if math.prod(shape) * DTYPES[dtype][1] != offsets[1] - offsets[0] or math.prod(s or 1 for s in shape) > 2**40:
        raise ValueError(f"damaged: shape and bytes of tensor {name[:80]!r} differ")
    return Entry(name, dtype, tuple(shape), offsets[0], offsets[1])


def _are_sizes(values: Any) -> bool:
    """Return whether ``values`` is a list of integers in [0, 2^63)."""
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def _require_tiling(entries: Iterable[Entry], *, data_bytes: int) -> None:
    """Raise ValueError unless every byte after the header belongs to exactly one tensor."""
    end = 0
    for entry in sorted(entries, key=lambda entry: (entry.start, entry.stop)):
        if entry.start != end:
            raise ValueError(f"damaged: tensor {entry.name[:80]!r} overlaps another or leaves a gap")
        end = entry.stop
    if end != data_bytes:
        kind = "truncated" if data_bytes < end else "damaged"
        raise ValueError(f"{kind}: {data_bytes} bytes of tensors, but its header states {end}")
