"""The transformer of the grokking papers, with TransformerLens names."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from grokinterp.errors import ConfigError
from grokinterp.models.hooked import (
    ActivationCache,
    FactoredMatrix,
    HookedRootModule,
    HookPoint,
    TypedModuleList,
    bridge,
    bridge_config,
)

ACTIVATIONS = {"relu": functional.relu, "gelu": functional.gelu, "silu": functional.silu}


@dataclass(frozen=True, kw_only=True)
class TransformerSpec:
    """The sizes and choices of a transformer; ``d_head`` defaults to d_model / n_heads.

    ``normalization``: None, "LN" (LayerNorm with scale and shift) or "LNPre" (without), before each
    sub-layer and before the unembedding. ``biases=False`` keeps every bias at zero, untrained.

    Raises:
        ConfigError: a size below 1, or heads that do not divide d_model.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid", "allow_inf_nan": False}

    kind: Literal["transformer"] = "transformer"
    n_layers: int = 1
    d_model: int = 128
    n_heads: int = 4
    d_head: int | None = None
    d_mlp: int = 512
    act_fn: Literal["relu", "gelu", "silu"] = "relu"
    normalization: Literal["LN", "LNPre"] | None = None
    attention: Literal["causal", "bidirectional"] = "causal"
    biases: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.n_layers <= 128:
            raise ConfigError("n_layers", self.n_layers, "must be an integer from 1 to 128")
        for key in ("d_model", "n_heads", "d_mlp"):
            if not 1 <= getattr(self, key) <= 65536:
                raise ConfigError(key, getattr(self, key), "must be an integer from 1 to 65536")
        if self.d_head is None and self.d_model % self.n_heads:
            raise ConfigError("n_heads", self.n_heads, f"must divide d_model={self.d_model} (or give d_head)")
        if self.d_head is not None and not 1 <= self.d_head <= 65536:
            raise ConfigError("d_head", self.d_head, "must be an integer from 1 to 65536")

    @property
    def head_size(self) -> int:
        return self.d_head if self.d_head is not None else self.d_model // self.n_heads


def bias(module: nn.Module, name: str, *shape: int, trained: bool) -> None:
    """Register a zero bias: a parameter when trained, else a buffer under the same state-dict name."""
    if trained:
        module.register_parameter(name, nn.Parameter(torch.zeros(*shape)))
    else:
        module.register_buffer(name, torch.zeros(*shape))


class LayerNorm(nn.Module):
    """LayerNorm over the last axis, epsilon 1e-5, with TransformerLens's two hooks."""

    def __init__(self, d_model: int, *, affine: bool) -> None:
        super().__init__()
        self.affine = affine
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


def norm(spec: TransformerSpec) -> nn.Module:
    """What the specification puts before each sub-layer and before the unembedding."""
    return nn.Identity() if spec.normalization is None else LayerNorm(spec.d_model, affine=spec.normalization == "LN")


class Attention(nn.Module):
    """Multi-head attention; weights [head, d_model, d_head] and W_O [head, d_head, d_model]."""

    W_Q: Float[Tensor, "head d_model d_head"]
    W_K: Float[Tensor, "head d_model d_head"]
    W_V: Float[Tensor, "head d_model d_head"]
    b_Q: Float[Tensor, "head d_head"]
    b_K: Float[Tensor, "head d_head"]
    b_V: Float[Tensor, "head d_head"]
    b_O: Float[Tensor, "d_model"]
    mask: Bool[Tensor, "query key"]

    def __init__(self, spec: TransformerSpec, n_ctx: int) -> None:
        super().__init__()
        heads, d_model, d_head = spec.n_heads, spec.d_model, spec.head_size
        for name in ("W_Q", "W_K", "W_V"):
            self.register_parameter(name, nn.Parameter(torch.empty(heads, d_model, d_head)))
        self.W_O = nn.Parameter(torch.empty(heads, d_head, d_model))
        for name in ("b_Q", "b_K", "b_V"):
            bias(self, name, heads, d_head, trained=spec.biases)
        bias(self, "b_O", d_model, trained=spec.biases)
        visible = torch.ones(n_ctx, n_ctx, dtype=torch.bool)
        self.register_buffer("mask", visible if spec.attention == "bidirectional" else visible.tril(), persistent=False)
        self.scale = math.sqrt(d_head)
        self.hook_q, self.hook_k, self.hook_v = HookPoint(), HookPoint(), HookPoint()
        self.hook_attn_scores, self.hook_pattern, self.hook_z = HookPoint(), HookPoint(), HookPoint()

    def forward(self, x: Float[Tensor, "batch position d_model"]) -> Float[Tensor, "batch position d_model"]:
        q = self.hook_q(torch.einsum("bpm,hme->bphe", x, self.W_Q) + self.b_Q)
        k = self.hook_k(torch.einsum("bpm,hme->bphe", x, self.W_K) + self.b_K)
        v = self.hook_v(torch.einsum("bpm,hme->bphe", x, self.W_V) + self.b_V)
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / self.scale
        visible = self.mask[: x.shape[1], : x.shape[1]]
        scores = self.hook_attn_scores(scores.masked_fill(~visible, -math.inf))
        pattern = self.hook_pattern(scores.softmax(-1))
        z = self.hook_z(torch.einsum("bhqk,bkhe->bqhe", pattern, v))
        return torch.einsum("bqhe,hem->bqm", z, self.W_O) + self.b_O


class MLP(nn.Module):
    """One hidden layer: act(x W_in + b_in) W_out + b_out."""

    b_in: Float[Tensor, "d_mlp"]
    b_out: Float[Tensor, "d_model"]

    def __init__(self, spec: TransformerSpec) -> None:
        super().__init__()
        self.W_in = nn.Parameter(torch.empty(spec.d_model, spec.d_mlp))
        self.W_out = nn.Parameter(torch.empty(spec.d_mlp, spec.d_model))
        bias(self, "b_in", spec.d_mlp, trained=spec.biases)
        bias(self, "b_out", spec.d_model, trained=spec.biases)
        self.act = ACTIVATIONS[spec.act_fn]
        self.hook_pre = HookPoint()
        self.hook_post = HookPoint()

    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        post = self.hook_post(self.act(self.hook_pre(x @ self.W_in + self.b_in)))
        return post @ self.W_out + self.b_out


class Block(nn.Module):
    """Attention, then MLP, each added to the residual stream."""

    def __init__(self, spec: TransformerSpec, n_ctx: int) -> None:
        super().__init__()
        self.ln1, self.ln2 = norm(spec), norm(spec)
        self.attn = Attention(spec, n_ctx)
        self.mlp = MLP(spec)
        self.hook_resid_pre, self.hook_resid_mid, self.hook_resid_post = HookPoint(), HookPoint(), HookPoint()
        self.hook_attn_out, self.hook_mlp_out = HookPoint(), HookPoint()

    def forward(self, x: Float[Tensor, "batch position d_model"]) -> Float[Tensor, "batch position d_model"]:
        x = self.hook_resid_pre(x)
        x = self.hook_resid_mid(x + self.hook_attn_out(self.attn(self.ln1(x))))
        return self.hook_resid_post(x + self.hook_mlp_out(self.mlp(self.ln2(x))))


class Embed(nn.Module):
    """One row per token."""

    def __init__(self, d_vocab: int, d_model: int) -> None:
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(d_vocab, d_model))

    def forward(self, tokens: Int[Tensor, "batch position"]) -> Float[Tensor, "batch position d_model"]:
        return self.W_E[tokens]


class PosEmbed(nn.Module):
    """One row per position."""

    def __init__(self, n_ctx: int, d_model: int) -> None:
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(n_ctx, d_model))

    def forward(self, tokens: Int[Tensor, "batch position"]) -> Float[Tensor, "batch position d_model"]:
        return self.W_pos[: tokens.shape[1]].expand(*tokens.shape, -1)


class Unembed(nn.Module):
    """From the residual stream to one logit per class."""

    b_U: Float[Tensor, "class"]

    def __init__(self, d_model: int, d_vocab_out: int, *, biases: bool) -> None:
        super().__init__()
        self.W_U = nn.Parameter(torch.empty(d_model, d_vocab_out))
        bias(self, "b_U", d_vocab_out, trained=biases)

    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch class"]:
        return x @ self.W_U + self.b_U


class Transformer(HookedRootModule):
    """A decoder-only transformer read at its last position; every parameter and hook under its TransformerLens name.

    This plain module is the oracle: ``models.readout`` computes the same logits faster and is
    tested against it.

    Args:
        spec: sizes and choices.
        d_vocab: input tokens. d_vocab_out: classes. n_ctx: positions.
        generator: draws the initial weights; without one they are left zero, to be loaded.
    """

    def __init__(
        self,
        spec: TransformerSpec,
        *,
        d_vocab: int,
        d_vocab_out: int,
        n_ctx: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.cfg = bridge_config(
            d_model=spec.d_model,
            n_layers=spec.n_layers,
            n_heads=spec.n_heads,
            d_head=spec.head_size,
            d_mlp=spec.d_mlp,
            n_ctx=n_ctx,
            d_vocab=d_vocab,
            d_vocab_out=d_vocab_out,
            act_fn=spec.act_fn,
            normalization=spec.normalization,
            bidirectional=spec.attention == "bidirectional",
        )
        self.embed = Embed(d_vocab, spec.d_model)
        self.pos_embed = PosEmbed(n_ctx, spec.d_model)
        self.blocks = TypedModuleList([Block(spec, n_ctx) for _ in range(spec.n_layers)])
        self.ln_final = norm(spec)
        self.unembed = Unembed(spec.d_model, d_vocab_out, biases=spec.biases)
        self.hook_embed = HookPoint()
        self.hook_pos_embed = HookPoint()
        self.initialize(generator)
        self.setup()
        self.eval()  # training mode changes nothing here, and TransformerLens's patching refuses it

    @torch.no_grad()
    def initialize(self, generator: torch.Generator | None) -> None:
        """Draw every weight from N(0, 1/d_model), W_U from N(0, 1/d_vocab_out); biases stay zero.

        Source: the code released with Nanda et al. 2023.
        """
        for name, weight in self.named_parameters():
            if ".W_" not in name:
                continue
            if generator is None:
                weight.zero_()
                continue
            fan = weight.shape[1] if name == "unembed.W_U" else self.spec.d_model
            weight.normal_(0, fan**-0.5, generator=generator)

    def forward(self, tokens: Int[Tensor, "batch position"]) -> Float[Tensor, "batch position class"]:
        """Logits at every position."""
        x = self.hook_embed(self.embed(tokens)) + self.hook_pos_embed(self.pos_embed(tokens))
        for block in self.blocks:
            x = block(x)
        return self.unembed(self.ln_final(x))

    def run_with_cache(  # type: ignore[override]
        self, *args: Any, remove_batch_dim: bool = False, **kwargs: Any
    ) -> tuple[Tensor, ActivationCache]:
        """As HookedRootModule's, with an ActivationCache: ``cache["pattern", 0]``."""
        logits, cache = super().run_with_cache(*args, remove_batch_dim=remove_batch_dim, **kwargs)
        return logits, ActivationCache(cache, self, has_batch_dim=not remove_batch_dim)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As nn.Module's; a HookedTransformer's constant ``.mask`` and ``.IGNORE`` entries are passed over."""
        kept = {name: value for name, value in state_dict.items() if not name.endswith((".mask", ".IGNORE"))}
        return super().load_state_dict(kept, strict=strict, assign=assign)

    def to_bridge(self) -> Any:
        """A TransformerLens TransformerBridge with the same weights and logits."""
        return bridge(self.cfg, {name: value.detach().clone() for name, value in self.state_dict().items()})

    def to_tokens(self, tokens: Tensor, **_: Any) -> Tensor:
        """Tokens are tensors already; here because TransformerLens's utilities ask for the method."""
        return tokens

    def tokens_to_residual_directions(self, tokens: Int[Tensor, "*batch"] | int) -> Float[Tensor, "*batch d_model"]:
        """The unembedding direction of each class, for ``ActivationCache.logit_attrs``."""
        return self.unembed.W_U.T[tokens]

    def accumulated_bias(
        self, layer: int, mlp_input: bool = False, include_mlp_biases: bool = True
    ) -> Float[Tensor, "d_model"]:
        """Sum of the output biases before ``layer`` (for ``ActivationCache``)."""
        total = torch.zeros_like(self.blocks[0].attn.b_O)
        for block in self.blocks[:layer]:
            total = total + block.attn.b_O + (block.mlp.b_out if include_mlp_biases else 0)
        return total + self.blocks[layer].attn.b_O if mlp_input else total

    @property
    def W_E(self) -> Float[Tensor, "d_vocab d_model"]:
        return self.embed.W_E

    @property
    def W_pos(self) -> Float[Tensor, "n_ctx d_model"]:
        return self.pos_embed.W_pos

    @property
    def W_U(self) -> Float[Tensor, "d_model class"]:
        return self.unembed.W_U

    @property
    def b_U(self) -> Float[Tensor, "class"]:
        return self.unembed.b_U

    def __getattr__(self, name: str) -> Any:
        """W_Q, W_K, W_V, W_O, b_Q, … [layer, …] and W_in, W_out, b_in, b_out [layer, …], as in TransformerLens."""
        if name in ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O"):
            return torch.stack([getattr(block.attn, name) for block in self.blocks])
        if name in ("W_in", "W_out", "b_in", "b_out"):
            return torch.stack([getattr(block.mlp, name) for block in self.blocks])
        return super().__getattr__(name)

    @property
    def QK(self) -> FactoredMatrix:
        """W_Q W_Kᵀ per layer and head."""
        return FactoredMatrix(self.W_Q, self.W_K.transpose(-2, -1))

    @property
    def OV(self) -> FactoredMatrix:
        """W_V W_O per layer and head."""
        return FactoredMatrix(self.W_V, self.W_O)
