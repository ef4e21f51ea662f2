"""Verdict on a single checkpoint, for a run without curves."""

from typing import NamedTuple

from grokinterp.phases.detector import SUSTAINED
from grokinterp.phases.signals import failing_level, standard_error

NO_HISTORY = "A trained network, no history"
"""Beginning of the sentence on a run with a single checkpoint."""


class Snapshot(NamedTuple):
    """Verdict on a network by its accuracies alone."""

    verdict: str
    sentence: str


def snapshot_of(
    train_accuracy: float,
    test_accuracy: float,
    test_loss: float,
    n_test: int | None = None,
    chance: float | None = None,
) -> Snapshot:
    """Judge a checkpoint by its accuracies, without knowing its history.

    * generalized: test accuracy >= 0.99, within one standard error if the number of test examples is known;
    * did not generalize cleanly: memorized, test accuracy from 0.95;
    * partly generalized: memorized, test accuracy from 0.5 to below 0.95;
    * memorized: train accuracy >= 0.99, test accuracy below 0.5 (halfway from ``chance`` to 1 if chance is known);
    * has not memorized: neither set is learned.

    >>> snapshot_of(1.0, 0.974, 0.195)  # doctest: +NORMALIZE_WHITESPACE
    Snapshot(verdict='did not generalize cleanly', sentence='A trained network, no history: did not generalize cleanly:
    train accuracy 1.000, test accuracy 0.974, test loss 0.195.')
    """
    learned = SUSTAINED.memorized
    if test_accuracy >= learned - standard_error(learned, n_test):
        verdict = "generalized"
    elif train_accuracy < learned:
        verdict = "has not memorized"
    elif test_accuracy < failing_level(SUSTAINED.failing, chance):
        verdict = "memorized"
    else:
        verdict = "partly generalized" if test_accuracy < SUSTAINED.threshold else "did not generalize cleanly"
    numbers = f"train accuracy {train_accuracy:.3f}, test accuracy {test_accuracy:.3f}, test loss {test_loss:.3g}"
    return Snapshot(verdict, f"{NO_HISTORY}: {verdict}: {numbers}.")
