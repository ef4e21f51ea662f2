"""The smallest set of neurons that answers as the whole network does."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.analysis.engine.examples import drawn_examples
from grokinterp.analysis.inside.pruning import split_masks
from grokinterp.errors import NotDefined
from grokinterp.models import NeuronTail
from grokinterp.runs.checkpoint import Checkpoint

EXAMPLES = 512
TOLERANCE = 0.01
"""Accuracy that a subnetwork may lose, and share of examples that it may answer differently."""


class FaithfulSubnetwork(NamedTuple):
    """Number of neurons that the network needs.

    subnetwork_size: fewest neurons, largest norms first, with the whole network's accuracy, within 1 % [neurons]
    subnetwork_size_control: subnetwork size with the neurons in random order, mean of three orders [neurons]
    faithful_size: fewest neurons, largest norms first, that answer 99 % of the examples as the whole network [neurons]
    """

    subnetwork_size: Float[Tensor, "split"]
    subnetwork_size_control: Float[Tensor, "split"]
    faithful_size: Float[Tensor, ""]


def faithful_subnetwork(checkpoint: Checkpoint) -> FaithfulSubnetwork:
    """Return the smallest number of neurons, those with the largest norms, that reproduce the whole network.

    The norm of a neuron is ‖w_in‖ ‖w_out‖, the norm of its input weights times the norm of its output weights to the
    logits (to the residual stream if a final LayerNorm follows). In a ReLU network this product is invariant to scaling
    w_in by a positive factor and w_out by its inverse. All other neurons of the last hidden layer are set to 0; the
    rest of the network, such as the residual stream that bypasses this layer, is unchanged.

    There are two criteria: subnetwork_size neurons reach the accuracy of the whole network on a split, minus 1 %, and
    faithful_size neurons reproduce 99 % of its answers, correct or not. A small number means that a sparse subnetwork
    does the work. The first criterion is not informative at chance accuracy: in a memorizing network, a few neurons are
    as inaccurate on the test examples as all neurons are. The values are over at most 512 examples, the same at every
    checkpoint; NaN for a split without examples.

    Source: Merrill et al. 2023 (neurons of largest norm; faithfulness); the norm: docs/formulas.md, "Sparse structure
    and bounds".

    Raises:
        NotDefined: the neurons are unknown.
    """
    model, problem = checkpoint.model, checkpoint.problem
    if not model.n_neurons:
        raise NotDefined("faithful_subnetwork", model.lacks("the last hidden layer"))
    chosen = drawn_examples(len(problem.tokens), EXAMPLES).to(problem.tokens.device)
    labels, splits = problem.label[chosen], split_masks(problem)[:, chosen]
    with torch.no_grad():
        tail = model.neuron_tail(problem.tokens[chosen])
        norms = model.neuron_weights.double().norm(dim=0) * tail.written.double().norm(dim=1)
        generator = torch.Generator().manual_seed(0)
        orders = [norms.argsort(descending=True, stable=True)]
        orders += [torch.randperm(len(norms), generator=generator).to(norms.device) for _ in range(3)]
        whole = tail.answer(tail.stream).argmax(-1)
        sizes = torch.stack([smallest(tail, order, whole, labels, splits) for order in orders])
    return FaithfulSubnetwork(sizes[0, :-1], sizes[1:, :-1].mean(0), sizes[0, -1])


def smallest(
    tail: NeuronTail,
    order: Int[Tensor, "neuron"],
    whole: Int[Tensor, "example"],
    labels: Int[Tensor, "example"],
    splits: Bool[Tensor, "split example"],
) -> Float[Tensor, "criterion"]:
    """Return how many first neurons of an order reach the accuracy on each split, and the agreement over all."""
    shares = splits.double() / splits.sum(1, keepdim=True)
    wanted = torch.cat([shares @ (whole == labels).double(), shares.new_ones(1)]) - TOLERANCE
    found = torch.full_like(wanted, torch.nan)
    for size, answers in enumerate(growing(tail, order)):
        reached = torch.cat([shares @ (answers == labels).double(), (answers == whole).double().mean()[None]])
        found = torch.where(found.isnan() & (reached >= wanted), size, found)
        if not (found.isnan() & wanted.isfinite()).any():
            break
    return found


def growing(tail: NeuronTail, order: Int[Tensor, "neuron"]) -> Iterator[Int[Tensor, "example"]]:
    """Yield the answers with no neuron, with the first neuron of an order, with the first two, …, and with all."""
    stream = tail.stream - tail.neurons @ tail.written
    yield tail.answer(stream).argmax(-1)
    activations = tail.neurons.movedim(-1, 0).contiguous()
    for neuron in order.tolist():
        stream = torch.addcmul(stream, activations[neuron].unsqueeze(-1), tail.written[neuron])
        yield tail.answer(stream).argmax(-1)
