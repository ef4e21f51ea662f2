"""Arrays as the script of a page unpacks them."""

import base64

import numpy as np

LAST = {"uint8": 255, "uint16": 65535}
"""The level that stands for values that are not finite."""


def unpack(packed: dict) -> np.ndarray:
    """The twin of the page's script."""
    levels = np.frombuffer(base64.b64decode(packed["data"]), dtype=packed["type"]).astype(float)
    levels[levels == LAST[packed["type"]]] = np.nan
    return (packed["low"] + levels * packed["step"]).reshape(packed["shape"])
