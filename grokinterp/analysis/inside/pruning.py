"""Pruning: performance of a network as its most or least periodic neurons are removed first."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.analysis.engine.examples import drawn_examples
from grokinterp.analysis.structure.participation import neuron_participation
from grokinterp.experiment.problem import Problem
from grokinterp.losses import LossForm, exact, example_losses
from grokinterp.models import NeuronTail
from grokinterp.runs.checkpoint import Checkpoint

PRUNING_ORDERS = ("lowest IPR first", "highest IPR first", "random")
PRUNED_SHARES = tuple(i / 20 for i in range(21))
RANDOM_ORDERS = 3
EXAMPLES = 1024

AXES = {"pruning_order": PRUNING_ORDERS, "pruned_share": PRUNED_SHARES}


class NeuronPruning(NamedTuple):
    """Loss and accuracy after a share of the neurons is removed.

    pruned_accuracy: accuracy without that share of the last hidden layer's neurons [1]
    pruned_loss: mean loss without that share of the last hidden layer's neurons [nats]
    """

    pruned_accuracy: Float[Tensor, "pruning_order split pruned_share"]
    pruned_loss: Float[Tensor, "pruning_order split pruned_share"]


def neuron_pruning(checkpoint: Checkpoint) -> NeuronPruning:
    """Return loss and accuracy as neurons are removed in the order of their inverse participation ratio.

    Neurons of the last hidden layer are removed in steps of 5 %, in three orders: lowest IPR first, highest IPR first,
    and, as a control, the mean over three random orders. A network whose generalizing circuit consists of periodic
    neurons keeps its test accuracy with "lowest IPR first" and loses it with "highest IPR first"; the random order
    shows the effect of redundancy alone.

    A removed neuron is set to 0 on every example, and the layers after it, including LayerNorm, are recomputed. Neurons
    that depend on no operand have IPR 0. In a recursive model the neurons are removed only in the last update of the
    answer. The values are over at most 1,024 examples, the same at every checkpoint, with the labels of training; NaN
    for a split without examples.

    Source: Doshi et al. 2023 (pruning by IPR).

    Raises:
        NotDefined: the task has no cyclic group, or the neurons are averaged over positions.
    """
    problem = checkpoint.problem
    ipr = neuron_participation(checkpoint).neuron_ipr.nan_to_num(0)
    generator = torch.Generator().manual_seed(0)
    random = [torch.randperm(len(ipr), generator=generator).to(ipr.device) for _ in range(RANDOM_ORDERS)]
    chosen = drawn_examples(len(problem.tokens), EXAMPLES).to(ipr.device)
    labels, splits = problem.trained_label[chosen], split_masks(problem)[:, chosen]
    with torch.no_grad():
        tail = checkpoint.model.neuron_tail(problem.tokens[chosen])
        curves = [
            torch.stack([fares(logits, labels, splits, problem.loss) for logits in pruned(tail, order)], -1)
            for order in (ipr.argsort(stable=True), ipr.argsort(descending=True, stable=True), *random)
        ]
    lowest, highest, *others = curves
    accuracy, loss = torch.stack([lowest, highest, torch.stack(others).mean(0)]).unbind(1)
    return NeuronPruning(accuracy, loss)


def pruned(tail: NeuronTail, order: Int[Tensor, "neuron"]) -> Iterator[Float[Tensor, "example class"]]:
    """Yield the logits without the first neurons of an order, for every share in ``PRUNED_SHARES``."""
    stream, done = tail.stream, 0
    for share in PRUNED_SHARES:
        stop = round(share * len(order))
        gone, done = order[done:stop], stop
        stream = stream - tail.neurons[..., gone] @ tail.written[gone]
        yield tail.answer(stream)


def split_masks(problem: Problem) -> Bool[Tensor, "split example"]:
    """Return masks of the training examples, the test examples, and all examples."""
    return torch.stack([problem.is_train, problem.is_test, torch.ones_like(problem.is_train)])


def fares(
    logits: Float[Tensor, "example class"],
    labels: Int[Tensor, "example"],
    splits: Bool[Tensor, "split example"],
    loss: LossForm,
) -> Float[Tensor, "2 split"]:
    """Return accuracy and mean loss on every split; NaN for an empty split."""
    right = (logits.argmax(-1) == labels).double()
    losses = example_losses(logits, labels, form=exact(loss)).double()
    return torch.stack([right, losses]) @ splits.double().T / splits.sum(1)
