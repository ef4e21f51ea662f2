"""Where the correct logit comes from: direct attribution to the components, integrated gradients to the tokens."""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.analysis.engine.examples import BATCH, drawn_examples
from grokinterp.errors import NotDefined
from grokinterp.models import Model
from grokinterp.runs.checkpoint import Checkpoint

EXAMPLES = 32
NODES = 64

AXES = {"component": lambda setting: setting.model.components}


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
    """Return the contribution of every component to z_y - mean_c z_c, with z the logits and y the correct answer.

    The residual stream is a sum, so the logits are one: of the embedding, the positions, every head's output
    (``L0H1``), every MLP's (``0_mlp_out``, its bias included), the attentions' output biases (``bias``), and what
    the unembedding adds whatever it reads (``unembed_bias``: b_U and the final LayerNorm's shift). The components
    sum to the whole exactly. The final LayerNorm's scale is held at what it is in the forward pass.

    Source: Elhage et al. 2021 (direct path to the logits); TransformerLens (names of the components).

    Raises:
        NotDefined: the model has no residual stream, or normalizes behind each sum.
    """
    model, problem = checkpoint.model, checkpoint.problem
    parts = zip(problem.tokens.split(BATCH), problem.labels.split(BATCH), strict=True)
    with torch.no_grad():
        each = torch.cat([model.logit_components(tokens, labels) for tokens, labels in parts], 1)
    return LogitAttribution(each.double().mean(1))


# integrated gradients


def integrated_gradients(
    checkpoint: Checkpoint, *, examples: int = EXAMPLES, nodes: int = NODES
) -> IntegratedGradients:
    """Return the integrated gradients of z_y - mean_c z_c on the tokens' embeddings, summed over their features.

    IG_t = (x_t - x̄_t) · ∫₀¹ ∂F/∂x_t (x̄ + α(x - x̄)) dα, F = z_y - mean_c z_c with y the correct answer, x_t the
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
    if not model.has_true_gradient:
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
