"""Arbitrary binary operations, given by a table."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Int

from grokinterp.errors import ConfigError
from grokinterp.lazy import Tensor, torch
from grokinterp.maths.groups import Algebra, Group
from grokinterp.storage.files import path_of, read_regular
from grokinterp.tasks.task import BinaryTask

MOST_OPERANDS, MOST_CELLS, LARGEST_FILE = 1000, 100_000, 2**20
"""Bounds that keep a configuration, which holds the whole table, below 2^20 bytes."""

CELL = re.compile(r"-1|0?[0-9]{0,4}")
"""Pattern of the cells; it limits the largest class, since every class up to the largest is a network output."""


@dataclass(frozen=True, kw_only=True)
class Table(BinaryTask):
    """Line a, cell b of a CSV file is a ∘ b: classes counted from 0; a blank cell (or -1) is undefined.

    The file is read once. Afterwards ``rows`` holds its lines, ``source`` states their origin and ``path`` is None, so
    that the configuration alone defines the task. Empty lines at the end of the file are ignored. Lines and columns may
    differ in number; d_vocab is the larger number.

    Raises:
        ConfigError: if neither or both of path and rows are given, the file cannot be read, a cell is not an integer
            from -1 to 9,999, lines have unequal length, nothing is defined, or there are more than 1,000 lines or
            columns or 100,000 cells.

    >>> task = Table(rows=("0,1", "1,"))
    >>> task.tokens().tolist(), task.label().tolist()
    ([[0, 0], [0, 1], [1, 0]], [0, 1, 1])
    """

    about: ClassVar[str] = "a custom table, read from a CSV file of integers"
    kind: Literal["table"] = "table"
    path: str | None = None
    rows: tuple[str, ...] = field(default=(), repr=False)
    source: str | None = None

    def __post_init__(self) -> None:
        if self.path is None and not self.rows:
            raise ConfigError("path", None, "must be a CSV file of integers, one line per first operand")
        if self.path is not None and self.rows:
            raise ConfigError("path", self.path, f"the task already holds a table, read from {self.source}")
        if self.path is None:
            rows = _checked(self.rows, "rows", f"({len(self.rows)} lines)")
        else:
            rows = _checked(_read(self.path), "path", self.path)
            object.__setattr__(self, "source", self.path)
            object.__setattr__(self, "path", None)
        object.__setattr__(self, "rows", rows)

    @classmethod
    def from_array(cls, array: Sequence | np.ndarray | Tensor) -> "Table":
        """Return the table of a two-dimensional array of integers, -1 if undefined. Raises ConfigError."""
        try:
            cells = np.asarray(array.cpu() if isinstance(array, torch.Tensor) else array)
        except ValueError:
            raise ConfigError("table", type(array).__name__, "must have rows of equal length") from None
        shape = "x".join(map(str, cells.shape))
        if cells.ndim != 2 or cells.dtype.kind not in "iu":
            raise ConfigError("table", f"({shape} {cells.dtype})", "must be a two-dimensional array of integers")
        _check_size(*cells.shape, "table", f"({shape})")
        return cls(rows=tuple(",".join(map(str, row)) for row in cells.tolist()))

    @property
    def n_examples(self) -> int:
        return sum(cell >= 0 for row in self._cells for cell in row)

    @property
    def d_vocab(self) -> int:
        return max(len(self._cells), len(self._cells[0]))

    @property
    def n_classes(self) -> int:
        return max(map(max, self._cells)) + 1

    def table(self) -> Int[Tensor, "a b"]:
        return torch.tensor(self._cells)

    @cached_property
    def _cells(self) -> list[list[int]]:
        return [[int(cell or -1) for cell in row.split(",")] for row in self.rows]

    @cached_property
    def algebra(self) -> Algebra | None:
        """The group with this table up to independent renaming of operands and classes, or None."""
        return _isotopic_group(self._table)


def _read(path: str) -> list[str]:
    """Return the lines of a text file, without empty lines at its end."""
    try:
        content = read_regular(path_of("path", path), limit=LARGEST_FILE)
    except OSError as error:
        raise ConfigError("path", path, (error.strerror or "cannot be read").lower()) from None
    except ValueError as error:
        raise error if isinstance(error, ConfigError) else ConfigError("path", path, str(error)) from None
    return content.decode("utf-8-sig", errors="replace").rstrip("\r\n").splitlines()


def _checked(lines: Sequence[str], key: str, value: str) -> tuple[str, ...]:
    """Return the lines in normal form: no spaces, no leading zeros, undefined cells blank."""
    table = [[cell.strip() for cell in line.split(",")] for line in lines]
    columns = len(table[0]) if table else 0
    _check_size(len(table), columns, key, value)
    for number, row in enumerate(table, 1):
        if len(row) != columns:
            raise ConfigError(key, value, f"line {number} has {len(row)} cells, line 1 has {columns}")
        for column, cell in enumerate(row, 1):
            if not CELL.fullmatch(cell):
                rule = f"{cell[:20]!r} must be blank or an integer from 0 to 9999"
                raise ConfigError(key, value, f"line {number}, column {column}: {rule}")
    if all(cell in ("", "-1") for row in table for cell in row):
        raise ConfigError(key, value, "has no defined cell")
    return tuple(",".join("" if cell in ("", "-1") else str(int(cell)) for cell in row) for row in table)


def _check_size(rows: int, columns: int, key: str, value: str) -> None:
    if not (1 <= rows <= MOST_OPERANDS and 1 <= columns <= MOST_OPERANDS and rows * columns <= MOST_CELLS):
        rule = f"at most {MOST_OPERANDS} lines, {MOST_OPERANDS} columns and {MOST_CELLS} cells"
        raise ConfigError(key, value, f"has {rows} lines of {columns} cells; {rule}, at least one")


def _isotopic_group(table: Int[Tensor, "a b"]) -> Algebra | None:
    """Find the group with left[a] · right[b] = a ∘ b, where left and right are a column and a row of the table.

    In a Latin square, (a ∘ f) · (e ∘ b) = a ∘ b defines a product with identity e ∘ f. If the square is a renaming of a
    group's table, that product is isomorphic to the group for any e and f; if the operation has an identity, it is
    used, so that operands keep their names.

    Lines and columns without any class are skipped, since first and second operands may use different tokens.

    Source: Albert 1943, Quasigroups I.
    """
    rows, columns = ((table >= 0).any(axis).nonzero().flatten() for axis in (1, 0))
    square, classes = table[rows][:, columns], table[table >= 0].unique()
    n = len(classes)
    if square.shape != (n, n) or any((lines.sort(1).values != classes).any() for lines in (square, square.T)):
        return None
    own = ((square == columns).all(1) & (rows == square.T).all(1)).nonzero().flatten().tolist()
    identity = own[0] if own else 0
    left, right = (
        torch.searchsorted(classes, square[:, identity].contiguous()),
        torch.searchsorted(classes, square[identity]),
    )
    product = torch.empty_like(square)
    product[left[:, None], right] = torch.searchsorted(classes, square)
    if any((product[product[:, z]] != product[:, product[z]]).any() for z in range(n)):
        return None
    group = Group("table", product, tuple(map(str, classes.tolist())))
    tokens, outputs = max(table.shape), int(classes[-1]) + 1
    operands = (_placed(left, rows, tokens), _placed(right, columns, tokens))
    return Algebra(group, operands, _placed(torch.arange(n), classes, outputs))


def _placed(elements: Int[Tensor, "x"], at: Int[Tensor, "x"], size: int) -> Int[Tensor, "token"]:
    """Return the element that each token or class represents, -1 if it represents none.

    >>> _placed(torch.tensor([0, 1]), torch.tensor([2, 0]), 4).tolist()
    [1, -1, 0, -1]
    """
    return torch.full((size,), -1).index_put((at,), elements)
