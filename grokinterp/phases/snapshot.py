"""What one checkpoint alone tells about a run that left no curves."""

from typing import NamedTuple

LEARNED = 0.99
"""Accuracy from which a set of examples counts as answered."""

BY_CHANCE = 0.5
"""Test accuracy below which nothing general is seen in the answers."""


class Snapshot(NamedTuple):
    """How far a network has come, by its accuracies alone."""

    verdict: str
    sentence: str


def snapshot_of(train_accuracy: float, test_accuracy: float, test_loss: float) -> Snapshot:
    """Generalized, memorized, something between, or not even that: by the accuracies of one checkpoint.

    >>> snapshot_of(1.0, 0.974, 0.195).sentence
    'Did not generalize cleanly: train accuracy 1.000, test accuracy 0.974, test loss 0.195.'
    """
    if test_accuracy >= LEARNED:
        verdict = "generalized"
    elif train_accuracy < LEARNED:
        verdict = "has not memorized"
    else:
        verdict = "memorized" if test_accuracy < BY_CHANCE else "did not generalize cleanly"
    numbers = f"train accuracy {train_accuracy:.3f}, test accuracy {test_accuracy:.3f}, test loss {test_loss:.3g}"
    return Snapshot(verdict, f"{verdict[0].upper()}{verdict[1:]}: {numbers}.")
