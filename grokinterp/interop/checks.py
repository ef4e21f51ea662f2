"""Warnings about an import: accuracy at chance, losses unlike the stored ones, repeated weights."""

import math
from collections.abc import Iterator, Mapping

import torch

from grokinterp.interop.scores import Scores
from grokinterp.interop.splits import Stored
from grokinterp.tasks import Task

DEVIATIONS = 4
"""Standard deviations of guessing that an accuracy above chance exceeds."""


FLOAT32 = 2.0**-23
"""Difference of two losses that single precision cannot tell: near 0 it computes a loss as 1 minus a probability."""


SAME = 1e-3
"""Difference of logits, over the largest of them, that half precision brings about."""


def at_chance(scores: Scores, task: Task, step: int) -> Iterator[str]:
    """A line if the network answers no better than the most frequent class would.

    Chance c is that class's share; of n examples, guessing is right on c ± 4 √(c (1 - c) / n).
    """
    labels = task.labels()
    chance = float(torch.bincount(labels).max()) / len(labels)
    limit = chance + DEVIATIONS * math.sqrt(chance * (1 - chance) / len(labels))
    if scores.accuracy <= limit:
        yield (
            f"at step {step} the accuracy on all examples is {scores.accuracy:.1%}, no more than chance "
            f"({chance:.1%}): it is untrained, or its layout or task is not the stated one"
        )


def unlike_stored(measured: Mapping[str, float], stored: Mapping[str, Stored], step: int) -> Iterator[str]:
    """A line for each stored number that the imported weights do not give."""
    for name, expected in stored.items():
        value = measured.get(name, math.nan)
        alike = expected.holds(value) or abs(value - expected.value) <= FLOAT32
        if math.isfinite(value) and not alike:
            yield f"at step {step} the stored {name} is {expected.value:.4g}, recomputed from the weights {value:.4g}"


def unlike_logits(difference: float, step: int) -> Iterator[str]:
    """A line if the stored logits are not those of the network, by their largest difference over the largest logit."""
    if not difference <= SAME:
        yield f"at step {step} the logits differ from the stored ones by {difference:.2g} of the largest stored logit"


def repeated(digests: Mapping[int, str]) -> Iterator[str]:
    """A line for each group of steps whose weights are identical.

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
