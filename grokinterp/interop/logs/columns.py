"""Which columns of a log are the curves: by the meaning of their names, or as the user says."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from grokinterp.errors import ConfigError
from grokinterp.interop.logs.names import Meaning, is_norm, meaning
from grokinterp.interop.logs.table import Table
from grokinterp.interop.text_files import ForeignFileError, listed

CURVES = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")
OURS = (*CURVES, "weight_norm", "step", "run")
"""What ``--column OURS=THEIRS`` may name."""

HELD_OUT = ("test", "validation")
"""Splits that stand for the test set, the first one that is there."""


class Choice(NamedTuple):
    """The columns of one run: theirs by our names, its label, and what had to be decided."""

    columns: dict[str, str]
    run: str
    notes: tuple[str, ...]


def given_columns(assignments: Sequence[str]) -> dict[str, str]:
    """The user's ``OURS=THEIRS`` as a mapping.

    >>> given_columns(["test_accuracy=val/acc1", "step=t"])
    {'test_accuracy': 'val/acc1', 'step': 't'}

    Raises:
        ConfigError: no "=", a name that is none of ours, a name twice.
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
    """The curves of a table: of one run, or of several whose columns stand side by side under names of their own."""
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
    """The qualifiers of the columns to read, one for each run.

    Those without any, if there are such columns with both splits of a quantity; else every set of qualifiers that has
    both splits, each a run; else none, or the only one there is.
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
    """Train or test; a quantity of no split is that of training, as Keras writes it."""
    return "test" if found.split in HELD_OUT else "train"


def _unit(found: Meaning) -> str:
    return "loss" if found.quantity == "loss" else "accuracy"


def _picked(free: Mapping[str, Meaning], qualifiers: tuple[str, ...]) -> tuple[dict[str, str], list[str]]:
    """The columns with these qualifiers by our names, and what was decided between several."""
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
            notes.append(f"{ours} could be {names} and is not read: say --column {ours}=NAME")
        elif first:
            columns[ours] = first[0]
            if rest := [name for name in fits if name != first[0]]:
                notes.append(f"{ours} is read from {first[0]!r}, not from {' or '.join(map(repr, rest))}")
            if free[first[0]].split is None:
                notes.append(f"{first[0]!r}, which names no split, is read as {ours}")
    return columns, notes


def _order(found: Meaning) -> tuple[int, int]:
    """The first one counts: a named split before none, test before validation, the loss before a cross-entropy."""
    order = ("train", "test", "validation", None)
    return order.index(found.split), found.rank


def _qualified(columns: Mapping[str, str]) -> list[str]:
    return [
        f"{ours} is read from {theirs!r}"
        for ours, theirs in columns.items()
        if (found := meaning(theirs)) is not None and found.qualifiers
    ]


def require_pair(columns: Collection[str], source: Path, names: Sequence[str], notes: Sequence[str]) -> None:
    """Raise ForeignFileError unless both losses or both accuracies are there."""
    ambiguous = [note for note in notes if "could be" in note]
    hint = "; ".join(ambiguous) or f"it has {listed(names)}; say --column OURS=NAME if a name is not recognized"
    for split in ("train", "test"):
        if not {f"{split}_loss", f"{split}_accuracy"} & {*columns}:
            raise ForeignFileError(source, f"has no {split} loss and no {split} accuracy; {hint}")
    if not ({"train_loss", "test_loss"} <= {*columns} or {"train_accuracy", "test_accuracy"} <= {*columns}):
        raise ForeignFileError(source, f"must have both losses or both accuracies; {hint}")
