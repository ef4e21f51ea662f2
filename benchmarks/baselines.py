"""Baselines: training loops of the same network, in plain PyTorch and in the first published layout.

They are written from the public descriptions. All sides start from the same weights and do the same work: a full-batch
AdamW step on the training examples, and the loss of the other examples.
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from grokinterp.models import Transformer
from grokinterp.models.hooked import HookedRootModule, HookPoint


class PlainTransformer(nn.Module):
    """A causal layer without biases or normalization in plain PyTorch; logits of the last position."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        spec, width = model.spec, model.spec.n_heads * model.spec.head_size
        self.heads = spec.n_heads
        self.token = nn.Embedding(*model.W_E.shape)
        self.position = nn.Embedding(*model.W_pos.shape)
        self.qkv = nn.Linear(spec.d_model, 3 * width, bias=False)
        self.out = nn.Linear(width, spec.d_model, bias=False)
        self.up = nn.Linear(spec.d_model, spec.d_mlp, bias=False)
        self.down = nn.Linear(spec.d_mlp, spec.d_model, bias=False)
        self.unembed = nn.Linear(*model.W_U.shape, bias=False)
        self.to(model.W_E.dtype)
        with torch.no_grad():
            for mine, theirs in zip(self.parameters(), layout(model), strict=True):
                mine.copy_(theirs)

    def forward(self, tokens: Int[Tensor, "batch position"]) -> Float[Tensor, "batch class"]:
        """Return the logits of the last position."""
        n, length = tokens.shape
        x = self.token(tokens) + self.position.weight
        q, k, v = self.qkv(x).view(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        z = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(z.transpose(1, 2).flatten(2))
        x = x + self.down(functional.relu(self.up(x)))
        return self.unembed(x[:, -1])


def layout(model: Transformer, *, gradients: bool = False) -> Iterator[Tensor]:
    """Return the weights of a one-layer model, or their gradients, in the order and shapes of ``PlainTransformer``."""
    values = {name: weight.grad if gradients else weight for name, weight in model.named_parameters()}
    attn, mlp = (lambda name: values[f"blocks.0.attn.{name}"]), (lambda name: values[f"blocks.0.mlp.{name}"])
    yield values["embed.W_E"]
    yield values["pos_embed.W_pos"]
    yield torch.cat([attn(name).transpose(1, 2).flatten(0, 1) for name in ("W_Q", "W_K", "W_V")])
    yield attn("W_O").flatten(0, 1).T
    yield mlp("W_in").T
    yield mlp("W_out").T
    yield values["unembed.W_U"].T


class FirstTransformer(HookedRootModule):
    """The layout of the code released with Nanda et al. 2023.

    W_E [d_model, token], W_Q, W_K, W_V [head, d_head, d_model], W_O [d_model, head · d_head], W_in [d_mlp, d_model],
    W_out [d_model, d_mlp]; MLP biases; einsum throughout, a hook point after every quantity, every position unembedded,
    masked scores shifted by -1e10.
    """

    mask: Tensor
    hooks_of = ("embed", "pos", "k", "q", "v", "attn", "z", "attn_out", "mid", "pre", "post", "mlp_out", "out")

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        attn, mlp = model.blocks[0].attn, model.blocks[0].mlp
        for name, weight in {
            "W_E": model.W_E.T,
            "W_pos": model.W_pos,
            "W_K": attn.W_K.transpose(1, 2),
            "W_Q": attn.W_Q.transpose(1, 2),
            "W_V": attn.W_V.transpose(1, 2),
            "W_O": attn.W_O.flatten(0, 1).T,
            "W_in": mlp.W_in.T,
            "b_in": mlp.b_in,
            "W_out": mlp.W_out.T,
            "b_out": mlp.b_out,
            "W_U": model.W_U,
        }.items():
            self.register_parameter(name, nn.Parameter(weight.detach().clone().contiguous()))
        for name in self.hooks_of:
            self.add_module(f"hook_{name}", HookPoint())
        self.register_buffer("mask", torch.tril(torch.ones(3, 3)))
        self.d_head = attn.W_Q.shape[2]
        self.setup()

    def forward(self, pairs: list[tuple[int, int, int]]) -> Float[Tensor, "batch position class"]:
        """Return the logits at every position."""
        x = self.hook_embed(torch.einsum("dbp->bpd", self.W_E[:, torch.tensor(pairs)]))
        x = self.hook_pos(x + self.W_pos)
        k = self.hook_k(torch.einsum("hed,bpd->bhpe", self.W_K, x))
        q = self.hook_q(torch.einsum("hed,bpd->bhpe", self.W_Q, x))
        v = self.hook_v(torch.einsum("hed,bpd->bhpe", self.W_V, x))
        scores = torch.einsum("bhpe,bhqe->bhqp", k, q)
        scores = torch.tril(scores) - 1e10 * (1 - self.mask)
        attn = self.hook_attn(functional.softmax(scores / math.sqrt(self.d_head), dim=-1))
        z = self.hook_z(torch.einsum("bhpe,bhqp->bhqe", v, attn))
        flat = z.permute(0, 2, 1, 3).flatten(2)
        x = self.hook_mid(x + self.hook_attn_out(torch.einsum("df,bqf->bqd", self.W_O, flat)))
        pre = self.hook_pre(torch.einsum("md,bpd->bpm", self.W_in, x) + self.b_in)
        post = self.hook_post(functional.relu(pre))
        x = self.hook_out(x + self.hook_mlp_out(torch.einsum("dm,bpm->bpd", self.W_out, post) + self.b_out))
        return x @ self.W_U
