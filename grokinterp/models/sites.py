"""Sites in a model at which an activation can be replaced, and the rest of the network after them."""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor


class PatchSite(NamedTuple):
    """A hook whose activation carries a branch of the computation.

    Args:
        hook: name of the hook.
        head: index of the head, for an activation [batch, position, head, d_head].
        has_positions: whether the activation has an axis of positions.
    """

    hook: str
    head: int | None = None
    has_positions: bool = True


class NeuronTail(NamedTuple):
    """The network after its last hidden layer: neurons add rows of ``written`` to ``stream``, which ``answer`` reads.

    ``answer`` accepts any leading axes: [... place feature] → [... class].
    """

    neurons: Float[Tensor, "example place neuron"]
    stream: Float[Tensor, "example place feature"]
    written: Float[Tensor, "neuron feature"]
    answer: Callable[[Tensor], Tensor]


class HeadTail(NamedTuple):
    """The network after the heads of a layer: outputs z add z · ``written`` to ``stream``, which ``answer`` reads.

    The places are the positions on which the answer still depends.
    """

    z: Float[Tensor, "example place head d_head"]
    stream: Float[Tensor, "example place feature"]
    written: Float[Tensor, "head d_head feature"]
    answer: Callable[[Tensor], Tensor]
