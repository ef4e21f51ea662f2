"""Examples drawn anew for every step: training on infinite data."""

from typing import final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from grokinterp.errors import ConfigError
from grokinterp.experiment.experiment import Experiment
from grokinterp.experiment.random_streams import FRESH, stream
from grokinterp.tasks import Examples

ROUNDS = 100
"""Number of times that examples are drawn until enough of them are not held out."""


@final
class FreshExamples:
    """The training examples of every step, drawn from the distribution of the task without the held-out examples.

    The examples of a step depend only on the seed and the step, so that a continued run is the same.

    Args:
        experiment: the task, the seed of its data, and whether the model reads "=".
        held_out: the mask of the test and validation examples, which are never drawn.
    """

    def __init__(self, experiment: Experiment, held_out: Bool[Tensor, "example"]) -> None:
        self.experiment, self.seed = experiment, experiment.split.data_seed(experiment.seed)
        tokens = experiment.task.tokens()
        mixer = torch.Generator().manual_seed(0)
        self.factors = torch.randint(2**62, (tokens.shape[1],), generator=mixer) * 2 + 1
        self.excluded = self.codes(tokens[held_out]).unique()

    def at(self, step: int, count: int) -> Examples:
        """Return ``count`` examples for a step, as the model reads them.

        Raises:
            ConfigError: if nearly all examples of the task are held out.
        """
        generator, task = stream(self.seed, FRESH, step), self.experiment.task
        kept: list[Examples] = []
        for _ in range(ROUNDS):
            tokens, labels = task.draw(count, generator)
            allowed = ~torch.isin(self.codes(tokens), self.excluded)
            kept.append(Examples(tokens[allowed], labels[allowed]))
            if sum(len(some.labels) for some in kept) >= count:
                tokens, labels = (torch.cat(parts)[:count] for parts in zip(*kept, strict=True))
                return Examples(self.experiment.with_equals(tokens), labels)
        raise ConfigError("data", "infinite", "nearly all examples of the task are held out: raise split.fraction")

    def codes(self, tokens: Int[Tensor, "example position"]) -> Int[Tensor, "example"]:
        """Return a number per token sequence; two different sequences share one with a probability of about 2^-60."""
        return ((tokens + 1) * self.factors).sum(1)
