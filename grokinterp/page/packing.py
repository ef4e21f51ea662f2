"""Arrays packed compactly into a page: levels between their extremes, written in base64."""

import base64
from typing import Any

import numpy as np

Packed = dict[str, Any]

FINE, COARSE = 65534, 254
"""Number of steps between the extremes with two bytes and with one byte per value."""


def pack(values: np.ndarray) -> Packed:
    """Pack numbers with two bytes each, as low + level * step; the last level stands for values that are not finite.

    >>> packed = pack(np.array([[0.0, 1.0, np.nan]]))
    >>> packed["type"], packed["shape"], base64.b64decode(packed["data"]).hex(" ", 2)
    ('uint16', [1, 3], '0000 feff ffff')
    """
    finite = values[np.isfinite(values)].astype(float)
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return _levels(values, low, (high - low) / FINE or 1.0, "uint16", FINE)


def pack_coarsely(values: np.ndarray, low: float = 0.0, high: float = 1.0) -> Packed:
    """Pack numbers with one byte each, clipped to two bounds, as ``pack`` does.

    >>> base64.b64decode(pack_coarsely(np.array([0.0, 0.5, 2.0, np.nan]))["data"]).hex(" ")
    '00 7f fe ff'
    """
    return _levels(np.clip(values, low, high), low, (high - low) / COARSE or 1.0, "uint8", COARSE)


def _levels(values: np.ndarray, low: float, step: float, kind: str, steps: int) -> Packed:
    known = np.isfinite(values)
    levels = np.where(known, np.round((np.where(known, values, low) - low) / step), steps + 1)
    data = base64.b64encode(levels.astype(np.dtype(kind).newbyteorder("<")).tobytes()).decode("ascii")
    return {"type": kind, "shape": list(values.shape), "low": low, "step": step, "data": data}
