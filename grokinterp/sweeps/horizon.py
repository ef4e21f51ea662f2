"""The last step at which a run could have generalized: there, a run that has not is censored."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from grokinterp.phases import SUSTAINED
from grokinterp.sweeps.entry import ENDED


def horizon_of(experiment: Mapping[str, Any], status: Mapping[str, Any], steps: np.ndarray) -> int:
    """Return the last step at which generalization could have been observed: a window of evaluations before the end.

    A run that has ended is observed until its budget, even if it diverged, because it would not have generalized within
    the budget. An unfinished run is observed until its last evaluation.
    """
    if status.get("status") in ENDED:
        return planned_horizon(int(experiment["steps"]), int(experiment["evaluate_every"]))
    return horizon_at(steps)


def planned_horizon(budget: int, every: int) -> int:
    """Return the last step at which a run that takes all steps of its budget could have generalized.

    >>> planned_horizon(200, 10), planned_horizon(50, 10)
    (110, 0)
    """
    return horizon_at(evaluations(budget, every))


def evaluations(budget: int, every: int) -> np.ndarray:
    """Return the steps at which a run that takes all steps of its budget is evaluated.

    >>> evaluations(25, 10)
    array([ 0, 10, 20, 25])
    """
    return np.unique([*range(0, budget + 1, every), budget])


def horizon_at(steps: np.ndarray) -> int:
    """Return the first step of the last window of evaluations; 0 if there are too few."""
    return int(steps[-SUSTAINED.window]) if len(steps) >= SUSTAINED.window else 0
