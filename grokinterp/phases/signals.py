"""What the curves say at each evaluation: memorized, not yet generalizing, generalizing."""

from typing import NamedTuple

import numpy as np

from grokinterp.errors import ConfigError
from grokinterp.phases.curves import Curves
from grokinterp.phases.detector import SustainedRule

FITTED_LOSS = 0.1  # nats; the mean log-probability of the right answer is that of exp(-0.1) = 0.905
FAILING_LOSS = float(np.log(2))  # the right answer has less than probability 1/2, the loss's word for accuracy 1/2


class Signals(NamedTuple):
    """Flags at the evaluations, and the curves that they were read from, for the text.

    Attributes:
        fitted: the training set is learned.
        failing: the network does not generalize yet.
        generalizes: the network generalizes; not the negation of `failing`.
        train: train accuracy, or train loss.
        test: test accuracy, or test loss.
        memorizes, generalizing: the rule in words.
        by_loss: read from the losses.
    """

    fitted: np.ndarray
    failing: np.ndarray
    generalizes: np.ndarray
    train: np.ndarray
    test: np.ndarray
    memorizes: str
    generalizing: str
    by_loss: bool

    @property
    def measure(self) -> str:
        """What the flags were read from."""
        return "loss" if self.by_loss else "accuracy"

    def worst(self, values: np.ndarray) -> float:
        """The value furthest from generalizing, NaN if none was recorded."""
        known = values[~np.isnan(values)]
        return float(np.nan if not known.size else known.max() if self.by_loss else known.min())


def read_signals(curves: Curves, rule: SustainedRule) -> Signals:
    """The flags by the accuracies; for a log without both of them, by the losses.

    By losses: memorized when train loss < 0.1, generalizing when test loss < 0.1, failing when test loss > ln 2.
    A value that was not recorded passes no threshold.
    """
    train, test = curves.train_accuracy, curves.test_accuracy
    if train is not None and test is not None:
        flags = train >= rule.memorized, test < rule.failing, test >= rule.threshold
        texts = f"train accuracy reached {rule.memorized:g}", f"test accuracy of {rule.threshold:g}"
        return Signals(*flags, train, test, *texts, by_loss=False)
    train, test = curves.train_loss, curves.test_loss
    if train is None or test is None:
        raise ConfigError("curves", f"{len(curves.steps)} evaluations", "must have both accuracies or both losses")
    flags = train < FITTED_LOSS, test > FAILING_LOSS, test < FITTED_LOSS
    texts = f"train loss fell below {FITTED_LOSS:g}", f"test loss below {FITTED_LOSS:g}"
    return Signals(*flags, train, test, *texts, by_loss=True)
