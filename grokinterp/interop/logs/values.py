"""Conversion to losses in nats and accuracies in [0, 1]: percentages, errors, and values that can be neither."""

from collections.abc import Mapping

import numpy as np

from grokinterp.interop.logs.names import meaning
from grokinterp.interop.logs.steps import Series
from grokinterp.interop.logs.table import Table
from grokinterp.interop.text_files import ForeignFileError

ROUNDING = 1e-5
"""Distance by which float32 rounding may put an accuracy outside [0, 1], or a loss below 0."""

SURE = 2.0
"""Accuracies that reach this are percentages; between 1 and this they may be erroneous shares."""


def checked(
    curves: Mapping[str, Series], columns: Mapping[str, str], table: Table, *, percent: bool
) -> dict[str, Series]:
    """Return the curves in this package's units.

    Raises:
        ForeignFileError: if a cell is not a number, a loss is below 0, or an accuracy is neither share nor percentage.
    """
    for theirs in columns.values():
        if theirs in table.bad:
            row, text = table.bad[theirs]
            raise ForeignFileError(table.source, f"{theirs} is not a number in row {row}: {text!r}")
    shares = {ours: curves[ours] for ours in curves if ours.endswith("accuracy")}
    scale = _scale(shares, columns, table, percent=percent)
    found = {}
    for ours, (steps, values) in curves.items():
        theirs = columns[ours]
        if ours in shares:
            found[ours] = Series(steps, _share(values / scale, theirs, table))
        elif ours == "weight_norm":
            found[ours] = Series(steps, values if "squared" in theirs else values**2)
        else:
            found[ours] = Series(steps, _loss(values, theirs, table))
    return found


def _scale(shares: Mapping[str, Series], columns: Mapping[str, str], table: Table, *, percent: bool) -> float:
    """Return 100 for percentages, 1 for shares: the same for all accuracies, since a column up to .9 may be either."""
    if not shares:
        return 1.0
    tops = {columns[ours]: float(np.nanmax(series.values, initial=0.0)) for ours, series in shares.items()}
    theirs, top = max(tops.items(), key=lambda item: item[1])
    highest = next(series.values for ours, series in shares.items() if columns[ours] == theirs)
    named = any((found := meaning(name)) is not None and found.percent for name in tops)
    if percent or named or table.percents & {*tops}:
        return 100.0
    if top <= 1 + ROUNDING:
        return 1.0
    if not SURE <= top <= 100 * (1 + ROUNDING):
        row = table.file_row(int(np.nanargmax(highest))) if highest.size else 1
        why = f"{theirs} reaches {top:g} in row {row}: accuracies must be shares up to 1 or percentages up to 100"
        raise ForeignFileError(table.source, why + ("; give --percent if they are percentages" if top < SURE else ""))
    low = [name for name, each in tops.items() if each <= 1]
    extra = f", including {' and '.join(low)}, which never exceeds 1" if low else ""
    table.notes.append(f"accuracies are percentages{extra}, since {theirs} reaches {top:g}")
    return 100.0


def _share(values: np.ndarray, name: str, table: Table) -> np.ndarray:
    wrong = (values < -ROUNDING) | (values > 1 + ROUNDING)
    if wrong.any():
        row = int(wrong.argmax())
        raise ForeignFileError(
            table.source, f"{name} is {values[row]:g} in row {table.file_row(row)}: accuracies must be from 0 to 1"
        )
    values = values.clip(0, 1)
    found = meaning(name)
    if found is None or found.quantity != "error":
        return values
    table.notes.append(f"accuracy is one minus {name}")
    return 1 - values


def _loss(values: np.ndarray, name: str, table: Table) -> np.ndarray:
    wrong = values < -ROUNDING
    if wrong.any():
        row = int(wrong.argmax())
        why = "its logarithm" if np.isfinite(values[row]) else "a logarithm of 0"
        raise ForeignFileError(
            table.source,
            f"{name} is {values[row]:g} in row {table.file_row(row)}: losses must be at least 0; is it {why}?",
        )
    return values.clip(min=0)
