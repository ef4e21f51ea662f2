"""The places in a model where an activation can be replaced, and the rest of the network from there on."""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor


class PatchSite(NamedTuple):
    """A hook whose activation carries a branch of the computation.

    Args:
        hook: its name.
        head: the head, where the activation is [batch, position, head, d_head].
        has_positions: whether the activation has an axis of positions.
    """

    hook: str
    head: int | None = None
    has_positions: bool = True


class NeuronTail(NamedTuple):
    """The network after its last hidden layer: neurons write rows of ``written`` into ``stream``, ``answer`` reads it.

    ``answer`` takes any leading axes: [... place feature] → [... class].
    """

    neurons: Float[Tensor, "example place neuron"]
    stream: Float[Tensor, "example place feature"]
    written: Float[Tensor, "neuron feature"]
    answer: Callable[[Tensor], Tensor]


class HeadTail(NamedTuple):
    """The network after a layer's heads: outputs z write z · ``written`` into ``stream``, ``answer`` reads it.

    The places are the positions that the answer still depends on.
    """

    z: Float[Tensor, "example place head d_head"]
    stream: Float[Tensor, "example place feature"]
    written: Float[Tensor, "head d_head feature"]
    answer: Callable[[Tensor], Tensor]
