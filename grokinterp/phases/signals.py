"""What the curves say at each evaluation: memorized, not yet generalizing, generalizing."""

from typing import NamedTuple

import numpy as np

from grokinterp.errors import ConfigError
from grokinterp.phases.curves import Curves
from grokinterp.phases.detector import SustainedRule

FITTED_LOSS = 0.1  # nats; the mean log-probability of the correct answer is that of exp(-0.1) = 0.905
FAILING_LOSS = float(np.log(2))  # the correct answer has less than probability 1/2, the loss's word for accuracy 1/2
DEEP = 0.1  # a fall is deep when the accuracy is this far below the threshold; the loss, when it fails


class Levels(NamedTuple):
    """Values that separate the states.

    Attributes:
        fitted: from which train value the training set is memorized.
        unlearned: beyond which train value it no longer is.
        failing: beyond which test value the network fails.
        generalizes: from which test value it generalizes.
        tolerance: how far below that the test accuracy may be measured: one standard error.
    """

    fitted: float
    unlearned: float
    failing: float
    generalizes: float
    tolerance: float


class Signals(NamedTuple):
    """Flags at the evaluations, and the curves that they were read from, for the text.

    Attributes:
        fitted: the training set is learned.
        unlearned: it is not, by more than a little.
        failing: the network does not generalize yet.
        generalizes: the network generalizes, within the tolerance; not the negation of `failing`.
        exact: the same without any tolerance, for the sustained rule.
        deep: the network is far from generalizing.
        train: train accuracy, or train loss.
        test: test accuracy, or test loss.
        levels: the values that separate them.
        by_loss: read from the losses.
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
        """What the flags were read from."""
        return "loss" if self.by_loss else "accuracy"

    def worst(self, values: np.ndarray) -> float:
        """The value furthest from generalizing, NaN if none was recorded."""
        known = values[~np.isnan(values)]
        return float(np.nan if not known.size else known.max() if self.by_loss else known.min())

    def best(self, values: np.ndarray) -> float:
        """The value closest to generalizing, NaN if none was recorded."""
        return -self.worst(-values)


def read_signals(curves: Curves, rule: SustainedRule) -> Signals:
    """The flags by the accuracies; for a log without both of them, by the losses.

    The test accuracy generalizes from the threshold minus one standard error of a share of `curves.n_test` examples,
    sqrt(threshold (1 - threshold) / n_test). Where that number is unknown, it is taken to be large: the threshold is
    exact. The test accuracy fails below 0.5, or below `failing_level` where the accuracy of guessing is known.

    By losses: memorized when train loss < 0.1, unlearned when it is > ln 2, generalizing when test loss < 0.1, failing
    when test loss > ln 2. Losses that begin below ln 2 are not cross-entropies at chance: these levels are then shares
    of the first loss, scaled by first loss / ln 2. A value that was not recorded passes no threshold.

    Raises:
        ConfigError: curves with neither both accuracies nor both losses.
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
    """The larger of the first losses over ln 2, at most 1."""
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
    """Level below which a test accuracy fails: as far between the accuracy of guessing and 1 as it is between 0 and 1.

    >>> failing_level(0.5, None), failing_level(0.5, 0.5)
    (0.5, 0.75)
    """
    return failing if chance is None else chance + (1 - chance) * failing


def standard_error(accuracy: float, examples: int | None) -> float:
    """That of an accuracy measured on so many examples; 0 where their number is not known.

    >>> round(standard_error(0.95, 231), 4), standard_error(0.95, None)
    (0.0143, 0.0)
    """
    return 0.0 if examples is None else float(np.sqrt(accuracy * (1 - accuracy) / examples))
