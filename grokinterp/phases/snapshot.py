"""What one checkpoint alone tells about a run that left no curves."""

from typing import NamedTuple

from grokinterp.phases.signals import failing_level, standard_error

LEARNED = 0.99
"""Accuracy from which a set of examples counts as answered."""

CLEAN = 0.95
"""Test accuracy from which a network that does not reach that comes close."""

FAILING = 0.5
"""Test accuracy below which a network fails on the test set, as in the curves."""


NO_HISTORY = "A trained network, no history"
"""What is known of the course of a run that left one checkpoint."""


class Snapshot(NamedTuple):
    """How far a network has come, by its accuracies alone."""

    verdict: str
    sentence: str


def snapshot_of(
    train_accuracy: float,
    test_accuracy: float,
    test_loss: float,
    n_test: int | None = None,
    chance: float | None = None,
) -> Snapshot:
    """Judge one checkpoint by its accuracies; how it came there is not known.

    * generalized: test accuracy >= 0.99, within one standard error where the number of test examples is known;
    * did not generalize cleanly: memorized, test accuracy from 0.95;
    * partly generalized: memorized, test accuracy from 0.5 to below 0.95;
    * memorized: train accuracy >= 0.99, test accuracy below 0.5 (halfway from ``chance`` to 1 where that is known);
    * has not memorized: neither set is answered.

    >>> snapshot_of(1.0, 0.974, 0.195)  # doctest: +NORMALIZE_WHITESPACE
    Snapshot(verdict='did not generalize cleanly', sentence='A trained network, no history: did not generalize cleanly:
    train accuracy 1.000, test accuracy 0.974, test loss 0.195.')
    """
    if test_accuracy >= LEARNED - standard_error(LEARNED, n_test):
        verdict = "generalized"
    elif train_accuracy < LEARNED:
        verdict = "has not memorized"
    elif test_accuracy < failing_level(FAILING, chance):
        verdict = "memorized"
    else:
        verdict = "partly generalized" if test_accuracy < CLEAN else "did not generalize cleanly"
    numbers = f"train accuracy {train_accuracy:.3f}, test accuracy {test_accuracy:.3f}, test loss {test_loss:.3g}"
    return Snapshot(verdict, f"{NO_HISTORY}: {verdict}: {numbers}.")
