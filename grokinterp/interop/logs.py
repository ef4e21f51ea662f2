"""Training logs that other people wrote: their columns by common names, and the phases they tell of."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from grokinterp.interop.files import ForeignFileError, listed, read_rows, read_torch
from grokinterp.interop.release import Curves, sorted_curves
from grokinterp.phases import Curves as PhaseCurves
from grokinterp.phases import History, find_phases

STEPS = re.compile("(global_?)?(epochs?|steps?|iterations?|iters?|updates?)")

LOSS, ACCURACY = "loss(es)?|nll", "acc(s|uracy|uracies)?"
TRAIN, TEST, VALIDATION = "train(ing)?", "test(ing)?|held_?out", "val(id(ation)?)?|eval(uation)?"

COLUMNS = {
    name: [re.compile(f"({split})_?({kind})|({kind})_?({split})") for split in splits]
    for name, kind, splits in (
        ("train_loss", LOSS, (TRAIN,)),
        ("test_loss", LOSS, (TEST, VALIDATION)),
        ("train_accuracy", ACCURACY, (TRAIN,)),
        ("test_accuracy", ACCURACY, (TEST, VALIDATION)),
    )
} | {"weight_norm": [re.compile("sum_of_squared_weights")]}
"""What a column may be called, in small letters with everything else as ``_``; the first pattern wins."""


def date_log(path: str | Path) -> History:
    """The phases of a training log.

    Args:
        path: a CSV file with a line of names, its rows in any order; or a .pth file that holds lists of
            losses or accuracies, one value for each of its ``epochs`` or, without these, for each step from 0.

    Raises:
        ForeignFileError: no such file, or a column is missing; the message lists those there are.
        ConfigError: steps that are no whole numbers.
    """
    curves = read_log(Path(path))
    columns = {name: values for name, values in curves.items() if name != "step"}
    return find_phases(PhaseCurves(steps=curves["step"], **columns))


def read_log(path: Path) -> Curves:
    """The known columns of a log in the order of its steps. Raises ForeignFileError as ``date_log``."""
    if path.suffix in (".pth", ".pt"):
        found = series(read_torch(path))
        steps = pick(found, [STEPS])
    else:
        rows = read_rows(path)
        found = {name: [row[name] for row in rows] for name in rows[0] if isinstance(name, str)}
        steps = pick(found, [STEPS])
        if steps is None:
            raise ForeignFileError(path, f"has no column of steps such as epoch or step; it has {listed(found)}")
    return known_columns(found, steps, path)


def known_columns(found: Mapping[str, Sequence[Any]], steps: str | None, path: Path) -> Curves:
    """The columns with a known name, as numbers. Raises ForeignFileError."""
    names = {ours: theirs for ours, patterns in COLUMNS.items() if (theirs := pick(found, patterns)) is not None}
    columns = {ours: numbers(found[theirs], theirs, path) for ours, theirs in names.items()}
    length = max(map(len, columns.values()), default=0)
    axis = [float(step) for step in range(length)] if steps is None else numbers(found[steps], steps, path)
    for ours, column in columns.items():
        if len(column) != len(axis):
            raise ForeignFileError(path, f"{names[ours]} has {len(column)} values for {len(axis)} steps")
        if ours.endswith("accuracy") and max((value for value in column if value == value), default=0) > 1:
            columns[ours] = [value / 100 for value in column]
    curves = sorted_curves(axis, columns)
    if curves and not curves["step"]:
        raise ForeignFileError(path, "has no row with a step")
    for split in ("train", "test"):
        if not {f"{split}_loss", f"{split}_accuracy"} & curves.keys():
            raise ForeignFileError(path, f"has no {split} loss and no {split} accuracy; it has {listed(found)}")
    if not ({"train_loss", "test_loss"} <= curves.keys() or {"train_accuracy", "test_accuracy"} <= curves.keys()):
        raise ForeignFileError(path, f"must have both losses or both accuracies; it has {listed(found)}")
    return curves


def pick(names: Iterable[str], patterns: Sequence[re.Pattern[str]]) -> str | None:
    """The first name that is spelled like the first pattern that any is.

    >>> pick(["epoch", "Val Loss", "test/loss"], COLUMNS["test_loss"])
    'test/loss'
    """
    for pattern in patterns:
        for name in names:
            if pattern.fullmatch(re.sub("[^a-z0-9]+", "_", name.lower()).strip("_")):
                return name
    return None


def series(content: Any) -> dict[str, list[Any]]:
    """Lists of numbers by name, in a dict or the dicts inside it.

    >>> series({"losses": {"train_losses": [1.0, 0.5]}, "epoch": 2})
    {'train_losses': [1.0, 0.5]}
    """
    found: dict[str, list[Any]] = {}
    for name, value in content.items() if isinstance(content, Mapping) else ():
        if isinstance(value, Mapping):
            found |= {key: inner for key, inner in series(value).items() if key not in found}
        elif isinstance(value, Tensor) and value.ndim == 1:
            found[str(name)] = value.tolist()
        elif isinstance(value, list | tuple) and value and all(isinstance(x, int | float | Tensor) for x in value):
            found[str(name)] = list(value)
    return found


def numbers(column: Sequence[Any], name: str, path: Path) -> list[float]:
    """A column as numbers, NaN where a cell is empty. Raises ForeignFileError."""
    read = []
    for row, cell in enumerate(column, 1):
        try:
            read.append(
                math.nan if cell in ("", None, "None") else float(cell.detach() if isinstance(cell, Tensor) else cell)
            )
        except (ValueError, TypeError, RuntimeError):
            raise ForeignFileError(path, f"{name} is no number in row {row}: {str(cell)[:40]!r}") from None
    return read
