"""Selection of the curves among the columns of a log, by the meaning of their names or by the user's choice."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from grokinterp.errors import ConfigError
from grokinterp.interop.logs.names import Meaning, is_norm, meaning
from grokinterp.interop.logs.table import Table
from grokinterp.interop.text_files import ForeignFileError, listed

CURVES = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")
OURS = (*CURVES, "weight_norm", "step", "run")
"""Names that ``--column OURS=THEIRS`` may map."""

HELD_OUT = ("test", "validation")
"""Splits that serve as the test set; the first one present is used."""


class Choice(NamedTuple):
    """The columns of a run: their names by this package's names, the label of the run, and notes on choices."""

    columns: dict[str, str]
    run: str
    notes: tuple[str, ...]


def given_columns(assignments: Sequence[str]) -> dict[str, str]:
    """Parse the user's ``OURS=THEIRS`` into a mapping.

    >>> given_columns(["test_accuracy=val/acc1", "step=t"])
    {'test_accuracy': 'val/acc1', 'step': 't'}

    Raises:
        ConfigError: if "=" is missing, a name is unknown, or a name occurs twice.
    """
    found: dict[str, str] = {}
    for text in assignments:
        ours, equals, theirs = text.partition("=")
        if not equals or not theirs or ours not in OURS:
            raise ConfigError("column", text, f"must be OURS=THEIRS, with OURS one of {', '.join(OURS)}")
        if ours in found:
            raise ConfigError("column", text, f"{ours} is already {found[ours]}")
        found[ours] = theirs
    return found


def choose(table: Table, given: Mapping[str, str]) -> list[Choice]:
    """Select the curves of a table, of a single run or of several runs whose columns are side by side."""
    free = {name: found for name in table.columns if name not in given.values() and (found := meaning(name))}
    norm = next(filter(is_norm, table.columns), None)
    fixed = {} if norm is None else {"weight_norm": norm}
    fixed |= {ours: theirs for ours, theirs in given.items() if ours in (*CURVES, "weight_norm")}
    choices = []
    groups = _groups(free)
    for qualifiers in groups:
        columns, notes = _picked(free, qualifiers)
        notes += _qualified(columns) if len(groups) == 1 else []
        choices.append(Choice(columns | fixed, " ".join(qualifiers) if len(groups) > 1 else "", tuple(notes)))
    return choices


def _groups(free: Mapping[str, Meaning]) -> list[tuple[str, ...]]:
    """Return the qualifiers of the columns to read, one set for each run.

    The set without qualifiers is used if it has both splits of a quantity; otherwise every set of qualifiers that has
    both splits is a run; otherwise the empty set, or the only set present.
    """
    found = list(dict.fromkeys(each.qualifiers for each in free.values()))
    complete = [qualifiers for qualifiers in found if _is_complete(free, qualifiers)]
    if () in complete or not (complete or len(found) == 1):
        return [()]
    return complete or found


def _is_complete(free: Mapping[str, Meaning], qualifiers: tuple[str, ...]) -> bool:
    found = {f"{_side(each)}_{_unit(each)}" for each in free.values() if each.qualifiers == qualifiers}
    return any({f"train_{unit}", f"test_{unit}"} <= found for unit in ("loss", "accuracy"))


def _side(found: Meaning) -> str:
    """Return train or test; a quantity without a split belongs to training, as in Keras."""
    return "test" if found.split in HELD_OUT else "train"


def _unit(found: Meaning) -> str:
    return "loss" if found.quantity == "loss" else "accuracy"


def _picked(free: Mapping[str, Meaning], qualifiers: tuple[str, ...]) -> tuple[dict[str, str], list[str]]:
    """Return the columns with these qualifiers by this package's names, and notes on choices between several."""
    columns, notes = {}, []
    for ours in CURVES:
        fits = {
            name: _order(found)
            for name, found in free.items()
            if found.qualifiers == qualifiers and f"{_side(found)}_{_unit(found)}" == ours
        }
        first = [name for name, order in fits.items() if order == min(fits.values())]
        if len(first) > 1:
            names = " or ".join(map(repr, first))
            notes.append(f"{ours} could be {names} and is not read: give --column {ours}=NAME")
        elif first:
            columns[ours] = first[0]
            if rest := [name for name in fits if name != first[0]]:
                notes.append(f"{ours} is read from {first[0]!r}, not from {' or '.join(map(repr, rest))}")
            if free[first[0]].split is None:
                notes.append(f"{first[0]!r}, which names no split, is read as {ours}")
    return columns, notes


def _order(found: Meaning) -> tuple[int, int]:
    """Return the sort key: a named split first, test before validation, a loss before a cross-entropy."""
    order = ("train", "test", "validation", None)
    return order.index(found.split), found.rank


def _qualified(columns: Mapping[str, str]) -> list[str]:
    return [
        f"{ours} is read from {theirs!r}"
        for ours, theirs in columns.items()
        if (found := meaning(theirs)) is not None and found.qualifiers
    ]


def require_pair(columns: Collection[str], source: Path, names: Sequence[str], notes: Sequence[str]) -> None:
    """Raise ForeignFileError unless both losses or both accuracies are present."""
    ambiguous = [note for note in notes if "could be" in note]
    hint = "; ".join(ambiguous) or f"it has {listed(names)}; give --column OURS=NAME if a name is not recognized"
    for split in ("train", "test"):
        if not {f"{split}_loss", f"{split}_accuracy"} & {*columns}:
            raise ForeignFileError(source, f"has no {split} loss and no {split} accuracy; {hint}")
    if not ({"train_loss", "test_loss"} <= {*columns} or {"train_accuracy", "test_accuracy"} <= {*columns}):
        raise ForeignFileError(source, f"must have both losses or both accuracies; {hint}")
