"""The layers that models are made of, with TransformerLens parameter and hook names."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from grokinterp.maths.stablemax import stablemax
from grokinterp.models.hooked import HookPoint
from grokinterp.models.training_mode import dropout


def quadratic(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return x², the activation function of networks with an analytic solution (Gromov 2023)."""
    return x.square()


ACTIVATIONS = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "quadratic": quadratic,
    "tanh": torch.tanh,
}


def activation_between(x: Float[Tensor, "*shape"], y: Float[Tensor, "*shape"]) -> Callable[[Tensor], Tensor] | None:
    """Return the activation function that maps x to y; None if no known function does.

    >>> x = torch.tensor([-1.0, 0.5])
    >>> activation_between(x, x.square()) is quadratic, activation_between(x, x + 1)
    (True, None)
    """
    others = (torch.sigmoid, torch.abs, functional.softplus, functional.leaky_relu, functional.elu)
    tried = (*ACTIVATIONS.values(), partial(functional.gelu, approximate="tanh"), *others)
    return next((act for act in tried if torch.allclose(act(x), y, rtol=1e-5, atol=1e-7)), None)


def bias(module: nn.Module, name: str, *shape: int, trained: bool) -> None:
    """Register a zero bias: a parameter if trained, otherwise a buffer with the same state-dict name."""
    if trained:
        module.register_parameter(name, nn.Parameter(torch.zeros(*shape)))
    else:
        module.register_buffer(name, torch.zeros(*shape))


class LayerNorm(nn.Module):
    """LayerNorm over the last axis, epsilon 1e-5, with TransformerLens's two hooks."""

    def __init__(self, d_model: int, *, affine: bool) -> None:
        super().__init__()
        self.d_model, self.affine = d_model, affine
        if affine:
            self.w = nn.Parameter(torch.ones(d_model))
            self.b = nn.Parameter(torch.zeros(d_model))
        self.hook_scale = HookPoint()
        self.hook_normalized = HookPoint()

    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        x = x - x.mean(-1, keepdim=True)
        scale = self.hook_scale((x.square().mean(-1, keepdim=True) + 1e-5).sqrt())
        x = x / scale
        return self.hook_normalized(x * self.w + self.b if self.affine else x)


def norm(d_model: int, kind: str | None) -> nn.Module:
    """Return LayerNorm with scale and shift for "LN", without them for "LNPre", and the identity for None."""
    return nn.Identity() if kind is None else LayerNorm(d_model, affine=kind == "LN")


class Attention(nn.Module):
    """Multi-head attention; weights [head, d_model, d_head] and W_O [head, d_head, d_model].

    Args:
        d_model: width of the residual stream.
        n_heads: number of heads. d_head: width of each head.
        n_ctx: number of positions.
        biases: whether biases are trained; otherwise they stay zero.
        bidirectional: whether a position attends to later positions too.
        function: "softmax" or "stablemax".
        rate: weight of the learned pattern relative to the constant pattern, see ``weights``.
        scale: divisor of the scores (default: √d_head).
        dropped: rate of dropout on the pattern.
    """

    W_Q: Float[Tensor, "head d_model d_head"]
    W_K: Float[Tensor, "head d_model d_head"]
    W_V: Float[Tensor, "head d_model d_head"]
    b_Q: Float[Tensor, "head d_head"]
    b_K: Float[Tensor, "head d_head"]
    b_V: Float[Tensor, "head d_head"]
    b_O: Float[Tensor, "d_model"]
    mask: Bool[Tensor, "query key"]

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        d_head: int,
        n_ctx: int,
        *,
        biases: bool,
        bidirectional: bool,
        function: str,
        rate: float,
        scale: float | None = None,
        dropped: float = 0.0,
    ) -> None:
        super().__init__()
        for name in ("W_Q", "W_K", "W_V"):
            self.register_parameter(name, nn.Parameter(torch.empty(n_heads, d_model, d_head)))
        self.W_O = nn.Parameter(torch.empty(n_heads, d_head, d_model))
        for name in ("b_Q", "b_K", "b_V"):
            bias(self, name, n_heads, d_head, trained=biases)
        bias(self, "b_O", d_model, trained=biases)
        visible = np.ones((n_ctx, n_ctx), dtype=bool)  # PyTorch's tril, without storage, imports its compiler
        mask = torch.tensor(visible if bidirectional else np.tril(visible))
        self.register_buffer("mask", mask, persistent=False)
        self.scale = math.sqrt(d_head) if scale is None else scale
        self.drop = dropout(dropped)
        self.attention_fn, self.rate = ATTENTION_FUNCTIONS[function], rate
        self.hook_q, self.hook_k, self.hook_v = HookPoint(), HookPoint(), HookPoint()
        self.hook_attn_scores, self.hook_pattern, self.hook_z = HookPoint(), HookPoint(), HookPoint()

    def weights(self, scores: Float[Tensor, "*shape"], dim: int = -1) -> Float[Tensor, "*shape"]:
        """Return attention from scores, -∞ where a key is masked: rate · softmax(scores) + (1 - rate) · 1.

        Source: Zhong et al. 2023, §4 (attention rate), with the all-ones matrix of the released code.
        """
        learned = self.attention_fn(scores, dim)
        if self.rate == 1:
            return learned
        return (self.rate * learned + (1 - self.rate)).masked_fill(scores == -math.inf, 0)

    def total(self, positions: int) -> float:
        """Return the sum of the ``weights`` over the visible positions."""
        return self.rate + (1 - self.rate) * positions

    def forward(self, x: Float[Tensor, "batch position d_model"]) -> Float[Tensor, "batch position d_model"]:
        q = self.hook_q(torch.einsum("bpm,hme->bphe", x, self.W_Q) + self.b_Q)
        k = self.hook_k(torch.einsum("bpm,hme->bphe", x, self.W_K) + self.b_K)
        v = self.hook_v(torch.einsum("bpm,hme->bphe", x, self.W_V) + self.b_V)
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / self.scale
        visible = self.mask[: x.shape[1], : x.shape[1]]
        scores = self.hook_attn_scores(scores.masked_fill(~visible, -math.inf))
        pattern = self.hook_pattern(self.weights(scores))
        z = self.hook_z(torch.einsum("bhqk,bkhe->bqhe", self.drop(pattern), v))
        return torch.einsum("bqhe,hem->bqm", z, self.W_O) + self.b_O


ATTENTION_FUNCTIONS = {"softmax": torch.softmax, "stablemax": stablemax}


def replace_attention_fn(module: nn.Module, function: Callable[[Tensor, int], Tensor]) -> bool:
    """Replace the attention function of an attention layer; return False for any other module."""
    if isinstance(module, Attention):
        module.attention_fn = function  # ty: ignore[invalid-assignment]
    return isinstance(module, Attention)


class MLP(nn.Module):
    """One hidden layer: act(x W_in + b_in) W_out + b_out."""

    b_in: Float[Tensor, "d_mlp"]
    b_out: Float[Tensor, "d_model"]

    def __init__(self, d_model: int, d_mlp: int, act_fn: str, *, biases: bool, dropped: float = 0.0) -> None:
        super().__init__()
        self.W_in = nn.Parameter(torch.empty(d_model, d_mlp))
        self.W_out = nn.Parameter(torch.empty(d_mlp, d_model))
        bias(self, "b_in", d_mlp, trained=biases)
        bias(self, "b_out", d_model, trained=biases)
        self.act, self.drop = ACTIVATIONS[act_fn], dropout(dropped)
        self.hook_pre = HookPoint()
        self.hook_post = HookPoint()

    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        post = self.hook_post(self.act(self.hook_pre(x @ self.W_in + self.b_in)))
        return self.drop(post) @ self.W_out + self.b_out


class Block(nn.Module):
    """Attention, then MLP, each added to the residual stream; LayerNorm before each sub-layer or after each sum.

    ``dropped`` has the rates of dropout on the outputs of attention and of the MLP.
    """

    def __init__(
        self,
        d_model: int,
        attention: Attention,
        mlp: MLP,
        *,
        normalization: str | None,
        post_norm: bool,
        dropped: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        super().__init__()
        self.drop_attn, self.drop_mlp = map(dropout, dropped)
        self.post_norm = post_norm
        self.ln1, self.ln2 = norm(d_model, normalization), norm(d_model, normalization)
        self.attn, self.mlp = attention, mlp
        self.hook_resid_pre, self.hook_resid_mid, self.hook_resid_post = HookPoint(), HookPoint(), HookPoint()
        self.hook_attn_out, self.hook_mlp_out = HookPoint(), HookPoint()

    def before(self, layer_norm: nn.Module, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """Return the input of a sub-layer: the residual stream, normalized unless the block is post-norm."""
        return x if self.post_norm else layer_norm(x)

    def after(self, layer_norm: nn.Module, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """Return the residual stream with the output of a sub-layer added, normalized if the block is post-norm."""
        return layer_norm(x) if self.post_norm else x

    def forward(self, x: Float[Tensor, "batch position d_model"]) -> Float[Tensor, "batch position d_model"]:
        x = self.hook_resid_pre(x)
        x = self.after(self.ln1, x + self.drop_attn(self.hook_attn_out(self.attn(self.before(self.ln1, x)))))
        x = self.hook_resid_mid(x)
        x = self.after(self.ln2, x + self.drop_mlp(self.hook_mlp_out(self.mlp(self.before(self.ln2, x)))))
        return self.hook_resid_post(x)


class Embed(nn.Module):
    """Token embedding with one row per token."""

    def __init__(self, d_vocab: int, d_model: int) -> None:
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(d_vocab, d_model))

    def forward(self, tokens: Int[Tensor, "batch position"]) -> Float[Tensor, "batch position d_model"]:
        return self.W_E[tokens]


class SeparateEmbed(nn.Module):
    """Token embedding with a separate table at every position."""

    def __init__(self, n_ctx: int, d_vocab: int, d_model: int) -> None:
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(n_ctx, d_vocab, d_model))

    def forward(self, tokens: Int[Tensor, "batch position"]) -> Float[Tensor, "batch position d_model"]:
        return self.W_E[torch.arange(tokens.shape[1], device=tokens.device), tokens]


class PosEmbed(nn.Module):
    """Positional embedding: learned, or a buffer of sinusoids or zeros."""

    W_pos: Float[Tensor, "position d_model"]

    def __init__(self, n_ctx: int, d_model: int, positions: str) -> None:
        super().__init__()
        if positions == "learned":
            self.register_parameter("W_pos", nn.Parameter(torch.empty(n_ctx, d_model)))
        else:
            zeros = torch.zeros(n_ctx, d_model)
            self.register_buffer("W_pos", sinusoids(n_ctx, d_model) if positions == "sinusoidal" else zeros)

    def forward(self, tokens: Int[Tensor, "batch position"]) -> Float[Tensor, "batch position d_model"]:
        return self.W_pos[: tokens.shape[1]].expand(*tokens.shape, -1)


def sinusoids(n_ctx: int, d_model: int) -> Float[Tensor, "position d_model"]:
    """Return sin(t ω_i) in even and cos(t ω_i) in odd columns, ω_i = 10000^(-2i/d_model).

    Source: Vaswani et al. 2017, §3.5.

    >>> sinusoids(2, 4)[1]
    tensor([0.8415, 0.5403, 0.0100, 0.9999])
    """
    rate = 10_000.0 ** (-2 * torch.arange((d_model + 1) // 2) / d_model)
    angle = torch.arange(n_ctx)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :d_model]


class Unembed(nn.Module):
    """Map from the residual stream to one logit per class; tied directions are the embeddings of the classes.

    The logits are scale · (x W_U + b_U); ``directions`` and ``offsets`` include the scale.
    """

    b_U: Float[Tensor, "class"]

    def __init__(
        self, d_model: int, d_vocab_out: int, *, biases: bool, tied_to: Embed | None, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.scale = scale
        self.tied_to = [] if tied_to is None else [tied_to]  # in a list, because a submodule would be registered twice
        self.d_vocab_out = d_vocab_out
        if tied_to is None:
            self.W_U = nn.Parameter(torch.empty(d_model, d_vocab_out))
        bias(self, "b_U", d_vocab_out, trained=biases)

    @property
    def directions(self) -> Float[Tensor, "d_model class"]:
        """Return W_U, or the transposed embeddings of the first tokens, times the scale."""
        weight = self.tied_to[0].W_E[: self.d_vocab_out].T if self.tied_to else self.W_U
        return weight if self.scale == 1 else self.scale * weight

    @property
    def offsets(self) -> Float[Tensor, "class"]:
        """Return b_U times the scale."""
        return self.b_U if self.scale == 1 else self.scale * self.b_U

    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch class"]:
        return x @ self.directions + self.offsets
