"""The fewest neurons that answer as the whole network does."""

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
"""Accuracy that a subnetwork may lack, and share of examples that it may answer otherwise."""


class FaithfulSubnetwork(NamedTuple):
    """How many neurons the network needs.

    subnetwork_size: fewest neurons, largest norms first, with the whole network's accuracy, within 1 % [neurons]
    subnetwork_size_control: the same with the neurons in random order, mean of three [neurons]
    faithful_size: fewest neurons, largest norms first, that answer 99 % of the examples as the whole network [neurons]
    """

    subnetwork_size: Float[Tensor, "split"]
    subnetwork_size_control: Float[Tensor, "split"]
    faithful_size: Float[Tensor, ""]


def faithful_subnetwork(checkpoint: Checkpoint) -> FaithfulSubnetwork:
    """Return the fewest neurons, those of the largest norms, that do what the whole network does.

    The norm of a neuron is ‖w_in‖ ‖w_out‖: the weights that it reads with, times what it writes into the logits (into
    the residual stream before a final LayerNorm). In a ReLU network the product does not change when w_in is multiplied
    by a number and w_out divided by it. All other neurons of the last hidden layer are 0; the rest of the network,
    such as the residual stream beside that layer, stays. Up to 512 examples, the same at every checkpoint.

    Two criteria: the accuracy on a split reaches that of the whole network less 1 %, and 99 % of the answers are those
    of the whole network, correct or not. Below the accuracy of chance the first says nothing: at a memorizing
    checkpoint few neurons are as bad on the test examples as all are. NaN for a split without examples.

    Source: Merrill et al. 2023 (neurons of largest norm; faithfulness); the norm: docs/formulas.md, "Sparse structure
    and bounds".

    Raises:
        NotDefined: the neurons are unknown.
    """
    model, problem = checkpoint.model, checkpoint.problem
    if not model.n_neurons:
        raise NotDefined("faithful_subnetwork", model.lacks("the last hidden layer"))
    chosen = drawn_examples(len(problem.tokens), EXAMPLES).to(problem.tokens.device)
    labels, splits = problem.labels[chosen], split_masks(problem)[:, chosen]
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
    """Fewest first neurons of an order that reach the accuracy on each split, and the agreement over all examples."""
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
    """Answers without any neuron, with the first of an order, with the first two, …, with all."""
    stream = tail.stream - tail.neurons @ tail.written
    yield tail.answer(stream).argmax(-1)
    activations = tail.neurons.movedim(-1, 0).contiguous()
    for neuron in order.tolist():
        stream = torch.addcmul(stream, activations[neuron].unsqueeze(-1), tail.written[neuron])
        yield tail.answer(stream).argmax(-1)
