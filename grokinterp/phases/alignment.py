"""Alignment of curves that were recorded at different steps."""

import numpy as np

from grokinterp.phases.curves import Curves


def aligned(curves: Curves) -> Curves:
    """Restrict curves to the evaluations of the train or test curve, whichever was recorded less often.

    These are the accuracies, or the losses if either accuracy is missing. Every other column takes its value at that
    step or, if it has none, its last value before that step, provided that the value is no older than the column's
    longest interval. Curves that were all recorded at the same steps are unchanged.

    >>> sparse = Curves(steps=[0, 1, 2, 3], train_loss=[3, 2, 1, 0], test_loss=[4, np.nan, 5, np.nan])
    >>> aligned(sparse).steps, aligned(sparse).train_loss
    (array([0, 2]), array([3., 1.]))
    """
    names = ("train_accuracy", "test_accuracy")
    if any(getattr(curves, name) is None for name in names):
        names = ("train_loss", "test_loss")
    pair = [getattr(curves, name) for name in names]
    if any(column is None for column in pair):
        return curves
    kept = ~np.isnan(min(pair, key=lambda column: int((~np.isnan(column)).sum())))
    columns = {name: column for name in Curves.columns if (column := getattr(curves, name)) is not None}
    shared = {name: _carried(curves.steps, column)[kept] for name, column in columns.items()}
    return Curves(steps=curves.steps[kept], n_test=curves.n_test, chance=curves.chance, **shared)


def _carried(steps: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Fill each gap of a column with the last value before it, for at most the column's longest interval."""
    known = np.flatnonzero(~np.isnan(column))
    longest = np.diff(steps[known]).max(initial=0)
    place = np.searchsorted(known, np.arange(len(steps)), side="right") - 1
    source = known[place.clip(min=0)]
    valid = (place >= 0) & (steps - steps[source] <= longest)
    return np.where(valid, column[source], np.nan)
