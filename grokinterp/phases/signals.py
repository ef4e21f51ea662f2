"""State of a run at each evaluation: memorized, failing on the test set, generalizing."""

from typing import NamedTuple

import numpy as np

from grokinterp.errors import ConfigError
from grokinterp.phases.curves import Curves
from grokinterp.phases.detector import SustainedRule

FITTED_LOSS = 0.1  # nats; the geometric mean probability of the correct answer is exp(-0.1) = 0.905
FAILING_LOSS = float(np.log(2))  # the correct answer has probability below 1/2, the counterpart of accuracy 1/2
DEEP = 0.1  # a fall is deep if the accuracy is this far below the threshold, or the loss fails


class Levels(NamedTuple):
    """Values that separate the states.

    Attributes:
        fitted: train value from which the training set is memorized.
        unlearned: train value beyond which it no longer is.
        failing: test value beyond which the network fails.
        generalizes: test value from which the network generalizes.
        tolerance: distance below ``generalizes`` that still passes for the test accuracy: one standard error.
    """

    fitted: float
    unlearned: float
    failing: float
    generalizes: float
    tolerance: float


class Signals(NamedTuple):
    """Flags at each evaluation, and the curves from which they were computed.

    Attributes:
        fitted: the network fits the training set.
        unlearned: the network is clearly below fitting the training set.
        failing: the network fails on the test set.
        generalizes: the network generalizes, within the tolerance; not the negation of ``failing``.
        exact: the network generalizes without tolerance, for the sustained rule.
        deep: the network is far from generalizing.
        train: train accuracy, or train loss.
        test: test accuracy, or test loss.
        levels: the values that separate the states.
        by_loss: whether the flags are computed from the losses.
    """

    fitted: np.ndarray
    unlearned: np.ndarray
    failing: np.ndarray
    generalizes: np.ndarray
    exact: np.ndarray
    deep: np.ndarray
    train: np.ndarray
    test: np.ndarray
    levels: Levels
    by_loss: bool

    @property
    def measure(self) -> str:
        """The quantity from which the flags were computed."""
        return "loss" if self.by_loss else "accuracy"

    def worst(self, values: np.ndarray) -> float:
        """Return the value furthest from generalizing, or NaN if no value was recorded."""
        known = values[~np.isnan(values)]
        return float(np.nan if not known.size else known.max() if self.by_loss else known.min())

    def best(self, values: np.ndarray) -> float:
        """Return the value closest to generalizing, or NaN if no value was recorded."""
        return -self.worst(-values)


def read_signals(curves: Curves, rule: SustainedRule) -> Signals:
    """Compute the flags from the accuracies, or from the losses if either accuracy is missing.

    A network generalizes if its test accuracy is at least the threshold minus one standard error of an accuracy on
    ``curves.n_test`` examples, sqrt(threshold (1 - threshold) / n_test). If that number is unknown, the threshold is
    exact. A network fails below test accuracy 0.5, or below ``failing_level`` if the accuracy of guessing is known.

    By losses, a network is memorized if train loss < 0.1, unlearned if train loss > ln 2, generalizing if test
    loss < 0.1 and failing if test loss > ln 2. Losses that begin below ln 2 are not cross-entropies at chance: all
    levels are then scaled by first loss / ln 2. A value that was not recorded passes no threshold.

    Raises:
        ConfigError: if the curves have neither both accuracies nor both losses.
    """
    train, test = curves.train_accuracy, curves.test_accuracy
    if train is not None and test is not None:
        return _by_accuracy(train, test, curves, rule)
    train, test = curves.train_loss, curves.test_loss
    if train is None or test is None:
        raise ConfigError("curves", f"{len(curves.steps)} evaluations", "must have both accuracies or both losses")
    scale = _scale(train, test)
    levels = Levels(FITTED_LOSS * scale, FAILING_LOSS * scale, FAILING_LOSS * scale, FITTED_LOSS * scale, 0.0)
    generalizes, fails = test < levels.generalizes, test > levels.failing
    return Signals(train < levels.fitted, train > levels.unlearned, fails, generalizes, generalizes, fails,
                   train, test, levels, by_loss=True)  # fmt: skip


def _scale(train: np.ndarray, test: np.ndarray) -> float:
    """Return the larger first loss divided by ln 2, at most 1."""
    first = [loss[np.isfinite(loss)][0] for loss in (train, test) if np.isfinite(loss).any()]
    largest = max(first, default=FAILING_LOSS)
    return float(min(1.0, largest / FAILING_LOSS)) if largest > 0 else 1.0


def _by_accuracy(train: np.ndarray, test: np.ndarray, curves: Curves, rule: SustainedRule) -> Signals:
    tolerance = standard_error(rule.threshold, curves.n_test)
    failing = min(failing_level(rule.failing, curves.chance), rule.threshold)
    levels = Levels(rule.memorized, min(rule.threshold, rule.memorized), failing, rule.threshold, tolerance)
    return Signals(
        fitted=train >= levels.fitted,
        unlearned=train < levels.unlearned,
        failing=test < levels.failing,
        generalizes=test >= levels.generalizes - tolerance,
        exact=test >= levels.generalizes,
        deep=test < levels.generalizes - DEEP - tolerance,
        train=train,
        test=test,
        levels=levels,
        by_loss=False,
    )


def failing_level(failing: float, chance: float | None) -> float:
    """Return the test accuracy below which a network fails, rescaled from [0, 1] to [chance, 1].

    >>> failing_level(0.5, None), failing_level(0.5, 0.5)
    (0.5, 0.75)
    """
    return failing if chance is None else chance + (1 - chance) * failing


def standard_error(accuracy: float, examples: int | None) -> float:
    """Return the standard error of an accuracy measured on ``examples`` examples, or 0 if the number is unknown.

    >>> round(standard_error(0.95, 231), 4), standard_error(0.95, None)
    (0.0143, 0.0)
    """
    return 0.0 if examples is None else float(np.sqrt(accuracy * (1 - accuracy) / examples))
