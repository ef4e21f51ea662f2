"""Where the correct logit comes from: direct attribution to the components, integrated gradients to the tokens."""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.analysis.engine.examples import BATCH, drawn_examples
from grokinterp.errors import NotDefined
from grokinterp.models import Model, RecursiveModel, Transformer
from grokinterp.runs.checkpoint import Checkpoint

EXAMPLES = 32
NODES = 64

AXES = {"component": lambda setting: component_names(setting.model)}


class LogitAttribution(NamedTuple):
    """What each component of the network adds to the answer.

    component_logit: what the component adds to the correct minus the mean logit, mean over all examples [nats]
    """

    component_logit: Float[Tensor, "component"]


class IntegratedGradients(NamedTuple):
    """How much of the answer each token brings about.

    position_attribution: mean attribution of correct minus mean logit to the position's token [nats]
    position_attribution_abs: mean absolute attribution of correct minus mean logit to the position's token [nats]
    completeness_error: mean absolute difference of summed attributions and what they explain, relative to that [1]
    """

    position_attribution: Float[Tensor, "position"]
    position_attribution_abs: Float[Tensor, "position"]
    completeness_error: Float[Tensor, ""]


class Attribution(NamedTuple):
    """Integrated gradients of some examples, and what they should sum to: the score less that of the baseline."""

    of_position: Float[Tensor, "example position"]
    explained: Float[Tensor, "example"]


# direct logit attribution


def logit_attribution(checkpoint: Checkpoint) -> LogitAttribution:
    """What every component adds to z_y - mean_c z_c, z the logits and y the right answer, on average over all examples.

    The residual stream is a sum, so the logits are one: of the embedding, the positions, every head's output
    (``L0H1``), every MLP's (``0_mlp_out``, its bias included), the attentions' output biases (``bias``), and what
    the unembedding adds whatever it reads (``unembed_bias``: b_U and the final LayerNorm's shift). The components
    sum to the whole exactly. The final LayerNorm's scale is held at what it is in the forward pass.

    Source: Elhage et al. 2021 (direct path to the logits); TransformerLens (names of the components).

    Raises:
        NotDefined: the model has no residual stream, or normalizes behind each sum.
    """
    model, problem = checkpoint.model, checkpoint.problem
    if not isinstance(model, Transformer):
        raise NotDefined("logit_attribution", model.lacks("a residual stream"))
    if model.spec.norm_position == "post":
        raise NotDefined(
            "logit_attribution", "with post-LayerNorm, no residual stream is the sum of the layers' outputs"
        )
    parts = zip(problem.tokens.split(BATCH), problem.labels.split(BATCH), strict=True)
    with torch.no_grad():
        each = torch.cat([direct_attribution(model, tokens, labels) for tokens, labels in parts], 1)
    return LogitAttribution(each.double().mean(1))


def component_names(model: Model) -> list[str]:
    """The ``component`` coordinate of ``logit_attribution``."""
    if not isinstance(model, Transformer):
        return []
    heads = range(model.n_heads)
    layers = [[*(f"L{layer}H{head}" for head in heads), f"{layer}_mlp_out"] for layer in range(model.n_layers)]
    return ["embed", "pos_embed", *(name for layer in layers for name in layer), "bias", "unembed_bias"]


def direct_attribution(
    model: Transformer, tokens: Int[Tensor, "example position"], classes: Int[Tensor, "example"]
) -> Float[Tensor, "component example"]:
    """What each component of ``component_names`` adds to the logit of the example's class, less the mean logit."""
    points = ("attn.hook_z", "hook_mlp_out")
    inner = [f"blocks.{layer}.{point}" for layer in range(model.n_layers) for point in points]
    scales = ["ln_final.hook_scale"] if model.spec.normalization else []
    _, *found = model.catch(tokens, "hook_embed", "hook_pos_embed", *inner, *scales)
    embed, positions, *found = found if model.spec.read_at == "mean" else [value[:, -1:] for value in found]
    direction = model.W_U.T[classes] - model.W_U.mean(1)
    read = reading(model, direction, found.pop() if scales else embed.new_ones(*embed.shape[:2], 1))
    added = [torch.einsum("bpm,bpm->b", value, read)[None] for value in (embed, positions)]
    for block, z, mlp_out in zip(model.blocks, found[::2], found[1::2], strict=True):
        added += [torch.einsum("bphe,hem,bpm->hb", z, block.attn.W_O, read)]
        added += [torch.einsum("bpm,bpm->b", mlp_out, read)[None]]
    attention_bias = read.sum(1) @ model.b_O.sum(0)
    ln_final: Any = model.ln_final
    shift = direction @ ln_final.b if model.spec.normalization == "LN" else 0
    unembed_bias = model.b_U[classes] - model.b_U.mean() + shift
    return torch.cat([*added, attention_bias[None], unembed_bias[None]])


def reading(
    model: Transformer, direction: Float[Tensor, "example d_model"], scale: Float[Tensor, "example position 1"]
) -> Float[Tensor, "example position d_model"]:
    """The adjoint of the final LayerNorm with its scale held, and of the mean over the positions that are read."""
    ln_final: Any = model.ln_final
    if model.spec.normalization is not None:
        weighted = direction * ln_final.w if model.spec.normalization == "LN" else direction
        direction = weighted - weighted.mean(-1, keepdim=True)
    return direction.unsqueeze(1) / (scale * scale.shape[1])


# integrated gradients


def integrated_gradients(
    checkpoint: Checkpoint, *, examples: int = EXAMPLES, nodes: int = NODES
) -> IntegratedGradients:
    """Integrated gradients of z_y - mean_c z_c with respect to the tokens' embeddings, summed over their features.

    IG_t = (x_t - x̄_t) · ∫₀¹ ∂F/∂x_t (x̄ + α(x - x̄)) dα, F = z_y - mean_c z_c with y the right answer, x_t the
    embedding of the token at position t (``hook_embed``, without the positional one) and x̄_t its mean over all
    examples. A token that is the same in all examples ("=") is its own baseline: 0. Completeness,
    Σ_t IG_t = F(x) - F(x̄), holds but for the quadrature, whose error is reported: mean |Σ_t IG_t - ΔF| / mean |ΔF|.
    It vanishes fast with the number of nodes where the activation function is smooth, and as 1 / nodes where it
    has a kink: up to 4e-3 in one layer, 1e-2 in two with LayerNorm; ``completeness_error`` says.

    Args:
        checkpoint: the network, of any kind but recursive ones with several supervision steps.
        examples: how many, drawn, the same at every checkpoint.
        nodes: of the Gauss-Legendre quadrature.

    Source: Sundararajan et al. 2017, §3.

    Raises:
        NotDefined: gradients stop inside the model, between supervision steps; the embedding is unknown.
    """
    model, problem = checkpoint.model, checkpoint.problem
    if isinstance(model, RecursiveModel) and model.spec.n_supervision > 1:
        raise NotDefined("integrated_gradients", "no gradient passes from one supervision step to the next")
    if model.embed_hook is None:
        raise NotDefined("integrated_gradients", model.lacks("an embedding of tokens"))
    chosen = drawn_examples(len(problem.tokens), examples).to(problem.tokens.device)
    tokens, baseline = problem.tokens[chosen], mean_embedding(model, problem.tokens)
    found = attribute(model, tokens, problem.labels[chosen], baseline=baseline, nodes=nodes)
    difference = found.of_position.sum(1) - found.explained
    return IntegratedGradients(
        position_attribution=found.of_position.mean(0),
        position_attribution_abs=found.of_position.abs().mean(0),
        completeness_error=difference.abs().mean() / found.explained.abs().mean(),
    )


def attribute(
    model: Model,
    tokens: Int[Tensor, "example _"],
    classes: Int[Tensor, "example"],
    *,
    baseline: Float[Tensor, "position feature"],
    nodes: int = NODES,
) -> Attribution:
    """Integrated gradients of every position's token for the logit of the example's class minus the mean logit."""
    start = baseline.detach().expand(len(tokens), -1, -1)
    change = embedded(model, tokens) - start
    gradient = torch.zeros_like(change)
    for node, weight in zip(*gauss_legendre(nodes), strict=True):
        with torch.enable_grad():
            x = (start + node * change).requires_grad_()
            gradient += weight * torch.autograd.grad(score(model, tokens, classes, x).sum(), x)[0]
    with torch.no_grad():
        ends = [score(model, tokens, classes, x) for x in (start, start + change)]
    return Attribution((gradient * change).sum(-1), ends[1] - ends[0])


def score(
    model: Model,
    tokens: Int[Tensor, "example _"],
    classes: Int[Tensor, "example"],
    embedding: Float[Tensor, "example position feature"],
) -> Float[Tensor, "example"]:
    """The logit of the example's class minus the mean logit, the tokens embedded as given."""

    def put(value: Tensor, *, hook: Any) -> Tensor:
        return embedding

    assert model.embed_hook is not None
    with model.hooks(fwd_hooks=[(model.embed_hook, put)]):
        logits = model(tokens)[:, -1]
    return logits.gather(-1, classes.unsqueeze(-1)).squeeze(-1) - logits.mean(-1)


def embedded(model: Model, tokens: Int[Tensor, "example _"]) -> Float[Tensor, "example position feature"]:
    """What the tokens are embedded as, one-hot vectors as numbers."""
    assert model.embed_hook is not None
    with torch.no_grad():
        return model.catch(tokens, model.embed_hook)[1]


def mean_embedding(model: Model, tokens: Int[Tensor, "example _"]) -> Float[Tensor, "position feature"]:
    """The mean over the examples of what each position's token is embedded as."""
    return torch.stack([embedded(model, part).sum(0) for part in tokens.split(BATCH)]).sum(0) / len(tokens)


def gauss_legendre(n: int) -> tuple[list[float], list[float]]:
    """Nodes and weights of ∫₀¹ f(α) dα ≈ Σ_i w_i f(α_i), exact for polynomials of degree below 2n.

    >>> gauss_legendre(1)
    ([0.5], [1.0])
    """
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return ((nodes + 1) / 2).tolist(), (weights / 2).tolist()
