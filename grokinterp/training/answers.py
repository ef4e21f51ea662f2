"""The answers of a model to many examples, computed in parts that fit into memory."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from grokinterp.models import Readout, ReadoutInputs


class Answers(NamedTuple):
    """The logits of some examples, with a leading run axis if there are several runs.

    Args:
        logits: the logits of the answer.
        supervised: the logits of every supervision step; None if there is only the answer.
    """

    logits: Float[Tensor, "*run example class"]
    supervised: Float[Tensor, "*run supervision example class"] | None

    def split(self, at_once: int) -> Iterator["Answers"]:
        """Yield parts of at most ``at_once`` examples, as views."""
        logits = self.logits.split(at_once, -2)
        supervised = [None] * len(logits) if self.supervised is None else self.supervised.split(at_once, -2)
        return map(Answers, logits, supervised)


def answers_of(
    readout: Callable[[ReadoutInputs], Readout | Answers], inputs: ReadoutInputs, at_once: int
) -> Iterator[Answers]:
    """Yield the answers to at most ``at_once`` examples at a time; only these are in memory."""
    for some in inputs.split(at_once):
        found = readout(some)
        yield Answers(found.logits, found.supervised)
