"""The verdict of a run in one sentence with its numbers."""

import numpy as np

from grokinterp.phases.curves import Curves, Measures
from grokinterp.phases.phase import Verdict
from grokinterp.phases.signals import Signals


def tell(
    verdict: Verdict,
    curves: Curves,
    measures: Measures | None,
    signals: Signals,
    *,
    memorized: int | None,
    generalized: int | None,
) -> str:
    """The sentence; `memorized` and `generalized` are indices of evaluations."""
    parts = [_memorization(curves.steps, signals, memorized)]
    if generalized is None:
        parts.append(_no_generalization(curves.steps, signals))
    else:
        parts.append(_generalization(curves.steps, signals, memorized, generalized))
        parts += _measured(curves.steps, measures, memorized, generalized)
        parts.append(_end(curves.steps, signals))
    parts += _not_finite(curves)
    return f"{verdict[0].upper()}{verdict[1:]}: {'; '.join(parts)}."


def _memorization(steps: np.ndarray, signals: Signals, memorized: int | None) -> str:
    if memorized is not None:
        return f"{signals.memorizes} at step {steps[memorized]}"
    best = -signals.worst(-signals.train)
    return f"train {signals.measure} came to {best:.3g} at best in the {steps[-1] - steps[0]} steps recorded"


def _generalization(steps: np.ndarray, signals: Signals, memorized: int | None, generalized: int) -> str:
    text = f"{signals.generalizing} held from step {steps[generalized]}"
    if memorized is None or memorized >= generalized:
        return text
    ratio = (steps[generalized] - steps[0]) / max(steps[memorized] - steps[0], 1)
    times = f", {ratio:.3g} times as late," if memorized else ","
    return f"{text}{times} up from {signals.test[memorized]:.3g}"


def _no_generalization(steps: np.ndarray, signals: Signals) -> str:
    best, last = -signals.worst(-signals.test), signals.test[-1]
    text = f"test {signals.measure} came to {best:.3g} at best and was {last:.3g} at the last evaluation, {steps[-1]}"
    streak = int(np.argmin(signals.generalizes[::-1])) if not signals.generalizes.all() else len(steps)
    return f"{text}, the {streak} last evaluations generalize: too few to establish it" if streak else text


def _end(steps: np.ndarray, signals: Signals) -> str:
    value = f"test {signals.measure} was {signals.test[-1]:.3g} at the end, step {steps[-1]}"
    if signals.generalizes[-1]:
        return value
    return f"{value}, after step {steps[np.flatnonzero(signals.generalizes)[-1]]} had the last good one"


def _measured(steps: np.ndarray, measures: Measures | None, memorized: int | None, generalized: int) -> list[str]:
    """How the progress measures went from memorization to generalization."""
    if measures is None or memorized is None or memorized >= generalized:
        return []
    first, last = np.searchsorted(measures.steps, steps[[memorized, generalized]]).clip(max=len(measures.steps) - 1)
    columns = {"restricted": measures.restricted_loss, "excluded": measures.excluded_loss}
    moves = [
        f"the {name} loss went from {loss[first]:.2g} to {loss[last]:.2g}"
        for name, loss in columns.items()
        if loss is not None
    ]
    return [f"by then {' and '.join(moves)}"] if moves else []


def _not_finite(curves: Curves) -> list[str]:
    """Where the train loss stopped being a finite number, if it ends so."""
    loss = curves.train_loss
    if loss is None or np.isfinite(loss[-1]):
        return []
    finite = np.flatnonzero(np.isfinite(loss))
    return [f"the train loss is not finite after step {curves.steps[finite[-1]]}" if finite.size else "no finite loss"]
