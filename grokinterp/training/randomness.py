"""The random numbers of dropout, noise and jiggled weights."""

from typing import final

import torch
from torch import Tensor

from grokinterp.experiment.random_streams import REGULARIZATION, stream


@final
class Randomness:
    """A generator that draws the same numbers in a step however often the step is computed.

    ``state`` is that of the generator before the first number of the current step. It is saved with the run, since a
    resumed run computes the gradients of its step again.

    Args:
        seed: the seed of the numbers.
        device: the device that they are drawn on.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.generator = torch.Generator(device).manual_seed(stream(seed, REGULARIZATION).initial_seed())
        self.state = self.generator.get_state()

    def begin(self) -> torch.Generator:
        """Return the generator before the first number of the current step."""
        self.generator.set_state(self.state)
        return self.generator

    def advance(self) -> None:
        """Move on to the next step."""
        self.state = self.generator.get_state()

    def load(self, state: Tensor) -> None:
        """Continue from ``state``."""
        self.state = state.cpu()
        self.generator.set_state(self.state)
