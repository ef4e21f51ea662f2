"""Instabilities: loss spikes, slingshots, dips and relapses, each excursion as one event."""

import math
from statistics import median_high
from typing import NamedTuple

import numpy as np

from grokinterp.phases.curves import Curves
from grokinterp.phases.phase import Event
from grokinterp.phases.signals import Signals

JUMP, RECOVERED = 10.0, 3.0  # a spike begins above 10 times the running level and is over below 3 times
FLOOR = 1e-4  # a loss below this is not a spike, however low the level was
MEMORY, ENOUGH = 10, 3  # the running level is the median of the last 10 calm evaluations, once there are 3
LONGEST = 100  # evaluations after which a loss that stays high sets a new running level
LONGEST_DIP = 2  # a fall of the test accuracy that lasts for more evaluations is a relapse, however shallow
NORM_GROWTH = 1.01  # a slingshot raises the sum of squares of the weights by more than 1 %


class Excursion(NamedTuple):
    """An excursion over evaluations ``start`` to ``stop - 1``, with its description."""

    start: int
    stop: int
    detail: str
    in_train: bool


def loss_events(curves: Curves, memorized: int) -> list[Event]:
    """Return the loss spikes and slingshots of a run.

    A spike is an excursion of the train or test loss above 10 times its running level that returns below 3 times
    that level; simultaneous spikes of both losses are one event. It is a slingshot if it includes the train loss and
    the weight norm grows during it. The test loss counts only from index ``memorized``, since memorization raises it.

    Source: Thilak et al. 2022 (slingshots); the numbers are this package's.
    """
    found = [] if curves.train_loss is None else _spikes(curves.train_loss, 0, "train")
    found += [] if curves.test_loss is None else _spikes(curves.test_loss, memorized, "test")
    return [_loss_event(curves, excursion) for excursion in _merged(sorted(found))]


def _spikes(loss: np.ndarray, begin: int, split: str) -> list[Excursion]:
    """Return the excursions of a loss from index ``begin``; NaN is skipped, infinity counts as a large loss."""
    calm: list[float] = []
    spikes: list[Excursion] = []
    start, level = None, 0.0
    for i, value in enumerate(loss.tolist()):
        if i < begin or math.isnan(value):
            continue
        if start is None:
            level = median_high(calm[-MEMORY:]) if len(calm) >= ENOUGH else math.inf
            start = i if value > max(JUMP * level, FLOOR) else None
        elif value <= max(RECOVERED * level, FLOOR):
            spikes.append(Excursion(start, i, _height(loss[start:i], level, split), split == "train"))
            start = None
        elif i - start >= LONGEST:
            start, calm = None, []
        if start is None:
            calm.append(value)
    return spikes


def _height(loss: np.ndarray, level: float, split: str) -> str:
    return f"{split} loss from {level:.2g} to {np.nanmax(loss):.2g}"


def _merged(excursions: list[Excursion]) -> list[Excursion]:
    """Merge overlapping excursions."""
    merged: list[Excursion] = []
    for new in excursions:
        if merged and new.start < merged[-1].stop:
            old = merged.pop()
            detail, in_train = f"{old.detail}, {new.detail}", old.in_train or new.in_train
            new = Excursion(old.start, max(old.stop, new.stop), detail, in_train)
        merged.append(new)
    return merged


def _loss_event(curves: Curves, excursion: Excursion) -> Event:
    start, stop, detail, in_train = excursion
    detail += f", back by step {curves.steps[stop]:,}"
    growth = _norm_growth(curves.weight_norm, start, stop)
    if in_train and growth > NORM_GROWTH:
        return Event("slingshot", int(curves.steps[start]), f"{detail}, weight norm up by {growth - 1:.1%}")
    return Event("loss spike", int(curves.steps[start]), detail)


def _norm_growth(norm: np.ndarray | None, start: int, stop: int) -> float:
    """Return the ratio of the largest weight norm in an excursion, its end included, to the last norm before it."""
    if norm is None or not start or not norm[start - 1] > 0:
        return 1.0
    over = norm[start : stop + 1]
    return float(np.max(over[np.isfinite(over)], initial=0.0)) / float(norm[start - 1])


def falls(steps: np.ndarray, signals: Signals, since: int) -> list[Event]:
    """Return each fall below the threshold after index ``since``, at which generalization began.

    A fall is a relapse if the network fails on the test set or the fall lasts for more than two evaluations, and a
    dip otherwise.
    """
    fallen = np.flatnonzero(~signals.generalizes[since : len(steps)]) + since
    if not fallen.size:
        return []
    groups = np.split(fallen, np.flatnonzero(np.diff(fallen) > 1) + 1)
    return [_fall(steps, signals, int(group[0]), int(group[-1]) + 1) for group in groups]


def _fall(steps: np.ndarray, signals: Signals, start: int, stop: int) -> Event:
    detail = f"test {signals.measure} at {signals.worst(signals.test[start:stop]):.3g}"
    end = f"back at step {steps[stop]:,}" if stop < len(steps) else f"not back by the last evaluation, {steps[-1]:,}"
    far = bool(signals.failing[start:stop].any()) or stop - start > LONGEST_DIP
    return Event("relapse" if far else "dip", int(steps[start]), f"{detail}, {end}")
