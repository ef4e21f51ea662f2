"""Mean ablation: performance of a network with a head or neuron replaced by its mean."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.analysis.engine.examples import BATCH, drawn_examples
from grokinterp.errors import NotDefined
from grokinterp.experiment.problem import Problem
from grokinterp.losses import exact, example_losses
from grokinterp.models import Model, NeuronTail
from grokinterp.runs.checkpoint import Checkpoint

HEAD_EXAMPLES = 4096
NEURON_EXAMPLES = 1024
NEURONS = 8  # ablated at a time


class HeadAblation(NamedTuple):
    """Performance of the network when a head has the same output on every example.

    head_ablation_loss: increase of the mean loss with the head's output replaced by its mean [nats]
    head_ablation_accuracy: accuracy with the head's output replaced by its mean [1]
    """

    head_ablation_loss: Float[Tensor, "layer head"]
    head_ablation_accuracy: Float[Tensor, "layer head"]


class NeuronAblation(NamedTuple):
    """Performance of the network when a neuron of the last layer is constant over the examples.

    neuron_ablation_loss: increase of the mean loss of the answer with the neuron replaced by its mean [nats]
    """

    neuron_ablation_loss: Float[Tensor, "neuron"]


# heads


def head_ablation(checkpoint: Checkpoint, *, examples: int = HEAD_EXAMPLES) -> HeadAblation:
    """Return the increase in loss when the output of each attention head is replaced by its mean.

    The head's output z (``attn.hook_z``) at each position is replaced by its mean z̄ over the examples, which preserves
    its constant contribution: (z - z̄) W_O is subtracted from the residual stream, and the rest of the network, later
    layers included, is recomputed. An increase of 0 means that the head does not contribute to the answers. Loss and
    labels are those of training, on at most 4,096 examples by default.

    Args:
        checkpoint: the network.
        examples: largest number of examples; a larger set is sampled, the same at every checkpoint.

    Source: Nanda et al. 2023, §4.4 (ablations); Wang et al. 2023, §2.1 (mean-ablation).

    Raises:
        NotDefined: the model has no attention.
    """
    model, problem = checkpoint.model, checkpoint.problem
    if not model.n_heads:
        raise NotDefined("head_ablation", model.lacks("attention"))
    chosen = drawn_examples(len(problem.tokens), examples).to(problem.tokens.device)
    tokens, labels = problem.tokens[chosen], problem.trained_label[chosen]
    with torch.no_grad():
        rows = [without_heads(model, layer, tokens, labels, problem) for layer in range(model.n_layers)]
    loss, accuracy = torch.stack(rows).unbind(-1)
    return HeadAblation(loss[:, 1:] - loss[:, :1], accuracy[:, 1:])


def without_heads(
    model: Model, layer: int, tokens: Int[Tensor, "example position"], labels: Int[Tensor, "example"], of: Problem
) -> Float[Tensor, "network 2"]:
    """Return mean loss and accuracy of the intact network, and without each head of a layer."""
    tails = [model.head_tail(layer, part) for part in tokens.split(BATCH)]
    z, stream = (torch.cat(parts) for parts in zip(*((tail.z, tail.stream) for tail in tails), strict=True))
    excess, (*_, written, answer) = z - z.mean(0), tails[0]
    streams = (stream - excess[:, :, head] @ written[head] for head in range(model.n_heads))
    return torch.stack([performance(answer, one, labels, of) for one in (stream, *streams)])


def performance(
    answer: Callable[[Tensor], Tensor],
    stream: Float[Tensor, "example place feature"],
    labels: Int[Tensor, "example"],
    of: Problem,
) -> Float[Tensor, "2"]:
    """Return mean loss and accuracy of the rest of a network on the residual stream that it reads."""
    logits = torch.cat([answer(part) for part in stream.split(BATCH)])
    losses = example_losses(logits, labels, form=exact(of.loss))
    return torch.stack([losses.double().mean(), (logits.argmax(-1) == labels).double().mean()])


# neurons


def neuron_ablation(checkpoint: Checkpoint, *, examples: int = NEURON_EXAMPLES) -> NeuronAblation:
    """Return the increase in loss when each neuron of the last hidden layer is replaced by its mean.

    The neuron's activation h is replaced by its mean h̄ over the examples, at every position from which the answer is
    read: the residual stream x becomes x - (h - h̄) W_out, and LayerNorm and pooling are recomputed. An increase of 0
    means that the neuron does not contribute to the answers. In a recursive model the neuron is ablated only in the
    last update of the answer, and the loss is that of the last answer. Labels are those of training, on at most 1,024
    examples by default.

    Args:
        checkpoint: the network.
        examples: largest number of examples; a larger set is sampled, the same at every checkpoint.

    Source: Nanda et al. 2023, §4.4 (ablations); Wang et al. 2023, §2.1 (mean-ablation).

    Raises:
        NotDefined: the neurons, or the layers after them, are unknown.
    """
    problem = checkpoint.problem
    if not checkpoint.model.n_neurons:
        raise NotDefined("neuron_ablation", checkpoint.model.lacks("the last hidden layer"))
    chosen = drawn_examples(len(problem.tokens), examples).to(problem.tokens.device)
    labels = problem.trained_label[chosen]
    with torch.no_grad():
        tail = checkpoint.model.neuron_tail(problem.tokens[chosen])
        whole = example_losses(tail.answer(tail.stream), labels, form=exact(problem.loss)).mean()
        parts = torch.arange(len(tail.written), device=labels.device).split(NEURONS)
        losses = [ablated_losses(tail, part, labels, problem) for part in parts]
    return NeuronAblation((torch.cat(losses) - whole).double())


def ablated_losses(
    tail: NeuronTail, neurons: Int[Tensor, "ablated"], labels: Int[Tensor, "example"], problem: Problem
) -> Float[Tensor, "ablated"]:
    """Return the mean loss without each of the given neurons."""
    excess = (tail.neurons - tail.neurons.mean(0))[..., neurons].movedim(-1, 0)
    stream = tail.stream - excess.unsqueeze(-1) * tail.written[neurons][:, None, None]
    logits = tail.answer(stream).flatten(0, 1)
    losses = example_losses(logits, labels.repeat(len(neurons)), form=exact(problem.loss))
    return losses.view(len(neurons), -1).mean(1)
