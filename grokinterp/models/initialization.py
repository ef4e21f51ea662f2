"""The initial weights of transformers."""

import math

import torch
from torch import Tensor, nn

from grokinterp.models.specifications import TransformerSpec


@torch.no_grad()
def initialize(model: nn.Module, spec: TransformerSpec, generator: torch.Generator | None) -> None:
    """Draw every weight of a transformer according to ``spec.initialization``; with "normal", biases are zero.

    Without a generator the weights become zero, to be loaded.

    Source: the code released with Nanda et al. 2023 ("normal").
    """
    for name, weight in model.named_parameters():
        if generator is None and ".W_" in name:
            weight.zero_()
        elif generator is not None and spec.initialization == "pytorch":
            draw_as_pytorch(name, weight, spec, generator)
        elif generator is not None and ".W_" in name:
            weight.normal_(0, deviation(name, weight, spec), generator=generator)


def deviation(name: str, weight: Tensor, spec: TransformerSpec) -> float:
    """Return the standard deviation of a matrix with "normal" or "mup".

    With "mup", embeddings have deviation 1, hidden matrices fan_in^-½, and the unembedding 1 / d_model.

    Source: Yang et al. 2022, Table 3 ("mup").
    """
    kind = name.rsplit(".", 1)[-1]
    if not spec.scales_rates:
        return (weight.shape[1] if kind == "W_U" else spec.d_model) ** -0.5
    if kind in ("W_E", "W_pos", "W_U"):
        return 1 / spec.d_model if kind == "W_U" else 1.0
    return {"W_O": spec.n_heads * spec.head_size, "W_out": spec.d_mlp}.get(kind, spec.d_model) ** -0.5


def draw_as_pytorch(name: str, weight: Tensor, spec: TransformerSpec, generator: torch.Generator) -> None:
    """Draw a parameter of a transformer as torch.nn.Embedding, MultiheadAttention or Linear would.

    Embeddings are drawn from N(0, 1); queries, keys and values from U(±√(6 / (3 d + d))), as in Glorot and Bengio 2010
    for the three as one matrix; all other weights with n inputs, and their biases, from U(±1/√n). Attention biases are
    zero.
    """
    kind = name.rsplit(".", 1)[-1]
    if kind in ("W_E", "W_pos"):
        weight.normal_(generator=generator)
    elif kind in ("W_Q", "W_K", "W_V"):
        bound = math.sqrt(6 / (spec.d_model + 3 * spec.n_heads * spec.head_size))
        weight.uniform_(-bound, bound, generator=generator)
    elif kind in ("W_O", "W_in", "W_out", "W_U", "b_in", "b_out", "b_U"):
        read = {"W_O": spec.n_heads * spec.head_size, "W_out": spec.d_mlp, "b_out": spec.d_mlp}.get(kind, spec.d_model)
        weight.uniform_(-(read**-0.5), read**-0.5, generator=generator)
