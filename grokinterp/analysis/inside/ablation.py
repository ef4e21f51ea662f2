"""How well a network performs with one of its heads or neurons held at its mean."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from grokinterp.analysis.engine.examples import BATCH, drawn_examples
from grokinterp.errors import NotDefined
from grokinterp.experiment.problem import Problem
from grokinterp.losses import exact, example_losses
from grokinterp.models import Model, RecursiveModel, Transformer
from grokinterp.models.recursive import EPSILON
from grokinterp.runs.checkpoint import Checkpoint

HEAD_EXAMPLES = 4096
LINEAR_ON = 16
"""Examples on which it is tried whether the neurons write into the logits linearly."""

NEURON_EXAMPLES = 1024
NEURONS = 8  # ablated at a time


class HeadAblation(NamedTuple):
    """Performance of the network when a head gives the same output on every example.

    head_ablation_loss: increase of the mean loss with the head's output held at its mean [nats]
    head_ablation_accuracy: accuracy with the head's output held at its mean [1]
    """

    head_ablation_loss: Float[Tensor, "layer head"]
    head_ablation_accuracy: Float[Tensor, "layer head"]


class NeuronAblation(NamedTuple):
    """Performance of the network when a neuron of the last layer is constant over the examples.

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

    The head's output z (``attn.hook_z``) at each position is replaced by its mean z̄ over the examples, which keeps
    what the head adds to all alike: (z - z̄) W_O is taken out of the residual stream, and the rest of the network,
    later layers included, goes on from there. Loss and labels are those trained with. Over all examples, or 4,096
    of them, the same at every checkpoint.

    Source: Nanda et al. 2023, §4.4 (ablations); Wang et al. 2023, §2.1 (mean-ablation).

    Raises:
        NotDefined: the model has no attention.
    """
    model, problem = checkpoint.model, checkpoint.problem
    if not isinstance(model, Transformer):
        raise NotDefined("head_ablation", model.lacks("what each head adds" if model.n_heads else "attention"))
    chosen = drawn_examples(len(problem.tokens), HEAD_EXAMPLES).to(problem.tokens.device)
    tokens, labels = problem.tokens[chosen], problem.trained_labels[chosen]
    with torch.no_grad():
        rows = [without_heads(model, layer, tokens, labels, problem) for layer in range(model.n_layers)]
    loss, accuracy = torch.stack(rows).unbind(-1)
    return HeadAblation(loss[:, 1:] - loss[:, :1], accuracy[:, 1:])


def without_heads(
    model: Transformer, layer: int, tokens: Int[Tensor, "example position"], labels: Int[Tensor, "example"], of: Problem
) -> Float[Tensor, "network 2"]:
    """Mean loss and accuracy of the network as it is, and without each head of a layer in turn."""
    z, stream = at_heads(model, layer, tokens)
    excess, W_O = z - z.mean(0), model.blocks[layer].attn.W_O
    streams = (stream - excess[:, :, head] @ W_O[head] for head in range(model.n_heads))
    return torch.stack([fares_behind(model, layer, one, labels, of) for one in (stream, *streams)])


def at_heads(
    model: Transformer, layer: int, tokens: Int[Tensor, "example position"]
) -> tuple[Float[Tensor, "example place head d_head"], Float[Tensor, "example place d_model"]]:
    """A layer's heads and the stream they are added into, at the places that the answer still depends on."""
    block = f"blocks.{layer}"
    names = f"{block}.attn.hook_z", f"{block}.hook_resid_pre", f"{block}.hook_attn_out"
    start = -1 if layer == model.n_layers - 1 and model.spec.read_at != "mean" else 0
    parts = [[value[:, start:].clone() for value in model.catch(part, *names)[1:]] for part in tokens.split(BATCH)]
    z, before, added = map(torch.cat, zip(*parts, strict=True))
    return z, before + added


def fares_behind(
    model: Transformer, layer: int, stream: Float[Tensor, "example place d_model"], labels: Tensor, of: Problem
) -> Float[Tensor, "2"]:
    """Mean loss and accuracy of what the network makes of the stream behind a layer's attention."""
    logits = torch.cat([behind_attention(model, layer, part) for part in stream.split(BATCH)])
    losses = example_losses(logits, labels, form=exact(of.loss))
    return torch.stack([losses.double().mean(), (logits.argmax(-1) == labels).double().mean()])


def behind_attention(
    model: Transformer, layer: int, stream: Float[Tensor, "example place d_model"]
) -> Float[Tensor, "example class"]:
    """The answer's logits from the stream with the attention's output added, not yet normalized."""
    block = model.blocks[layer]
    middle = block.behind(block.ln1, stream)
    x = block.behind(block.ln2, middle + block.mlp(block.before(block.ln2, middle)))
    for later in model.blocks[layer + 1 :]:
        x = later(x)
    x = model.ln_final(x)
    return model.unembed(x.mean(1) if model.spec.read_at == "mean" else x[:, -1])


# neurons


def neuron_ablation(checkpoint: Checkpoint) -> NeuronAblation:
    """Mean-ablation of every neuron of the last hidden layer, one at a time.

    The neuron's activation h is replaced by its mean over the examples, at every position that the answer is read
    from: the residual stream x becomes x - (h - h̄) W_out, and what follows, LayerNorm and pooling, is computed
    anew. In a recursive model the neuron is ablated in the last update of the answer only, and the loss is that of
    the last answer. Up to 1,024 examples, the same at every checkpoint, with the labels trained on.

    Source: Nanda et al. 2023, §4.4 (ablations); Wang et al. 2023, §2.1 (mean-ablation).

    Raises:
        NotDefined: the neurons are unknown, or what follows them.
    """
    problem = checkpoint.problem
    if not checkpoint.model.n_neurons:
        raise NotDefined("neuron_ablation", checkpoint.model.lacks("the last hidden layer"))
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
    if not model.is_linear_in_neurons(tokens[:LINEAR_ON]):
        raise NotDefined("neuron_ablation", "the neurons do not write into the logits linearly")
    readout = model.readout_by_hooks(tokens)
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
