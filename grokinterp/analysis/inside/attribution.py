"""Attribution of the correct logit: direct attribution to the components, integrated gradients to the tokens."""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.analysis.engine.examples import BATCH, drawn_examples
from grokinterp.errors import NotDefined
from grokinterp.models import Model
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.torch_settings import computing

EXAMPLES = 32
NODES = 64

AXES = {"component": lambda setting: setting.model.components}


class LogitAttribution(NamedTuple):
    """Contribution of each component of the network to the answer.

    component_logit: contribution of the component to the correct minus the mean logit, mean over all examples [nats]
    """

    component_logit: Float[Tensor, "component"]


class IntegratedGradients(NamedTuple):
    """Attribution of the answer to each token.

    position_attribution: mean attribution of correct minus mean logit to the position's token [nats]
    position_attribution_abs: mean absolute attribution of correct minus mean logit to the position's token [nats]
    completeness_error: mean absolute error of the summed attributions, relative to the mean absolute score change [1]
    """

    position_attribution: Float[Tensor, "position"]
    position_attribution_abs: Float[Tensor, "position"]
    completeness_error: Float[Tensor, ""]


class Attribution(NamedTuple):
    """Integrated gradients of some examples, and their exact sum: the score minus the score of the baseline."""

    of_position: Float[Tensor, "example position"]
    explained: Float[Tensor, "example"]


# direct logit attribution


def logit_attribution(checkpoint: Checkpoint) -> LogitAttribution:
    """Return the contribution of every component to z_y - mean_c z_c, with z the logits and y the correct answer.

    The residual stream is a sum of components, and so are the logits: the embedding, the positional embedding, the
    output of every head (``L0H1``) and MLP (``0_mlp_out``, including its bias), the output biases of attention
    (``bias``), and the constant of the unembedding (``unembed_bias``: b_U and the shift of the final LayerNorm). The
    contributions sum exactly to z_y - mean_c z_c; a positive contribution favors the correct answer. The scale of the
    final LayerNorm is fixed at its value in the forward pass.

    Source: Elhage et al. 2021 (direct path to the logits); TransformerLens (names of the components).

    Raises:
        NotDefined: the model has no residual stream, or it normalizes after each sum.
    """
    model, problem = checkpoint.model, checkpoint.problem
    parts = zip(problem.tokens.split(BATCH), problem.label.split(BATCH), strict=True)
    with torch.no_grad():
        each = torch.cat([model.logit_components(tokens, labels) for tokens, labels in parts], 1)
    return LogitAttribution(each.double().mean(1))


# integrated gradients


def integrated_gradients(
    checkpoint: Checkpoint, *, examples: int = EXAMPLES, nodes: int = NODES
) -> IntegratedGradients:
    """Return the integrated gradients of z_y - mean_c z_c for the tokens' embeddings, summed over features.

    IG_t = (x_t - x̄_t) · ∫₀¹ ∂F/∂x_t (x̄ + α(x - x̄)) dα, F = z_y - mean_c z_c with y the correct answer, x_t the
    embedding of the token at position t (``hook_embed``, without the positional embedding) and x̄_t its mean over all
    examples. A position with a large value has a large effect on the answer; a token that is the same in all examples
    ("=") equals its baseline and has attribution 0.

    Completeness, Σ_t IG_t = F(x) - F(x̄), holds up to the error of the quadrature, which is reported as
    ``completeness_error``: mean |Σ_t IG_t - ΔF| / mean |ΔF|. It decreases rapidly with the number of nodes for a smooth
    activation function, and as 1 / nodes for a function with a kink: up to 4e-3 in one layer, and 1e-2 in two layers
    with LayerNorm.

    Args:
        checkpoint: any network except a recursive network with several supervision steps.
        examples: number of examples in the sample, which is the same at every checkpoint.
        nodes: number of nodes of the Gauss-Legendre quadrature.

    Source: Sundararajan et al. 2017, §3.

    Raises:
        NotDefined: gradients stop between the supervision steps of the model, or its embedding is unknown.
    """
    model, problem = checkpoint.model, checkpoint.problem
    if not model.has_true_gradient:
        raise NotDefined("integrated_gradients", "no gradient passes from one supervision step to the next")
    if model.embed_hook is None:
        raise NotDefined("integrated_gradients", model.lacks("an embedding of tokens"))
    with computing(problem.tokens.device):
        chosen = drawn_examples(len(problem.tokens), examples).to(problem.tokens.device)
        tokens, baseline = problem.tokens[chosen], mean_embedding(model, problem.tokens)
        found = attribute(model, tokens, problem.label[chosen], baseline=baseline, nodes=nodes)
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
    """Return the integrated gradients of every position for the logit of the example's class minus the mean logit."""
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
    """Return the logit of the example's class minus the mean logit, for the given embedding of the tokens."""

    def put(value: Tensor, *, hook: Any) -> Tensor:
        return embedding

    assert model.embed_hook is not None
    with model.hooks(fwd_hooks=[(model.embed_hook, put)]):
        logits = model(tokens)[:, -1]
    return logits.gather(-1, classes.unsqueeze(-1)).squeeze(-1) - logits.mean(-1)


def embedded(model: Model, tokens: Int[Tensor, "example _"]) -> Float[Tensor, "example position feature"]:
    """Return the embedding of the tokens, with one-hot vectors as floating-point numbers."""
    assert model.embed_hook is not None
    with torch.no_grad():
        return model.catch(tokens, model.embed_hook)[1]


def mean_embedding(model: Model, tokens: Int[Tensor, "example _"]) -> Float[Tensor, "position feature"]:
    """Return the mean over the examples of the embedding at each position."""
    return torch.stack([embedded(model, part).sum(0) for part in tokens.split(BATCH)]).sum(0) / len(tokens)


def gauss_legendre(n: int) -> tuple[list[float], list[float]]:
    """Return nodes and weights of ∫₀¹ f(α) dα ≈ Σ_i w_i f(α_i), exact for polynomials of degree below 2n.

    >>> gauss_legendre(1)
    ([0.5], [1.0])
    """
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return ((nodes + 1) / 2).tolist(), (weights / 2).tolist()
