"""Warnings about an import: accuracy at chance, losses that differ from the stored losses, repeated weights."""

import math
from collections.abc import Iterator, Mapping

import torch

from grokinterp.interop.scores import Scores
from grokinterp.interop.splits import Stored
from grokinterp.tasks import Task

DEVIATIONS = 4
"""Number of standard deviations above chance that an accuracy must exceed."""


FLOAT32 = 2.0**-23
"""Smallest difference of losses in single precision, which computes losses near 0 as 1 minus a probability."""


SAME = 1e-3
"""Relative difference of logits that half precision can cause."""


def at_chance(scores: Scores, task: Task, step: int) -> Iterator[str]:
    """Yield a warning if the network is no better than the most frequent class.

    Chance c is that class's share; random guessing on n examples has accuracy c ± 4 √(c (1 - c) / n).
    """
    labels = task.label()
    chance = float(torch.bincount(labels).max()) / len(labels)
    limit = chance + DEVIATIONS * math.sqrt(chance * (1 - chance) / len(labels))
    if scores.accuracy <= limit:
        yield (
            f"at step {step} the accuracy on all examples is {scores.accuracy:.1%}, no more than chance "
            f"({chance:.1%}): the network is untrained, or its layout or task is not the stated one"
        )


def unlike_stored(measured: Mapping[str, float], stored: Mapping[str, Stored], step: int) -> Iterator[str]:
    """Yield a warning for each stored value that the imported weights do not reproduce."""
    for name, expected in stored.items():
        value = measured.get(name, math.nan)
        alike = expected.holds(value) or abs(value - expected.value) <= FLOAT32
        if math.isfinite(value) and not alike:
            yield f"at step {step} the stored {name} is {expected.value:.4g}, but the weights give {value:.4g}"


def unlike_logits(difference: float, step: int) -> Iterator[str]:
    """Yield a warning if the stored and computed logits differ, by the largest relative difference."""
    if not difference <= SAME:
        yield f"at step {step} the logits differ from the stored ones by {difference:.2g} of the largest stored logit"


def repeated(digests: Mapping[int, str]) -> Iterator[str]:
    """Yield a warning for each group of steps whose weights are identical.

    >>> list(repeated({0: "a", 10: "b", 20: "a"}))
    ['steps 0, 20 have identical weights']
    """
    alike: dict[str, list[int]] = {}
    for step, digest in digests.items():
        alike.setdefault(digest, []).append(step)
    for steps in alike.values():
        if len(steps) > 1:
            shown = ", ".join(map(str, steps[:6])) + (", ..." if len(steps) > 6 else "")
            yield f"steps {shown} have identical weights"
