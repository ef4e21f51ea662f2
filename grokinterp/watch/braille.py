"""Curves in a terminal: two by four dots in every character cell."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bit of every dot of a Braille cell by row and column, added to the character U+2800."""


class Dotted(NamedTuple):
    """A curve: its style, and its points with coordinates from 0 to 1, NaN where it is interrupted."""

    style: str
    x: np.ndarray
    y: np.ndarray


Cell = tuple[str, str]
"""A character and its style."""


def dotted(curves: Sequence[Dotted], width: int, height: int) -> list[list[Cell]]:
    """Return rows of cells with all curves; later curves give their style to cells that they share.

    >>> line = Dotted("red", np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    >>> ["".join(letter for letter, _ in row) for row in dotted([line], 4, 2)]
    ['  ⡠⠊', '⡠⠊  ']
    """
    bits, styles = np.zeros((height, width), dtype=int), np.full((height, width), "", dtype=object)
    for curve in curves:
        for column, row in places(curve, 2 * width, 4 * height):
            cell = row // 4, column // 2
            bits[cell] |= DOTS[row % 4][column % 2]
            styles[cell] = curve.style
    return [
        [(chr(0x2800 + bit) if bit else " ", style) for bit, style in zip(*row, strict=True)]
        for row in zip(bits.tolist(), styles.tolist(), strict=True)
    ]


def places(curve: Dotted, columns: int, rows: int) -> list[tuple[int, int]]:
    """Return the dots of a curve, as columns from the left and rows from the top; every column has one."""
    kept = np.isfinite(curve.y) & np.isfinite(curve.x)
    if not kept.any():
        return []
    x, y = curve.x[kept].clip(0, 1) * (columns - 1), curve.y[kept].clip(0, 1) * (rows - 1)
    across = np.arange(np.ceil(x.min()), np.floor(x.max()) + 1)
    up = np.interp(across, x, y)
    found = [(int(column), rows - 1 - round(float(height))) for column, height in zip(across, up, strict=True)]
    return steep(found)


def steep(found: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return dots with those between neighboring columns whose rows are apart.

    >>> steep([(0, 5), (1, 2)])
    [(0, 5), (1, 4), (1, 3), (1, 2)]
    """
    every: list[tuple[int, int]] = []
    for column, row in found:
        if every and abs(row - every[-1][1]) > 1:
            step = 1 if row > every[-1][1] else -1
            every += [(column, between) for between in range(every[-1][1] + step, row, step)]
        every.append((column, row))
    return every
