"""What a network is worth without one of its heads or neurons, held at their mean."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from grokinterp.analysis.examples import BATCH, drawn_examples
from grokinterp.checkpoint import Checkpoint, Problem
from grokinterp.errors import NotDefined
from grokinterp.losses import exact, example_losses
from grokinterp.models import Model, RecursiveModel, Transformer
from grokinterp.models.recursive import EPSILON

HEAD_EXAMPLES = 4096
NEURON_EXAMPLES = 1024
NEURONS = 8  # ablated at a time


class HeadAblation(NamedTuple):
    """What becomes of the network when a head gives every example the same.

    head_ablation_loss: increase of the mean loss with the head's output held at its mean [nats]
    head_ablation_accuracy: accuracy with the head's output held at its mean [1]
    """

    head_ablation_loss: Float[Tensor, "layer head"]
    head_ablation_accuracy: Float[Tensor, "layer head"]


class NeuronAblation(NamedTuple):
    """What becomes of the answer when a neuron of the last layer gives every example the same.

    neuron_ablation_loss: increase of the mean loss of the answer with the neuron held at its mean [nats]
    """

    neuron_ablation_loss: Float[Tensor, "neuron"]


class Tail(NamedTuple):
    """What follows the last layer's neurons: they write rows of ``written`` into ``stream``, which ``answer`` reads.

    ``answer`` takes any leading axes: [... place feature] → [... class].
    """

    neurons: Float[Tensor, "example place neuron"]
    stream: Float[Tensor, "example place feature"]
    written: Float[Tensor, "neuron feature"]
    answer: Callable[[Tensor], Tensor]


# heads


def head_ablation(checkpoint: Checkpoint) -> HeadAblation:
    """Mean-ablation of every attention head, one at a time, at all positions.

    The head's output z (``attn.hook_z``) at each position is replaced by its mean over the examples, which keeps
    what the head adds to all alike; the rest of the network, later layers included, goes on from there. Loss and
    labels are those trained with. Over all examples, or 4,096 of them, the same at every checkpoint.

    Source: Nanda et al. 2023, §4.4 (ablations); Wang et al. 2023, §2.1 (mean-ablation).

    Raises:
        NotDefined: the model has no attention.
    """
    model, problem = checkpoint.model, checkpoint.problem
    if not isinstance(model, Transformer):
        raise NotDefined("head_ablation", f"the model {model.spec.kind} has no attention")
    chosen = drawn_examples(len(problem.tokens), HEAD_EXAMPLES).to(problem.tokens.device)
    tokens, labels = problem.tokens[chosen], problem.trained_labels[chosen]
    names = [f"blocks.{layer}.attn.hook_z" for layer in range(model.n_layers)]
    with torch.no_grad():
        means = mean_activations(model, tokens, names)
        before = fares_with(model, tokens, labels, problem, {})
        pairs = [(name, head) for name in names for head in range(model.n_heads)]
        after = [fares_with(model, tokens, labels, problem, {name: (head, means[name])}) for name, head in pairs]
    change, accuracy = torch.stack(after).unflatten(0, (model.n_layers, model.n_heads)).unbind(-1)
    return HeadAblation(change - before[0], accuracy)


def mean_activations(model: Model, tokens: Int[Tensor, "example position"], names: list[str]) -> dict[str, Tensor]:
    """The mean over the examples of what is at the hooks."""
    sums = [[value.sum(0) for value in model.catch(part, *names)[1:]] for part in tokens.split(BATCH)]
    return {name: sum(parts) / len(tokens) for name, parts in zip(names, zip(*sums, strict=True), strict=True)}


def fares_with(
    model: Model,
    tokens: Int[Tensor, "example position"],
    labels: Int[Tensor, "example"],
    problem: Problem,
    held: dict[str, tuple[int, Tensor]],
) -> Float[Tensor, "2"]:
    """Mean loss and accuracy while one head of each named hook is held at given values."""

    def hold(z: Tensor, *, hook: Any, head: int, value: Tensor) -> Tensor:
        others = torch.arange(z.shape[2], device=z.device) != head
        return torch.where(others.unsqueeze(-1), z, value)

    hooks = [(name, partial(hold, head=head, value=value)) for name, (head, value) in held.items()]
    found = []
    for part, of_part in zip(tokens.split(BATCH), labels.split(BATCH), strict=True):
        logits = model.run_with_hooks(part, fwd_hooks=hooks)[:, -1]
        losses = example_losses(logits, of_part, form=exact(problem.loss))
        found.append(torch.stack([losses.double(), (logits.argmax(-1) == of_part).double()], -1))
    return torch.cat(found).mean(0)


# neurons


def neuron_ablation(checkpoint: Checkpoint) -> NeuronAblation:
    """Mean-ablation of every neuron of the last hidden layer, one at a time.

    The neuron's activation h is replaced by its mean over the examples, at every position that the answer is read
    from: the residual stream x becomes x - (h - h̄) W_out, and what follows, LayerNorm and pooling, is computed
    anew. In a recursive model the neuron is ablated in the last update of the answer only, and the loss is that of
    the last answer. Up to 1,024 examples, the same at every checkpoint, with the labels trained on.

    Source: FEATURES (neuron ablation); Wang et al. 2023, §2.1 (mean-ablation).
    """
    problem = checkpoint.problem
    chosen = drawn_examples(len(problem.tokens), NEURON_EXAMPLES).to(problem.tokens.device)
    labels = problem.trained_labels[chosen]
    with torch.no_grad():
        tail = tail_of(checkpoint.model, problem.tokens[chosen])
        whole = example_losses(tail.answer(tail.stream), labels, form=exact(problem.loss)).mean()
        parts = torch.arange(len(tail.written), device=labels.device).split(NEURONS)
        losses = [ablated_losses(tail, part, labels, problem) for part in parts]
    return NeuronAblation((torch.cat(losses) - whole).double())


def ablated_losses(
    tail: Tail, neurons: Int[Tensor, "ablated"], labels: Int[Tensor, "example"], problem: Problem
) -> Float[Tensor, "ablated"]:
    """The mean loss without each of some neurons."""
    excess = (tail.neurons - tail.neurons.mean(0))[..., neurons].movedim(-1, 0)
    stream = tail.stream - excess.unsqueeze(-1) * tail.written[neurons][:, None, None]
    logits = tail.answer(stream).flatten(0, 1)
    losses = example_losses(logits, labels.repeat(len(neurons)), form=exact(problem.loss))
    return losses.view(len(neurons), -1).mean(1)


def tail_of(model: Model, tokens: Int[Tensor, "example position"]) -> Tail:
    """The end of a model, from the last hidden layer's neurons to the logits."""
    if isinstance(model, Transformer) and model.spec.normalization is not None:
        return normalized_tail(model, tokens)
    if isinstance(model, RecursiveModel):
        return recursive_tail(model, tokens)
    readout = model.readout_by_hooks(tokens)  # linear behind the neurons: they write into the logits
    return Tail(readout.neurons.unsqueeze(1), readout.logits.unsqueeze(1), model.W_L, lambda logits: logits[..., 0, :])


def normalized_tail(model: Transformer, tokens: Int[Tensor, "example position"]) -> Tail:
    """The end of a transformer with LayerNorm, at the positions that are read."""
    last, block = f"blocks.{model.n_layers - 1}", model.blocks[-1]
    _, *found = model.catch(tokens, f"{last}.mlp.hook_post", f"{last}.hook_resid_mid", f"{last}.hook_mlp_out")
    neurons, middle, out = found if model.spec.read_at == "mean" else [value[:, -1:] for value in found]

    def answer(stream: Tensor) -> Tensor:
        return model.unembed(model.ln_final(block.behind(block.ln2, stream)).mean(-2))

    return Tail(neurons, middle + out, block.mlp.W_out, answer)


def recursive_tail(model: RecursiveModel, tokens: Int[Tensor, "example position"]) -> Tail:
    """The end of a recursive model: the last update of its answer."""
    last = model.spec.n_supervision - 1
    names = [f"steps.{last}.hook_post", f"steps.{last}.hook_latent.{model.spec.n_latent - 1}"]
    before = [f"steps.{last - 1}.hook_answer"] if last else []
    _, neurons, z, *y = model.catch(tokens, *names, *before)
    stream = sum(y, z) + torch.addmm(model.net.b_out, neurons, model.net.W_out)

    def answer(stream: Tensor) -> Tensor:
        return model.unembed(functional.rms_norm(stream, stream.shape[-1:], eps=EPSILON)[..., 0, :])

    return Tail(neurons.unsqueeze(1), stream.unsqueeze(1), model.net.W_out, answer)
